"""Classes and percentages seen from further away: the commonest class of a block, and the mean of what is known."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from catalogs.taxonomy import IGNORE

Counts = NDArray[np.uint8]
Sums = NDArray[np.uint32]

MOST_HALVINGS = 3
"""In one go: a block of 8 x 8 pixels counts to 64, so that counts need a byte."""


def thinned_classes(crop: NDArray[np.uint8], classes: int, times: int) -> Iterator[NDArray[np.uint8]]:
    """The commonest class of each block of 2 x 2, 4 x 4 .. pixels.

    Every level is counted on the pixels given, not on the level before it. Of equally common classes the lowest number
    is taken. Pixels without data have no say: a block has no data only where none of its pixels has any.
    """
    assert times <= MOST_HALVINGS
    counts: Counts = np.stack([crop == number for number in range(classes)]).view(np.uint8)
    for _ in range(times):
        counts = _added(counts)
        yield np.where(counts.any(axis=0), counts.argmax(axis=0), IGNORE).astype(np.uint8)


def thinned_means(values: NDArray[np.uint8], times: int) -> Iterator[NDArray[np.uint8]]:
    """The mean of the known pixels of each block of 2 x 2, 4 x 4 .. pixels, rounded, a half upwards."""
    known: Sums = (values != IGNORE).astype(np.uint32)
    sums: Sums = np.where(known, values, 0).astype(np.uint32)
    for _ in range(times):
        known, sums = _added(known), _added(sums)
        means = (sums + known // 2) // np.maximum(known, 1)
        yield np.where(known, means, IGNORE).astype(np.uint8)


def _added(values: NDArray[Any]) -> NDArray[Any]:
    """Blocks of 2 x 2 added up along the last two axes."""
    rows = values[..., 0::2, :] + values[..., 1::2, :]
    added: NDArray[Any] = rows[..., 0::2] + rows[..., 1::2]
    return added
