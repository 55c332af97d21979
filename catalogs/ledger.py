"""Commit records: one small file for each finished unit of work, written only after its pixels."""

import json
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from catalogs.root import Root

READERS = 16
"""Records that are read at a time: each is a small object, far away if the root is."""

BATCH = 1000


@dataclass(frozen=True)
class Ledger:
    """The records of one store. They live beside the store, so that its bytes depend on its pixels alone."""

    root: Root
    store: str

    @property
    def folder(self) -> str:
        return f"ledger/{self.store}"

    def commit(self, unit: str, record: Mapping[str, Any]) -> None:
        self.root.write(f"{self.folder}/done/{unit}.json", _encoded(record))
        self.root.remove(f"{self.folder}/failed/{unit}.json")

    def create(self, unit: str, record: Mapping[str, Any]) -> bool:
        """Commit a unit that nobody has committed; False if somebody has."""
        created = self.root.create(f"{self.folder}/done/{unit}.json", _encoded(record))
        if created:
            self.root.remove(f"{self.folder}/failed/{unit}.json")
        return created

    def forget(self, unit: str) -> None:
        """Take a record back: its objects are lost, or made of what has changed since."""
        self.root.remove(f"{self.folder}/done/{unit}.json")

    def found(self, unit: str) -> dict[str, Any] | None:
        """The record of a unit, if it is done."""
        try:
            return self.record(unit)
        except FileNotFoundError:
            return None

    def records(self, units: Sequence[str]) -> Iterator[tuple[str, dict[str, Any]]]:
        """Each unit with what is readable of it."""
        with ThreadPoolExecutor(READERS) as readers:
            for start in range(0, len(units), BATCH):  # so that those of a country are never held at once
                some = units[start : start + BATCH]
                yield from zip(some, readers.map(self.readable, some), strict=True)

    def readable(self, unit: str) -> dict[str, Any]:
        """The record of a unit; an empty one if there is none, or none that can be read."""
        try:
            return self.found(unit) or {}
        except ValueError:
            return {}

    def fail(self, unit: str, reason: str) -> None:
        self.root.write(f"{self.folder}/failed/{unit}.json", _encoded({"reason": reason}))

    def done(self) -> set[str]:
        return self._units("done")

    def failed(self) -> set[str]:
        return self._units("failed") - self.done()

    def record(self, unit: str) -> dict[str, Any]:
        record: dict[str, Any] = json.loads(self.root.read(f"{self.folder}/done/{unit}.json"))
        return record

    def reason(self, unit: str) -> str:
        return str(json.loads(self.root.read(f"{self.folder}/failed/{unit}.json"))["reason"])

    def clear(self) -> None:
        self.root.remove(self.folder)

    def _units(self, outcome: str) -> set[str]:
        keys = self.root.keys(f"{self.folder}/{outcome}")
        return {key.rsplit("/", 1)[1].removesuffix(".json") for key in keys if key.endswith(".json")}


def _encoded(record: Mapping[str, Any]) -> bytes:
    return json.dumps(record, indent=1, sort_keys=True).encode()
