"""The median of each pixel over scenes with gaps, by a sorting network that compares whole planes."""

from collections.abc import Sequence
from functools import cache

import numpy as np
from numpy.typing import NDArray

Planes = list[NDArray[np.uint16]]

HIGHEST = np.uint16(65535)


def middle(scenes: Sequence[np.ndarray], clear: Sequence[NDArray[np.bool_]]) -> NDArray[np.uint16]:
    """Scenes (band, y, x) to the median of the clear values of each pixel; anything where none is.

    Unclear values become lowest and highest ones in turn, so that the median lies in the middle of the sorted planes
    however many are clear. Of an even number it is the mean of the middle two, rounded half up.
    """
    if len(scenes) == 1:
        return scenes[0]
    planes = [scene.astype(np.uint16) for scene in scenes]
    even = _fill_gaps(planes, clear)
    _sort_to_the_middle(planes)
    half = len(planes) // 2
    high = planes[half]
    if half:
        gap = high - planes[half - 1]
        gap >>= 1
        gap &= as_bits(even)  # of an odd number the median is one value
        high -= gap
    return high


def as_bits(mask: NDArray[np.bool_]) -> NDArray[np.uint16]:
    """All bits where true, none where false: `&` then chooses, and costs less than numpy's `where`."""
    return np.negative(mask.astype(np.uint16))


def _fill_gaps(planes: Planes, clear: Sequence[NDArray[np.bool_]]) -> NDArray[np.bool_]:
    """Where an even number is clear. An odd number of planes needs a pixel's first gap to be high, an even one low."""
    high = np.full(clear[0].shape, len(planes) % 2 == 0)
    for plane, seen in zip(planes, clear, strict=True):
        unseen = ~seen
        high ^= unseen
        plane &= as_bits(seen)
        plane |= as_bits(high & unseen)
    return high


def _sort_to_the_middle(planes: Planes) -> None:
    spare = np.empty_like(planes[0])
    for a, b, low, high in _comparisons(len(planes)):
        if low and high:
            np.minimum(planes[a], planes[b], out=spare)
            np.maximum(planes[a], planes[b], out=planes[b])
            planes[a], spare = spare, planes[a]
        elif low:
            np.minimum(planes[a], planes[b], out=planes[a])
        else:
            np.maximum(planes[a], planes[b], out=planes[b])


@cache
def _comparisons(planes: int) -> tuple[tuple[int, int, bool, bool], ...]:
    """(a, b, whether the lower is needed in a, the higher in b): what the two middle places of a sort depend on."""
    needed = {planes // 2, max(planes // 2 - 1, 0)}
    kept = []
    for a, b in reversed(_sorting_network(planes)):
        if a in needed or b in needed:
            kept.append((a, b, a in needed, b in needed))
            needed |= {a, b}
    return tuple(reversed(kept))


def _sorting_network(planes: int) -> list[tuple[int, int]]:
    """Batcher's odd-even merge sort (doi:10.1145/1468075.1468121) for any number."""
    pairs = []
    run = 1
    while run < planes:
        step = run
        while step:
            for first in range(step % run, planes - step, 2 * step):
                near = range(first, min(first + step, planes - step))
                pairs += [(i, i + step) for i in near if i // (2 * run) == (i + step) // (2 * run)]
            step //= 2
        run *= 2
    return pairs
