"""Sums over square windows around every pixel, in whole numbers: no rounding, so no trace of where an array begins."""

import numpy as np
from numpy.typing import NDArray

Sums = NDArray[np.int64]


def window_sums(values_YX: NDArray[np.int64], reach: int, sides: tuple[int, ...]) -> list[Sums]:
    """For each odd side, sums around the pixels that lie at least `reach` inside the array's edge."""
    summed = _from_the_corner(values_YX)
    return [_differences(summed, reach - side // 2, side) for side in sides]


def _from_the_corner(values_YX: NDArray[np.int64]) -> Sums:
    """At (y, x) the sum of all values above and to the left."""
    height, width = values_YX.shape
    summed = np.zeros((height + 1, width + 1), np.int64)
    np.cumsum(values_YX, axis=0, out=summed[1:, 1:])
    np.cumsum(summed[1:, 1:], axis=1, out=summed[1:, 1:])
    return summed


def _differences(summed: Sums, skip: int, side: int) -> Sums:
    height, width = (length - side - 2 * skip for length in summed.shape)
    top, left = slice(skip, skip + height), slice(skip, skip + width)
    bottom, right = slice(skip + side, skip + side + height), slice(skip + side, skip + side + width)
    columns = summed[bottom] - summed[top]
    return columns[:, right] - columns[:, left]
