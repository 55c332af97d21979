"""Whether labels and imagery lie on each other: edges of parcels compared with edges in the picture, moved by pixels.

A field's border shows twice, in the parcel raster and in the greenness of the ground. The picture's edges are moved by
every whole number of pixels up to REACH; where the two agree best is how far the picture lies from the labels. Sums
alone travel, so tiles add up to a country.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

REACH = 3
"""Pixels that are tried to every side."""

FEWEST = 500
"""Edge pixels: with fewer, chance decides."""

WEAK = 0.05
"""Correlation of edges at its best below which labels and picture have nothing to do with each other."""

CLEAR_LEAD = 1.05
"""How many times better than without a shift the best shift must be."""

Sums = NDArray[np.float64]
"""(dy, dx, 6): n, label, picture, label squared, picture squared, label times picture"""


@dataclass(frozen=True)
class Shift:
    """How far the picture lies from the labels, in pixels: south and east are positive."""

    south: int
    east: int
    strength: float
    """Correlation of the edges there."""
    unmoved: float
    """The same where nothing is moved."""
    edges: int
    """Pixels on an edge between parcels."""

    @property
    def known(self) -> bool:
        return self.edges >= FEWEST and self.strength >= WEAK

    @property
    def found(self) -> bool:
        """Whether labels and picture are displaced."""
        return self.known and (self.south, self.east) != (0, 0) and self.strength > CLEAR_LEAD * max(self.unmoved, 0)


def no_sums() -> Sums:
    return np.zeros((2 * REACH + 1, 2 * REACH + 1, 6))


def edge_sums(parcels: NDArray[Any], pictures: Sequence[NDArray[np.float32]]) -> Sums:
    """Compare the borders of a parcel raster (y, x) with edges in pictures (y, x) of the same ground.

    NaN in a picture is ground that was not seen; it is left out, with its neighbours.
    """
    height, width = parcels.shape
    sums = no_sums()
    if min(height, width) > 2 * REACH + 2:
        inner = _borders(parcels)[REACH : height - REACH, REACH : width - REACH]
        for picture in pictures:
            sums += _sums(inner, _steepness(picture))
    return sums


def find_shift(sums: Sums) -> Shift:
    """The shift at which the edges agree best; no shift where there is nothing to compare."""
    agreement = _correlation(sums)
    i, j = np.unravel_index(int(agreement.argmax()), agreement.shape)
    edges = int(sums[REACH, REACH, 1])
    if not agreement.any():
        return Shift(0, 0, 0.0, 0.0, edges)
    strength, unmoved = float(agreement[i, j]), float(agreement[REACH, REACH])
    return Shift(int(i) - REACH, int(j) - REACH, strength, unmoved, edges)


def _borders(parcels: NDArray[Any]) -> NDArray[np.float64]:
    """1 where the neighbours on both sides are not of one parcel: an edge has no side of its own."""
    found = np.zeros(parcels.shape)
    found[1:-1] = parcels[2:] != parcels[:-2]
    found[:, 1:-1] = np.maximum(found[:, 1:-1], parcels[:, 2:] != parcels[:, :-2])
    return found


def _steepness(picture: NDArray[np.float32]) -> NDArray[np.float64]:
    """The step between the neighbours on both sides."""
    steep = np.full(picture.shape, np.nan)
    down = picture[2:, 1:-1] - picture[:-2, 1:-1]
    across = picture[1:-1, 2:] - picture[1:-1, :-2]
    steep[1:-1, 1:-1] = np.hypot(down, across)
    return steep


def _sums(drawn: NDArray[np.float64], seen: NDArray[np.float64]) -> Sums:
    """For every shift at once: the windows are views, and nothing of their size is made."""
    known = np.isfinite(seen)
    values = np.where(known, seen, 0.0)
    ones, steps, squares = (
        sliding_window_view(each, drawn.shape) for each in (known.astype(np.float64), values, values**2)
    )
    n, b, bb = (np.einsum("ijyx->ij", each) for each in (ones, steps, squares))
    a, ab = (np.einsum("ijyx,yx->ij", each, drawn) for each in (ones, steps))
    return np.stack([n, a, b, a, bb, ab], axis=-1)  # of 0 and 1 the square is the same


def _correlation(sums: Sums) -> NDArray[np.float64]:
    n, a, b, aa, bb, ab = np.moveaxis(sums, -1, 0)
    n = np.maximum(n, 1)
    spread = np.sqrt(np.maximum(aa / n - (a / n) ** 2, 0) * np.maximum(bb / n - (b / n) ** 2, 0))
    return np.where(spread > 1e-12, (ab / n - a * b / n**2) / np.maximum(spread, 1e-12), 0.0)
