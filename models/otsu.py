"""Otsu's cut: the threshold that parts values into the two groups that lie farthest from each other."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.errors import Misfit

BINS = 256


@dataclass(frozen=True)
class Cut:
    """`separation` is the variance between both groups as a share of all variance; 0.6 and less is no two humps.

    (A uniform spread has 0.75, a single normal hump 0.64: the test is meant to be passed together with others.)
    """

    threshold: float
    separation: float
    cover: float
    """The share of values above the threshold."""


def otsu(values: NDArray[np.floating[Any]]) -> Cut:
    """Of a histogram of 256 bins over the range; what is not finite is left out; one value alone has no separation."""
    known = np.asarray(values, np.float64)[np.isfinite(values)]
    if not known.size:
        raise Misfit("values to cut in two", "none is finite.", "Leave this image out.")
    low, high = known.min(), known.max()
    if not high > low:
        return Cut(float(high), 0.0, 0.0)
    bins = np.minimum(((known - low) / (high - low) * BINS).astype(np.int64), BINS - 1)
    count = np.bincount(bins, minlength=BINS)
    between = _between(count, np.bincount(bins, known, minlength=BINS).astype(np.float64))
    best = int(between.argmax())
    above = float((bins > best).mean())
    return Cut(float(low + (high - low) * (best + 1) / BINS), float(between[best] / known.var()), above)


def _between(count: NDArray[np.int64], total: NDArray[np.float64]) -> NDArray[np.float64]:
    """Variance between the groups for a cut behind each bin but the last."""
    below, sums = count.cumsum()[:-1] / count.sum(), total.cumsum()[:-1] / count.sum()
    mean, spread = total.sum() / count.sum(), below * (1 - below)
    return np.asarray(np.divide((mean * below - sums) ** 2, spread, out=np.zeros_like(sums), where=spread > 0))
