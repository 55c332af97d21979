"""What a check found wrong with a download, in words."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from catalogs.errors import BadInput

NAMED = 5
"""Files that a sentence names; the rest it counts."""


@dataclass
class Findings:
    """Sentences, by kind. A download is whole if there are none of the first three kinds."""

    missing: list[str] = field(default_factory=list)
    damaged: list[str] = field(default_factory=list)
    surplus: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    counts: dict[str, Any] = field(default_factory=dict)
    """Figures of what is there."""

    @property
    def whole(self) -> bool:
        return not (self.missing or self.damaged or self.surplus)

    @contextmanager
    def noting_damage(self) -> Iterator[None]:
        """What a reader refuses is damage, and the check goes on."""
        try:
            yield
        except BadInput as error:
            self._damage(f"{error.given}: {error.why}")
        except OSError as error:
            self._damage(f"file {error.filename}: It cannot be read ({error.strerror or error}).")

    def _damage(self, text: str) -> None:
        """Once: a bad folder is met with each of its files."""
        if text not in self.damaged:
            self.damaged.append(text)

    def compare(self, what: str, found: int, published: int) -> None:
        """A count with the published one."""
        if found < published:
            self.missing.append(f"{published - found} of {published} {what} are missing")
        if found > published:
            self.surplus.append(f"there are {found} {what}, {found - published} more than were published")


Step = Callable[[Findings], None]
"""A piece of a check, small enough for a progress bar to move."""


def refused(error: BadInput) -> Step:
    """All that a check can say of a folder that cannot be opened at all."""

    def step(findings: Findings) -> None:
        with findings.noting_damage():
            raise error

    return step


@dataclass(frozen=True)
class Check:
    """All there is to do about one folder or archive."""

    dataset: str
    place: str
    steps: tuple[Step, ...]


def named(names: Iterable[str]) -> str:
    """The first few names, and how many more."""
    every = list(names)
    more = f" and {len(every) - NAMED} more" if len(every) > NAMED else ""
    return ", ".join(every[:NAMED]) + more
