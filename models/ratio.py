"""A total estimated from a sample, with the help of a size that is known of all: the classical ratio estimator."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf, sqrt

import numpy as np
from scipy.stats import t as students

from models.errors import Misfit

LEVEL = 0.95


@dataclass(frozen=True)
class Total:
    """What a sum is expected to be, and between which ends it lies if the sample is like the rest."""

    value: float
    low: float
    high: float

    def __add__(self, other: "Total") -> "Total":
        """Of two that were estimated independently: their errors add like the sides of a right angle."""
        value = self.value + other.value
        down = sqrt((self.value - self.low) ** 2 + (other.value - other.low) ** 2)
        up = sqrt((self.high - self.value) ** 2 + (other.high - other.value) ** 2)
        return Total(value, value - down, value + up)

    def __mul__(self, factor: float) -> "Total":
        """Nothing of an end that is not known is nothing."""
        if not factor:
            return NOTHING
        return Total(self.value * factor, self.low * factor, self.high * factor)


NOTHING = Total(0.0, 0.0, 0.0)


def total_of(costs: Sequence[float], sizes: Sequence[float], whole: float) -> Total:
    """The cost of everything, whose size is `whole`, from those of a random sample (Cochran 1977, section 6.4).

    A single one tells nothing of how they differ: its interval has no upper end.
    """
    if not costs or len(costs) != len(sizes) or min(sizes) <= 0:
        raise Misfit(f"{len(costs)} costs of sizes {list(sizes)[:5]}", "each needs a size above 0.", "Probe again.")
    y, x = np.asarray(costs, np.float64), np.asarray(sizes, np.float64)
    ratio = float(y.sum() / x.sum())
    if len(y) == 1:
        return Total(ratio * whole, 0.0, inf if whole else 0.0)
    spread = sqrt(float(((y - ratio * x) ** 2).sum()) / (len(y) - 1) / len(y)) / float(x.mean())
    half = float(students.ppf((1 + LEVEL) / 2, len(y) - 1)) * spread
    return Total(ratio * whole, max(ratio - half, 0.0) * whole, (ratio + half) * whole)
