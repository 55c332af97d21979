"""Parcels burnt onto the grid: which crop and which parcel each pixel centre lies in.

The rules. A pixel belongs to the parcels that hold its centre; of two parcels that share an edge, exactly one holds a
centre on that edge. Where parcels of different classes overlap, nobody knows the crop: 255, and no parcel. Where
parcels of one class overlap, the pixel belongs to the one with the smallest id. A parcel of class 255 (no usable code)
is a class like the others. Where no parcel is, the caller says what holds.

A centre on an edge is a tie that rounding decides, and rounding depends on the rectangle that is burnt. So pixels are
always burnt in the same blocks of the global lattice, whatever window is asked for: every partition gives the same.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from rusterize import rusterize
from shapely import box

from catalogs.errors import BadInput
from catalogs.grid import Bounds, Grid, Window
from catalogs.parcels import Parcels
from catalogs.taxonomy import BACKGROUND, IGNORE

BLOCK = 256
"""Pixels along a block's side: fewer parcels a call than a whole tile, and measured faster than 512 and 1024."""

Burnt = tuple[NDArray[np.uint8], NDArray[np.uint32]]
"""crop and parcel, both (y, x)"""


def rasterise(parcels: Parcels, grid: Grid, window: Window, outside: int) -> Burnt:
    """Burn the window of the grid; `outside` is the class of pixels in no parcel, background or ignore."""
    _check(parcels, grid, outside)
    crop = np.full((window.height, window.width), outside, dtype=np.uint8)
    parcel = np.zeros(crop.shape, dtype=np.uint32)
    for block in _blocks(grid, window):
        near = parcels.tree.query(box(*grid.bounds(block)))
        if near.size:
            target, source = _shared(block, window)
            burnt = _burn(parcels, near, grid.bounds(block), outside)
            crop[target], parcel[target] = (layer[source] for layer in burnt)
    return crop, parcel


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


def _shared(block: Window, window: Window) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
    """Where the pixels that both have lie in the window, and where in the block."""
    y0, x0 = max(block.y, window.y), max(block.x, window.x)
    y1 = min(block.y + block.height, window.y + window.height)
    x1 = min(block.x + block.width, window.x + window.width)
    height, width = y1 - y0, x1 - x0
    return (
        Window(y0 - window.y, x0 - window.x, height, width).slices,
        Window(y0 - block.y, x0 - block.x, height, width).slices,
    )


def _burn(parcels: Parcels, near: NDArray[np.intp], bounds: Bounds, outside: int) -> Burnt:
    """Rank the parcels by class, then id: a pixel's lowest and highest rank tell all that the rules ask.

    The two differ in class exactly where classes overlap; if not, the lowest is the smallest id of that class.
    """
    order = near[np.lexsort((parcels.ids[near], parcels.classes[near]))]
    lowest = _extreme("min", parcels.geometries[order], bounds)
    highest = _extreme("max", parcels.geometries[order], bounds)
    class_of_rank = np.r_[np.uint8(outside), parcels.classes[order]]
    id_of_rank = np.r_[np.uint32(0), parcels.ids[order]]
    conflict = class_of_rank[lowest] != class_of_rank[highest]
    crop = np.where(conflict, np.uint8(IGNORE), class_of_rank[lowest])
    return crop, np.where(conflict, np.uint32(0), id_of_rank[lowest])


def _extreme(which: str, geometries: NDArray[np.object_], bounds: Bounds) -> NDArray[np.uint32]:
    """The lowest or highest rank (1, 2, ... in the order given) at each pixel centre; 0 where no parcel is."""
    ranks = np.arange(1, len(geometries) + 1, dtype=np.uint32)
    burnt = rusterize(
        geometries,
        burn=ranks,
        extent=bounds,
        out_shape=(BLOCK, BLOCK),
        fun=which,
        background=0,
        encoding="numpy",
        dtype="uint32",
    )
    return np.asarray(burnt, dtype=np.uint32).reshape(BLOCK, BLOCK)
