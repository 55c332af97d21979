"""The card beside a network's weights: everything that must be known to use them."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from datetime import date
from math import inf, isfinite
from typing import Any

from models.errors import Misfit
from models.normalisation import Normalisation

FORMAT_VERSION = 2

Period = str | tuple[str, str]
"""A label, or the first day and the day after the last as ISO dates."""


@dataclass(frozen=True)
class Card:
    """What a checkpoint is. `periods` are those of the cube it was trained on; it looks at those of `period_index`.

    `middles` says where each period lies: days since the first of January or, in thermal time, degree-days.
    """

    name: str
    architecture: str
    settings: dict[str, Any]
    bands: tuple[str, ...]
    periods: tuple[Period, ...]
    middles: tuple[float, ...]
    period_index: tuple[int, ...]
    classes: dict[int, str]
    normalisation: Normalisation
    training_identity: str
    training: dict[str, Any] = field(default_factory=dict)
    scores: dict[str, Any] = field(default_factory=dict)
    weights_sha256: str = ""
    format_version: int = FORMAT_VERSION

    def __post_init__(self) -> None:
        """Lists are welcome and kept as tuples, so that a card read back equals the one written."""
        periods = tuple(period if isinstance(period, str) else _span(period) for period in self.periods)
        object.__setattr__(self, "bands", tuple(self.bands))
        object.__setattr__(self, "periods", periods)
        object.__setattr__(self, "middles", tuple(float(middle) for middle in self.middles))
        object.__setattr__(self, "period_index", tuple(self.period_index))
        object.__setattr__(self, "classes", {int(key): name for key, name in self.classes.items()})
        _check(self)

    @property
    def used_middles(self) -> tuple[float, ...]:
        return tuple(self.middles[index] for index in self.period_index)

    @property
    def temperature(self) -> float:
        """What logits are divided by before they are probabilities; 1 where nothing was fitted."""
        return float(self.scores.get("temperature", 1.0))

    def to_json(self) -> bytes:
        try:
            text = json.dumps(asdict(self), indent=2, ensure_ascii=False, allow_nan=False)
        except (ValueError, TypeError) as error:
            raise Misfit(f"card {self.name}", f"JSON cannot say it ({error}).", "Use plain, finite values.") from error
        return (text + "\n").encode()

    @staticmethod
    def from_json(data: bytes) -> "Card":
        values = _parsed(data)
        _check_version(values)
        _check_keys(values)
        try:
            return Card(**values | {"normalisation": Normalisation(**values["normalisation"])})
        except (TypeError, ValueError, AttributeError) as error:
            raise Misfit("card.json", f"a value has the wrong type ({error}).", "Copy the checkpoint again.") from error


def _span(period: Any) -> tuple[str, str]:
    try:
        start, end = (date.fromisoformat(day).isoformat() for day in period)
    except (TypeError, ValueError) as error:
        raise Misfit(f"period {period}", f"it is no pair of days ({error}).", "Write 2021-03-01.") from error
    return start, end


def _parsed(data: bytes) -> dict[str, Any]:
    try:
        values = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise Misfit("card.json", f"it is not whole JSON ({error}).", "Copy the checkpoint again.") from error
    if not isinstance(values, dict):
        raise Misfit("card.json", "it is not a JSON object.", "Give the card of a checkpoint.")
    return values


def _check_version(values: Mapping[str, Any]) -> None:
    version = values.get("format_version")
    if not isinstance(version, int) or version < 1:
        raise Misfit(f"card.json of format {version!r}", "it says no known version.", "Give a checkpoint of Furrow.")
    if version != FORMAT_VERSION:
        remedy = "Install a newer Furrow." if version > FORMAT_VERSION else "Train again."
        raise Misfit(f"card.json of format {version}", f"this Furrow reads format {FORMAT_VERSION}.", remedy)


def _check_keys(values: Mapping[str, Any]) -> None:
    known = {entry.name for entry in fields(Card)}
    missing, unknown = sorted(known - set(values)), sorted(set(values) - known)
    if missing:
        raise Misfit("card.json", f"it lacks {', '.join(missing)}.", "Copy the checkpoint again.")
    if unknown:
        raise Misfit("card.json", f"{', '.join(unknown)} mean nothing here.", "Give the card as training wrote it.")


def _check(card: Card) -> None:
    bands, periods = len(card.bands), len(card.periods)
    for name in ("settings", "training", "scores"):
        if not isinstance(getattr(card, name), dict):
            raise Misfit(
                f"card with {name} {getattr(card, name)!r}",
                "it has the wrong type: a table is needed.",
                "Copy the checkpoint again.",
            )
    if len(card.normalisation.mean) != bands:
        given = f"card with {bands} bands and a normalisation of {len(card.normalisation.mean)}"
        raise Misfit(given, "they must be the same bands.", "Estimate the normalisation on the card's bands.")
    if len(card.middles) != periods or not all(map(isfinite, card.middles)):
        given = f"card with {periods} periods and {len(card.middles)} middles"
        raise Misfit(given, "each period needs a finite one.", "Write the middle of each period.")
    if not card.period_index or not all(0 <= index < periods for index in card.period_index):
        given = f"card with {periods} periods that uses {list(card.period_index)}"
        raise Misfit(given, "it must use one or more of them.", f"Give indices from 0 to {periods - 1}.")
    if not 0 < card.temperature < inf:
        raise Misfit(f"card with a temperature of {card.temperature}", "it is above 0.", "Copy the checkpoint again.")
    if sorted(card.classes) != list(range(len(card.classes))):
        raise Misfit(f"card with classes {sorted(card.classes)}", "ids must run from 0 without gaps.", "Renumber them.")
