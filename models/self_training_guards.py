"""When self-training must stop: its labels drift away, a class vanishes, or agreement with what is known falls."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.errors import Misfit

Values = NDArray[np.float64]


@dataclass(frozen=True)
class GuardSettings:
    """What ends it."""

    tolerance: float = 0.01
    """By so much agreement may fall below the best round before, for it is measured with noise."""
    most_drift: float = 0.2
    """Share of pseudo-labels that may change class in total from one round to the next."""
    least_left: float = 0.1
    """Of the share that a class had in the first round."""


@dataclass(frozen=True)
class Round:
    """`agreement` is the score on a small labelled set, or `agreement_with` regional statistics; `pixels` are those of
    the map or of the pseudo-labels, by class."""

    agreement: float
    pixels: tuple[int, ...]


@dataclass(frozen=True)
class Verdict:
    """Whether to go on, why not, the round whose model to keep, and the drift of the last round."""

    go_on: bool
    reason: str
    best: int
    drift: float

    def as_dict(self) -> dict[str, Any]:
        return {"go_on": self.go_on, "reason": self.reason, "best": self.best, "drift": self.drift}


def judge_rounds(rounds: Sequence[Round], settings: GuardSettings | None = None) -> Verdict:
    """After each round, of all so far; round 0 is the teacher that was trained on labels alone."""
    settings = settings or GuardSettings()
    if not rounds:
        raise Misfit("no rounds", "there is nothing to judge.", "Give the teacher's as the first.")
    best = int(np.argmax([one.agreement for one in rounds]))
    drift = drift_between(rounds[-2].pixels, rounds[-1].pixels) if len(rounds) > 1 else 0.0
    reason = _reason(rounds, best, drift, settings)
    return Verdict(not reason, reason, best, drift)


def _reason(rounds: Sequence[Round], best: int, drift: float, settings: GuardSettings) -> str:
    if not np.isfinite(rounds[-1].agreement) or rounds[-1].agreement < rounds[best].agreement - settings.tolerance:
        return "agreement_fell"
    if drift > settings.most_drift:
        return "drifted"
    first, last = _shares(rounds[0].pixels), _shares(rounds[-1].pixels)
    return "class_vanished" if (last[first > 0] < settings.least_left * first[first > 0]).any() else ""


def drift_between(before: Sequence[int], after: Sequence[int]) -> float:
    """Total variation of two histograms of classes: the least share that must have changed class, 0 to 1."""
    if len(before) != len(after):
        raise Misfit(f"histograms of {len(before)} and {len(after)} classes", "they differ.", "Give the same classes.")
    return float(np.abs(_shares(before) - _shares(after)).sum() / 2)


def agreement_with(statistics: Sequence[float], pixels: Sequence[int]) -> float:
    """1 - total variation between a region's statistics of area and a map: 1 is the same shares."""
    return 1 - float(np.abs(_shares(statistics) - _shares(pixels)).sum() / 2)


def _shares(counts: Sequence[float]) -> Values:
    values = np.asarray(counts, np.float64)
    if not values.sum() > 0 or (values < 0).any():
        raise Misfit(f"histogram {list(counts)}", "some class must have pixels, and none fewer than 0.", "Count again.")
    return np.asarray(values / values.sum())
