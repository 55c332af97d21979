"""A try at a unit of work: its objects have names of their own until a commit record makes them the unit's.

Several may try one unit at a time: a straggler and who took over from it, a worker that woke from a pause, two runs on
one store. Each writes beside the store. The first to create the commit record has done the unit, and what it wrote is
moved into the store; whoever comes later throws its own away. So a committed shard is never written over, though
another device may differ from the first in the last bit.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import zarr
from numpy.typing import NDArray

from catalogs.ledger import Ledger
from catalogs.root import Root
from catalogs.shards import digest_of, encoded_shard


@dataclass(frozen=True)
class Attempt:
    """Of one writer at one unit of a store."""

    root: Root
    store: str
    unit: str
    name: str = field(default_factory=lambda: uuid4().hex)
    objects: dict[str, str] = field(default_factory=dict)
    """Keys within the store, and the digest of what lies under each."""

    def write(self, array: zarr.Array[Any], region: tuple[slice | int, ...], block: NDArray[Any]) -> None:
        """One whole shard, also where it is empty; it is not in the store yet."""
        key, parts = encoded_shard(array, region, block)
        key = f"{array.basename}/{key}"
        self.root.write_parts(self._place(len(self.objects)), parts)
        self.objects[key] = digest_of(parts)

    def commit(self, record: Mapping[str, Any]) -> dict[str, Any]:
        """Make this the unit's, or learn whose is; returns the record that counts."""
        ledger = Ledger(self.root, self.store)
        own = {**record, "attempt": self.name, "digests": [*self.objects.values()], "objects": [*self.objects]}
        counts = own if ledger.create(self.unit, own) else ledger.record(self.unit)
        settle(self.root, self.store, self.unit, counts)
        if counts["attempt"] != self.name:
            self.discard()
        return counts

    def discard(self) -> None:
        for number in range(len(self.objects) + 1):  # and one that was cut short
            self.root.remove(self._place(number))

    def _place(self, number: int) -> str:
        return place_of(self.root, self.store, self.unit, self.name, number)


def settle(root: Root, store: str, unit: str, record: Mapping[str, Any]) -> bool:
    """Move the objects of a commit record into the store, by whoever finds them outside; whether all are there."""
    if "attempt" not in record:
        return False
    for number, key in enumerate(record["objects"]):
        here = f"{store}/{key}"
        if not root.move(place_of(root, store, unit, record["attempt"], number), here) and not root.exists(here):
            return False
    return True


def take_back(root: Root, store: str, unit: str, objects: Iterable[str] = ()) -> None:
    """Forget that a unit was done; `objects` are those that it should have, beside those that its record names.

    What its writer has not moved yet goes first: should that wake, it has nothing to move. Then what lies in the store,
    and last the record. So the next record never finds the objects of this one in place of its own.
    """
    ledger = Ledger(root, store)
    record = ledger.readable(unit)
    named = record.get("objects", ())
    for number in range(len(named) if "attempt" in record else 0):
        root.remove(place_of(root, store, unit, record["attempt"], number))
    for key in {*named, *objects}:
        root.remove(f"{store}/{key}")
    ledger.forget(unit)


def place_of(root: Root, store: str, unit: str, name: str, number: int) -> str:
    return f"{attempts_of(root, store)}/{unit}-{name}-{number}"


def attempts_of(root: Root, store: str) -> str:
    """Beside the records, on the same disk as the store, so that moving is renaming."""
    return f"{Ledger(root, store).folder}/attempts"
