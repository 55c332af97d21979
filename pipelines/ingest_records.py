"""What a cube's commit records say together: the use of each scene, the cost of each period, and what is missing."""

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from catalogs.cube import CubeUnit
from catalogs.stores import Store

AT_ONCE = 1000
"""Records in memory: a country has a hundred times as many."""

READERS = 16
"""Records that are asked for at the same time: each is a small object, so a bucket's answer is what takes time."""


@dataclass
class Account:
    """The sum of all records, whatever order they were committed in."""

    seconds: list[float]
    """By period, of one worker."""
    bytes_read: list[int]
    """By period, decoded; 0 in records that do not say."""
    scenes: list[set[str]]
    """By period, those that gave it a clear pixel at least."""
    used: Counter[str] = field(default_factory=Counter)
    """Scene -> tile periods, here and in `hidden`."""
    hidden: Counter[str] = field(default_factory=Counter)
    unreadable: list[tuple[CubeUnit, str, str]] = field(default_factory=list)
    """Where, which scene and why."""
    missing: list[CubeUnit] = field(default_factory=list)
    digest: str = ""
    """Of the pixels of all units."""

    @property
    def lost(self) -> dict[str, int]:
        """Scene -> in how many tile periods it could not be read."""
        return dict(sorted(Counter(scene for _, scene, _ in self.unreadable).items()))

    def add(self, unit: CubeUnit, record: dict[str, Any]) -> None:
        self.seconds[unit.period] += float(record.get("seconds", 0))
        self.bytes_read[unit.period] += int(record.get("bytes", 0))
        self.scenes[unit.period].update(record["scenes"])
        self.used.update(record["scenes"])
        self.hidden.update(record.get("hidden", []))
        self.unreadable += [(unit, lost["scene"], lost["reason"]) for lost in record.get("unreadable", [])]


def read_account(store: Store, units: Iterable[CubeUnit], periods: int) -> Account:
    account = Account([0.0] * periods, [0] * periods, [set() for _ in range(periods)])
    digest = hashlib.sha256()
    for unit, record in _records(store, list(units)):
        if record is None:
            account.missing.append(unit)
        else:
            account.add(unit, record)
        digest.update(f"{unit.name} {record and record['digests']}\n".encode())
    account.digest = digest.hexdigest()[:16]
    return account


def _records(store: Store, units: list[CubeUnit]) -> Iterator[tuple[CubeUnit, dict[str, Any] | None]]:
    done, ledger = store.ledger.done(), store.ledger
    with ThreadPoolExecutor(READERS) as readers:
        for start in range(0, len(units), AT_ONCE):
            some = units[start : start + AT_ONCE]
            found = readers.map(lambda unit: ledger.record(unit.name) if unit.name in done else None, some)
            yield from zip(some, found, strict=True)
