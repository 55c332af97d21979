"""What became of the units of a stage: failures are kept with their reasons, and none goes unnoticed."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Any

from catalogs.errors import BadInput
from catalogs.no_answer import is_no_answer

if TYPE_CHECKING:  # the command line imports this file before it knows what it has to do
    from catalogs.stores import Store


class Unfinished(Exception):
    """Some units are not done; the same command does them. The command line exits with status 1."""


class Outcomes:
    """Collects the outcomes of a stage's units; stops at once at what would fail for every unit."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.failed: dict[str, str] = {}

    def add(self, unit: str, outcome: object) -> None:
        if isinstance(outcome, BadInput):
            raise outcome
        if isinstance(outcome, Exception):
            if is_disk_full(outcome):
                raise disk_full(f"store root {self.store.root.url}") from outcome
            self.failed[unit] = f"{type(outcome).__name__}: {outcome}"
            self._note(unit)

    def _note(self, unit: str) -> None:
        """Where `status` finds it; a store that did not take the unit may not take this either."""
        try:
            self.store.ledger.fail(unit, self.failed[unit])
        except Exception as error:
            if not is_no_answer(error):
                raise

    def check(self) -> None:
        """Raise if any unit is not done."""
        if self.failed:
            first = "; ".join(f"{unit} ({reason[:160]})" for unit, reason in sorted(self.failed.items())[:3])
            raise Unfinished(f"{len(self.failed)} units of {self.store.name} failed: {first}")


def result_of(outcome: Any, what: str) -> Any:
    """What was done; an exception in its place ends the command, in words that say what was tried."""
    if isinstance(outcome, BadInput):
        raise outcome
    if isinstance(outcome, Exception):
        raise Unfinished(f"{what}: {type(outcome).__name__}: {outcome}") from outcome
    return outcome


def is_disk_full(error: BaseException) -> bool:
    return isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)


def disk_full(place: str) -> BadInput:
    return BadInput(
        place,
        "has no space left on its device.",
        "Free some space and give the same command again: what was committed is kept.",
    )
