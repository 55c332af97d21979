"""What a cube's commit records say together: the use of each scene, the cost of each period, and what is missing."""

import hashlib
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from catalogs.cube import CubeUnit
from catalogs.stores import Store


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
    asked = list(units)
    records = store.ledger.records([unit.name for unit in asked])
    for unit, (name, record) in zip(asked, records, strict=True):
        if record:
            account.add(unit, record)
        else:
            account.missing.append(unit)
        digest.update(f"{name} {record.get('digests')}\n".encode())
    account.digest = digest.hexdigest()[:16]
    return account
