"""Parcels burnt onto the grid: which crop and which parcel each pixel gets.

A rule says which parcels claim a pixel: those that hold its `centre` (of two that share an edge, exactly one holds a
centre on that edge), all that it is `touched` by, or those of a crop that covers a `share` of it (catalogs/shares.py).
Where parcels of different classes claim a pixel, nobody knows the crop: 255, and no parcel. Where parcels of one class
claim it, it belongs to the one with the smallest id. A parcel of class 255 (no usable code) is a class like the others.
Where no parcel is, the caller says what holds.

Of `touched`, centres go first: a pixel whose centre lies in parcels is what `centre` says, conflicts included; any
other belongs to the smallest id of those that touch it. Else every border between two crops would be a conflict.

A centre on an edge is a tie that rounding decides, and rounding depends on the rectangle that is burnt. So pixels are
always burnt in the same blocks of the global lattice, whatever window is asked for: every partition gives the same.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeVar

import numpy as np
import shapely
from numpy.typing import NDArray
from rusterize import rusterize
from shapely import box

from catalogs.errors import BadInput
from catalogs.grid import Bounds, Grid, Window
from catalogs.parcels.table import Parcels
from catalogs.taxonomy import BACKGROUND, IGNORE

Burnt = tuple[NDArray[np.uint8], NDArray[np.uint32]]
"""crop and parcel, both (y, x)"""

Number = TypeVar("Number", np.uint32, np.int64)
Value = TypeVar("Value", np.uint8, np.uint32)

BLOCK = 256
"""Pixels along a block's side: fewer parcels a call than a whole tile, and measured faster than 512 and 1024."""

ROUND = 4
"""Segments of a quarter circle where an inward border goes round a corner: a hundredth of the way off at most."""


@dataclass(frozen=True)
class Rule:
    """Which pixels a parcel claims."""

    name: Literal["centre", "touched", "share"] = "centre"
    min_share: float = 0.5
    """of a pixel, for the rule `share`"""
    inward: float = 0.0
    """metres inside its border at which a parcel begins"""

    def describe(self) -> dict[str, Any]:
        """What of it changes pixels."""
        share = {"min_share": self.min_share} if self.name == "share" else {}
        return {"rule": self.name, **share, "inward": self.inward}


CENTRE = Rule()


def rasterise(
    parcels: Parcels, grid: Grid, window: Window, outside: int, rule: Rule = CENTRE, into: Burnt | None = None
) -> Burnt:
    """Crop and parcel of the window's pixels, in new arrays or in those given.

    `outside` is the class of pixels in no parcel, background or ignore.
    """
    _check(parcels, grid, outside)
    claiming = shrunk(parcels, rule.inward)
    shape = window.height, window.width
    crop, parcel = into or (np.empty(shape, dtype=np.uint8), np.empty(shape, dtype=np.uint32))
    for block, near in _near_each(list(_blocks(grid, window)), claiming, grid):
        target, source = _shared(block, window)
        if near.size:
            burnt = _burn(claiming.chosen(near), grid.bounds(block), outside, rule)
            crop[target], parcel[target] = (layer[source] for layer in burnt)
        else:
            crop[target], parcel[target] = outside, 0
    return crop, parcel


def shrunk(parcels: Parcels, inward: float) -> Parcels:
    """What of each parcel lies further than this from its border; parcels of which nothing does are left out."""
    if not inward:
        return parcels
    inner = np.asarray(shapely.buffer(parcels.geometries, -inward, quad_segs=ROUND), dtype=object)
    return replace(parcels, geometries=inner, encoded=None).chosen(np.flatnonzero(~shapely.is_empty(inner)))


def _check(parcels: Parcels, grid: Grid, outside: int) -> None:
    if outside not in (BACKGROUND, IGNORE):
        raise BadInput(f"outside = {outside}", "Pixels in no parcel have no crop.", f"Use {BACKGROUND} or {IGNORE}.")
    if parcels.crs != grid.crs:
        raise BadInput(f"parcels in {parcels.crs}", f"The grid is in {grid.crs}.", "Read them in the grid's CRS.")


def _blocks(grid: Grid, window: Window) -> Iterator[Window]:
    """The blocks of the global lattice that share pixels with the window, as windows of the grid."""
    north, west = grid.first.row * grid.side, grid.first.col * grid.side
    for y in range((north + window.y) // BLOCK * BLOCK, north + window.y + window.height, BLOCK):
        for x in range((west + window.x) // BLOCK * BLOCK, west + window.x + window.width, BLOCK):
            yield Window(y - north, x - west, BLOCK, BLOCK)


def _near_each(blocks: list[Window], parcels: Parcels, grid: Grid) -> Iterator[tuple[Window, NDArray[np.intp]]]:
    """Each block with the places of the parcels whose boxes meet it, in order."""
    which, near = parcels.tree.query(box(*np.array([grid.bounds(block) for block in blocks]).reshape(-1, 4).T))
    order = np.lexsort((near, which))
    ends = np.searchsorted(which[order], np.arange(1, len(blocks)))
    yield from zip(blocks, np.split(near[order], ends), strict=True)


def _shared(block: Window, window: Window) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
    """Where the pixels that both have lie in the window, and where in the block."""
    both = block.within(window)
    return both.seen_from(window).slices, both.seen_from(block).slices


def _burn(parcels: Parcels, bounds: Bounds, outside: int, rule: Rule) -> Burnt:
    if rule.name == "share":
        from catalogs.shares import burn_shares  # it needs SciPy, which the other rules' workers can do without

        return burn_shares(parcels, bounds, BLOCK, outside, rule.min_share)
    centre = _burn_centres(parcels, bounds, outside)
    return _touched_too(centre, parcels, bounds) if rule.name == "touched" else centre


def _burn_centres(parcels: Parcels, bounds: Bounds, outside: int) -> Burnt:
    """Most pixels are held by one parcel or none, and one pass tells which; the others are decided one by one.

    With numbers from the count of parcels up to twice that, a sum of several is larger than any number.
    """
    count = len(parcels)
    held = _held(parcels, bounds).astype(np.intp)  # what places are looked up with; either lookup would cast again
    crop = _looked_up(parcels.classes, outside, held)
    parcel = _looked_up(parcels.ids, 0, held)
    if held.max() >= 2 * count:
        several = held >= 2 * count
        crop[several], parcel[several] = _decided(parcels, several, bounds)
    return crop, parcel


def _held(parcels: Parcels, bounds: Bounds) -> NDArray[np.uint32] | NDArray[np.int64]:
    """The sum of the numbers of the parcels that hold a pixel; where no sum can need more, in 32 bits: it is faster."""
    count = len(parcels)
    if count * (3 * count - 1) // 2 < 2**32:
        return _burnt(parcels, np.arange(count, 2 * count, dtype=np.uint32), "sum", bounds)
    return _burnt(parcels, np.arange(count, 2 * count, dtype=np.int64), "sum", bounds)


def _looked_up(values: NDArray[Value], nothing: int, held: NDArray[np.intp]) -> NDArray[Value]:
    """The value of the parcel whose number, from the count on, a pixel holds; anything where it holds a sum."""
    table = np.full(2 * len(values), nothing, values.dtype)
    table[len(values) :] = values
    return table.take(held, mode="clip")  # two and a half times as fast as table[held]


def _decided(parcels: Parcels, several: NDArray[np.bool_], bounds: Bounds) -> Burnt:
    """Rank the parcels by class, then id: a pixel's lowest and highest rank tell all that the rules ask.

    The two differ in class exactly where classes overlap; if not, the lowest is the smallest id of that class.
    """
    y, x = np.nonzero(several)
    size = (bounds[2] - bounds[0]) / BLOCK
    centres = shapely.points(bounds[0] + (x + 0.5) * size, bounds[3] - (y + 0.5) * size)
    near = np.unique(parcels.tree.query(centres)[1])  # their boxes hold such a pixel; no other parcel matters here
    ranked = parcels.chosen(near[np.lexsort((parcels.ids[near], parcels.classes[near]))])
    lowest, highest = (_ranks(which, ranked, bounds)[several] - 1 for which in ("min", "max"))
    conflict = ranked.classes[lowest] != ranked.classes[highest]
    crop = np.where(conflict, np.uint8(IGNORE), ranked.classes[lowest])
    return crop, np.where(conflict, np.uint32(0), ranked.ids[lowest])


def _touched_too(centre: Burnt, parcels: Parcels, bounds: Bounds) -> Burnt:
    """Pixels whose centre no parcel holds, given to the smallest id that touches them."""
    crop, parcel = centre
    ranked = parcels.chosen(np.argsort(parcels.ids))
    first = _ranks("min", ranked, bounds, all_touched=True)
    free = (first > 0) & (_ranks("any", ranked, bounds) == 0)
    crop[free], parcel[free] = ranked.classes[first[free] - 1], ranked.ids[first[free] - 1]
    return crop, parcel


def _ranks(which: str, parcels: Parcels, bounds: Bounds, all_touched: bool = False) -> NDArray[np.uint32]:
    """The lowest or highest place in the order given, from 1, of the parcels that hold a pixel; 0 where none does."""
    return _burnt(parcels, np.arange(1, len(parcels) + 1, dtype=np.uint32), which, bounds, all_touched)


def _burnt(
    parcels: Parcels, values: NDArray[Number], how: str, bounds: Bounds, all_touched: bool = False
) -> NDArray[Number]:
    burnt = rusterize(
        parcels.wkb,
        burn=values,
        extent=bounds,
        out_shape=(BLOCK, BLOCK),
        fun=how,
        background=0,
        encoding="numpy",
        all_touched=all_touched,
        dtype=values.dtype.name,
    )
    return np.asarray(burnt, dtype=values.dtype).reshape(BLOCK, BLOCK)
