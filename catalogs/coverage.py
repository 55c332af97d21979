"""How much of each pixel an outline covers, exactly: its edges are cut at pixel borders and their areas summed.

Each piece of an edge lies in one pixel. It adds the ground between itself and the pixel's right border, signed by
whether it runs north or south, and the whole height of its run to all pixels further right. Summed along a row, what
is outside cancels out and what remains is the covered share.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import shapely
from numpy.typing import NDArray

from catalogs.grid import Bounds

CELLS = 4_000_000
"""Pixels of outlines' boxes that are in memory at once, 8 bytes each and a few times over."""

NOTHING = 1e-9
"""A share below this is rounding."""

Floats = NDArray[np.float64]
Places = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Covered:
    """One entry for each pixel of which an outline covers something."""

    owner: Places
    """place of the outline among those given"""
    pixel: Places
    """row times side plus column"""
    share: Floats

    def __len__(self) -> int:
        return len(self.owner)


def coverage(shapes: NDArray[np.object_], bounds: Bounds, side: int) -> Covered:
    """Shares of the pixels of a square of `side` pixels, row by row from the north."""
    size = (bounds[2] - bounds[0]) / side
    boxes = _pixel_boxes(shapes, bounds, size, side)
    inside = np.flatnonzero((boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1]))
    parts = [_some(shapes, boxes, some, bounds, side) for some in _batches(inside, boxes)]
    if not parts:
        return Covered(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0))
    joined = [np.concatenate(arrays) for arrays in zip(*parts, strict=True)]
    return Covered(*joined)


def _pixel_boxes(shapes: NDArray[np.object_], bounds: Bounds, size: float, side: int) -> Places:
    """Of each outline within the square: first row, first column, and the row and column after the last."""
    left, bottom, right, top = shapely.bounds(shapes).T
    rows, columns = (bounds[3] - np.stack([top, bottom])) / size, (np.stack([left, right]) - bounds[0]) / size
    edges = np.stack([np.floor(rows[0]), np.floor(columns[0]), np.ceil(rows[1]), np.ceil(columns[1])], axis=1)
    return np.asarray(np.clip(edges, 0, side), dtype=np.int64)


def _batches(inside: Places, boxes: Places) -> Iterator[Places]:
    area = (boxes[inside, 2] - boxes[inside, 0]) * (boxes[inside, 3] - boxes[inside, 1] + 1)
    batch = np.cumsum(area) // CELLS
    for number in np.unique(batch):
        yield inside[batch == number]


def _some(
    shapes: NDArray[np.object_], boxes: Places, some: Places, bounds: Bounds, side: int
) -> tuple[Places, Places, Floats]:
    """The boxes of some outlines laid out one after another, each row with a column more for what is further right."""
    row0, col0, row1, col1 = boxes[some].T
    width = col1 - col0 + 1
    cells = (row1 - row0) * width
    start = np.cumsum(cells) - cells
    owner, row, u, dv = _pieces(shapes[some], bounds, side)
    keep = (row >= row0[owner]) & (row < row1[owner])
    owner, row, u, dv = owner[keep], row[keep], u[keep], dv[keep]
    within = np.clip(u - col0[owner], 0, col1[owner] - col0[owner])  # what is left of the box covers all of the row
    column = np.minimum(within.astype(np.int64), width[owner] - 1)
    place = start[owner] + (row - row0[owner]) * width[owner] + column
    into = within - column
    last = column == width[owner] - 1
    sums = np.bincount(place, dv * np.where(last, 1, 1 - into), cells.sum())
    sums += np.bincount(place[~last] + 1, (dv * into)[~last], cells.sum())
    return _entries(np.cumsum(sums), some, start, width, cells, (row0, col0), side)


def _entries(
    total: Floats, some: Places, start: Places, width: Places, cells: Places, first: tuple[Places, Places], side: int
) -> tuple[Places, Places, Floats]:
    """Each row's edges sum to nothing, so a sum over all that came before is a sum over the row."""
    share = np.abs(total)
    found = np.flatnonzero(share > NOTHING)
    owner = np.repeat(np.arange(len(some)), cells)[found]
    row, column = np.divmod(found - start[owner], width[owner])
    real = column < width[owner] - 1
    pixel = (first[0][owner] + row) * side + first[1][owner] + column
    return some[owner[real]], pixel[real], np.minimum(share[found][real], 1.0)


def _pieces(shapes: NDArray[np.object_], bounds: Bounds, side: int) -> tuple[Places, Places, Floats, Floats]:
    """Edges cut at pixel borders: whose, in which row, where along it (mean column, not whole), how much of its height.

    Shells run one way and holes the other, so that both count with their sign.
    """
    owner, begin, end = _edges(shapes, bounds, side)
    owner, begin, end = _cut(owner, begin, end, axis=1)
    row = np.floor((begin[:, 1] + end[:, 1]) / 2).astype(np.int64)
    there = (row >= 0) & (row < side)
    owner, begin, end = _cut(owner[there], begin[there], end[there], axis=0)
    row = np.floor((begin[:, 1] + end[:, 1]) / 2).astype(np.int64)
    return owner, row, (begin[:, 0] + end[:, 0]) / 2, end[:, 1] - begin[:, 1]


def _edges(shapes: NDArray[np.object_], bounds: Bounds, side: int) -> tuple[Places, Floats, Floats]:
    """Whose, from where and to where, in columns and rows of the square."""
    polygons, part = shapely.get_parts(shapely.orient_polygons(shapes), return_index=True)
    rings, polygon = shapely.get_rings(polygons, return_index=True)
    corners, ring = shapely.get_coordinates(rings, return_index=True)
    size = (bounds[2] - bounds[0]) / side
    places = np.column_stack([(corners[:, 0] - bounds[0]) / size, (bounds[3] - corners[:, 1]) / size])
    same = np.flatnonzero(ring[1:] == ring[:-1])
    return part[polygon[ring[same]]].astype(np.int64), places[same], places[same + 1]


def _cut(owner: Places, begin: Floats, end: Floats, axis: int) -> tuple[Places, Floats, Floats]:
    """Edges as pieces between whole numbers of one axis, those that run along it left out of nothing."""
    low = np.floor(np.minimum(begin[:, axis], end[:, axis]))
    high = np.ceil(np.maximum(begin[:, axis], end[:, axis]))
    count = np.maximum(high - low, 1).astype(np.int64)
    edge = np.repeat(np.arange(len(owner)), count)
    step = np.arange(len(edge)) - np.repeat(np.cumsum(count) - count, count)
    begin, run = begin[edge], (end - begin)[edge]
    length = run[:, axis]
    with np.errstate(divide="ignore", invalid="ignore"):
        borders = (low[edge] + np.stack([step, step + 1]) - begin[:, axis]) / length
    at = np.sort(np.clip(np.where(length == 0, [[0.0], [1.0]], borders), 0, 1), axis=0)
    return owner[edge], begin + at[0][:, None] * run, begin + at[1][:, None] * run
