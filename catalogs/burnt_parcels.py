"""What is to be told of the parcels of a tile once they are burnt: who overlaps, who got no pixel, who lies across."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray

from catalogs.grid import Bounds
from catalogs.parcels.table import Parcels

LEAST = 1.0
"""square metres: parcels that overlap by less are neighbours drawn a little wide"""

THIN = 0.01
"""metres: nor are overlaps that are thinner everywhere"""

SHARPEST = 0.1
"""How far corners move is bounded where two edges nearly fold upon one another."""

KINDS = 256
"""Classes that a byte can tell apart."""

ASKED = 256
"""Outlines whose neighbours are looked up at once, since each may have as many as there are parcels."""

SLICE = 100_000
"""Pairs that are intersected at once."""

Places = NDArray[np.intp]
Pairs = tuple[Places, Places]


def tell(parcels: Parcels, burnt: NDArray[np.uint32], bounds: Bounds, resolution: float) -> dict[str, Any]:
    """Of a tile's parcels and the parcel of each of its pixels, as plain values.

    A parcel has a pixel somewhere unless a tile lists it as without one and no tile lists it as across.
    """
    boxes = shapely.bounds(parcels.geometries)
    touching = (boxes[:, :2] < bounds[2:]).all(axis=1) & (boxes[:, 2:] > bounds[:2]).all(axis=1)
    beyond = (boxes[:, :2] < bounds[:2]).any(axis=1) | (boxes[:, 2:] > bounds[2:]).any(axis=1)
    seen = np.isin(parcels.ids, np.r_[burnt[:, 0], burnt[:, 1:][burnt[:, 1:] != burnt[:, :-1]]])  # starts of runs
    large = shapely.area(parcels.geometries) > resolution**2
    return {
        "parcels": int(np.count_nonzero(touching)),
        "overlaps": overlaps(parcels, bounds),
        "without_pixel": parcels.ids[touching & large & ~seen].tolist(),
        "across": parcels.ids[touching & beyond & seen].tolist(),
    }


def overlaps(parcels: Parcels, bounds: Bounds) -> list[list[Any]]:
    """Lower class, higher class, pairs and hectares of the parcels that overlap.

    A pair counts where the lower left corner of what both cover lies, so in exactly one tile.
    """
    stacks = _stacked(parcels)
    pairs, ground = np.zeros(KINDS**2), np.zeros(KINDS**2)
    for one, other in _meeting(stacks, parcels, bounds):
        both = shapely.intersection(stacks.shapes[one], stacks.shapes[other])
        area, corner = shapely.area(both), shapely.bounds(both)[:, :2]
        here = ((corner >= bounds[:2]) & (corner < bounds[2:])).all(axis=1) & (area >= LEAST)
        kind, count, place = _counted(stacks, one[here], other[here])
        pairs += np.bincount(kind, count, KINDS**2)
        ground += np.bincount(kind, count * area[here][place], KINDS**2) / 10_000
    found = np.flatnonzero(pairs).tolist()
    return [[kind // KINDS, kind % KINDS, int(pairs[kind]), round(float(ground[kind]), 4)] for kind in found]


@dataclass(frozen=True, eq=False)
class _Stacks:
    """Different outlines, and of each how many parcels of each class have it."""

    shapes: NDArray[np.object_]
    size: NDArray[np.intp]
    """Classes of each outline."""
    first: NDArray[np.intp]
    """Where they begin in the arrays below."""
    crop: NDArray[np.int64]
    parcels: NDArray[np.int64]


def _stacked(parcels: Parcels) -> _Stacks:
    """Each outline is intersected once, however many parcels share it."""
    outline = _same_outlines(parcels.geometries)
    kept, outline = np.unique(outline, return_inverse=True)
    key, count = np.unique(outline * KINDS + parcels.classes, return_counts=True)
    size = np.bincount(key // KINDS, minlength=len(kept))
    return _Stacks(parcels.geometries[kept], size, np.cumsum(size) - size, key % KINDS, count)


def _same_outlines(shapes: NDArray[np.object_]) -> NDArray[np.intp]:
    """For each the place of the first with the same outline, wherever its ring begins."""
    outline, boxes = np.arange(len(shapes)), shapely.bounds(shapes)
    order = np.lexsort(boxes.T)
    again = np.append(False, (boxes[order][1:] == boxes[order][:-1]).all(axis=1))[: len(shapes)]
    alike = np.sort(order[again | np.append(again[1:], False)[: len(shapes)]])
    first: dict[bytes, int] = {}
    for place, data in zip(alike.tolist(), shapely.to_wkb(shapely.normalize(shapes[alike])), strict=True):
        outline[place] = first.setdefault(data, place)
    return outline


def _counted(stacks: _Stacks, one: Places, other: Places) -> tuple[Places, NDArray[np.float64], Places]:
    """Of pairs of outlines: the pair of classes, the pairs of parcels, and the pair of outlines they come from."""
    times = stacks.size[one] * stacks.size[other]
    place = np.repeat(np.arange(len(one)), times)
    step = np.arange(len(place)) - np.repeat(np.cumsum(times) - times, times)
    a = stacks.first[one][place] + step // stacks.size[other][place]
    b = stacks.first[other][place] + step % stacks.size[other][place]
    count = (stacks.parcels[a] * stacks.parcels[b]).astype(np.float64)
    itself = (one == other)[place]  # pairs within a stack, each once
    count[itself & (a > b)] = 0
    alone = itself & (a == b)
    count[alone] = stacks.parcels[a][alone] * (stacks.parcels[a][alone] - 1) / 2
    low, high = np.minimum(stacks.crop[a], stacks.crop[b]), np.maximum(stacks.crop[a], stacks.crop[b])
    return low * KINDS + high, count, place


def _meeting(stacks: _Stacks, parcels: Parcels, bounds: Bounds) -> Iterator[Pairs]:
    """Pairs of outlines that meet even a little inside their borders; of several parcels' outline also with itself.

    Most pairs are neighbours: their borders coincide but for rounding, and to intersect them all would take longer
    than all else that is done for a tile.
    """
    if not len(stacks.shapes):
        return
    several = np.flatnonzero(np.add.reduceat(stacks.parcels, stacks.first) > 1)
    if len(several):
        yield several, several
    inner = _drawn_in(stacks.shapes)
    diagonals = _Diagonals.of(inner)
    shapely.prepare(inner)
    tree = parcels.tree if len(stacks.shapes) == len(parcels) else shapely.STRtree(stacks.shapes)
    for one, other in _sliced(_near(stacks.shapes, tree, bounds)):
        close = diagonals.close(one, other)
        one, other = one[close], other[close]
        meet = shapely.intersects(inner[one], inner[other])
        yield one[meet], other[meet]


def _near(shapes: NDArray[np.object_], tree: shapely.STRtree, bounds: Bounds) -> Iterator[Pairs]:
    """Pairs whose boxes share enough ground of the tile's."""
    boxes = shapely.bounds(shapes)
    for start in range(0, len(shapes), ASKED):
        one, other = tree.query(shapes[start : start + ASKED])
        one = one + start
        one, other = one[one < other], other[one < other]
        low, high = np.maximum(boxes[one, :2], boxes[other, :2]), np.minimum(boxes[one, 2:], boxes[other, 2:])
        near = ((high > bounds[:2]) & (low < bounds[2:])).all(axis=1) & ((high - low).prod(axis=1) >= LEAST)
        yield one[near], other[near]


@dataclass(frozen=True, eq=False)
class _Diagonals:
    """How far outlines reach along the two diagonals: what their boxes are along x and y."""

    low: NDArray[np.float64]
    high: NDArray[np.float64]

    @staticmethod
    def of(shapes: NDArray[np.object_]) -> "_Diagonals":
        x, y = shapely.get_coordinates(shapes).T
        first = np.cumsum(shapely.get_num_coordinates(shapes)) - shapely.get_num_coordinates(shapes)
        along = np.stack([x + y, x - y])
        return _Diagonals(np.minimum.reduceat(along, first, axis=1).T, np.maximum.reduceat(along, first, axis=1).T)

    def close(self, one: Places, other: Places) -> NDArray[np.bool_]:
        """Not so of most pairs that only share a corner, which are half of all."""
        meet = (self.low[one] <= self.high[other]) & (self.low[other] <= self.high[one])
        return np.asarray(meet.all(axis=1), dtype=np.bool_)


def _sliced(found: Iterable[Pairs]) -> Iterator[Pairs]:
    """The same pairs, SLICE of them at a time."""
    held: list[NDArray[np.intp]] = []
    for pairs in found:
        held.append(np.stack(pairs))
        while sum(each.shape[1] for each in held) >= SLICE:
            joined = np.concatenate(held, axis=1)
            yield joined[0, :SLICE], joined[1, :SLICE]
            held = [joined[:, SLICE:]]
    if held:
        one, other = np.concatenate(held, axis=1)
        yield one, other


def _drawn_in(shapes: NDArray[np.object_]) -> NDArray[np.object_]:
    """Every corner moved inwards so that its edges lie THIN / 2 further in: a buffer, but for its care, in no time.

    Outlines with holes or of several parts stay as they are: they are few, and intersecting them tells the same.
    """
    whole = np.flatnonzero(
        (shapely.get_type_id(shapes) == shapely.GeometryType.POLYGON) & (shapely.get_num_interior_rings(shapes) == 0)
    )
    turned = shapely.orient_polygons(shapes[whole])  # what a ring encloses lies to its left
    ends = np.r_[0, np.cumsum(shapely.get_num_coordinates(turned))]
    moved = shapes.copy()
    corners = _moved_inwards(shapely.get_coordinates(turned), ends[:-1], ends[1:] - 1)
    moved[whole] = shapely.from_ragged_array(shapely.GeometryType.POLYGON, corners, (ends, np.arange(len(whole) + 1)))
    return moved


def _moved_inwards(
    corners: NDArray[np.float64], first: NDArray[np.int64], last: NDArray[np.int64]
) -> NDArray[np.float64]:
    """`first` and `last` are where rings begin and end, which is the same corner."""
    x, y = np.ascontiguousarray(corners.T)
    east, north = _steps(x, first, last), _steps(y, first, last)
    length = np.maximum(np.hypot(east, north), 1e-9)
    inwards = [_with_the_one_before(side / length, first, last) for side in (-north, east)]  # to the left of an edge
    far = THIN / np.maximum(inwards[0] ** 2 + inwards[1] ** 2, SHARPEST)
    return np.column_stack([x + far * inwards[0], y + far * inwards[1]])


def _steps(along: NDArray[np.float64], first: NDArray[np.int64], last: NDArray[np.int64]) -> NDArray[np.float64]:
    """From each corner to the next; from the last, which is the first again, to the second."""
    steps = np.append(along[1:] - along[:-1], np.zeros(min(len(along), 1)))
    steps[last] = steps[first]
    return steps


def _with_the_one_before(
    values: NDArray[np.float64], first: NDArray[np.int64], last: NDArray[np.int64]
) -> NDArray[np.float64]:
    """The sum of the values of the edges that meet in a corner."""
    both = values.copy()
    both[1:] += values[:-1]
    both[first] = values[first] + values[last - 1]
    return both
