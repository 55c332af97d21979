"""What is to be told of the parcels of a tile once they are burnt: who overlaps, who got no pixel, who lies across."""

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

Pairs = tuple[NDArray[np.intp], NDArray[np.intp]]


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
    one, other = _candidates(parcels, bounds)
    both = shapely.intersection(parcels.geometries[one], parcels.geometries[other])
    area, corner = shapely.area(both), shapely.bounds(both)[:, :2]
    here = ((corner >= bounds[:2]) & (corner < bounds[2:])).all(axis=1) & (area >= LEAST)
    classes = np.sort(np.stack([parcels.classes[one], parcels.classes[other]], axis=1)[here], axis=1)
    kinds, place = np.unique(classes, axis=0, return_inverse=True)
    pairs, ground = np.bincount(place, minlength=len(kinds)), np.bincount(place, area[here], len(kinds)) / 10_000
    return [[*map(int, kinds[i]), int(pairs[i]), round(float(ground[i]), 4)] for i in range(len(kinds))]


def _candidates(parcels: Parcels, bounds: Bounds) -> Pairs:
    """Pairs that meet even a little inside their borders, and whose boxes share enough ground of the tile's.

    Most pairs are neighbours: their borders coincide but for rounding, and to intersect them all would take longer
    than all else that is done for a tile.
    """
    one, other = parcels.tree.query(parcels.geometries)
    one, other = one[one < other], other[one < other]
    boxes = shapely.bounds(parcels.geometries)
    low, high = np.maximum(boxes[one, :2], boxes[other, :2]), np.minimum(boxes[one, 2:], boxes[other, 2:])
    near = ((high > bounds[:2]) & (low < bounds[2:])).all(axis=1) & ((high - low).prod(axis=1) >= LEAST)
    one, other = one[near], other[near]
    involved, place = np.unique(np.r_[one, other], return_inverse=True)
    inner = _drawn_in(parcels.geometries[involved])
    shapely.prepare(inner)
    meet = shapely.intersects(inner[place[: len(one)]], inner[place[len(one) :]])
    return one[meet], other[meet]


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
    before, after = np.roll(corners, 1, axis=0), np.roll(corners, -1, axis=0)
    before[first], after[last] = corners[last - 1], corners[first + 1]
    inwards = _left_of(corners - before) + _left_of(after - corners)
    length = np.maximum((inwards**2).sum(axis=1), SHARPEST)
    return np.asarray(corners + THIN * inwards / length[:, None])


def _left_of(edges: NDArray[np.float64]) -> NDArray[np.float64]:
    """Across each edge, one metre long."""
    length = np.maximum(np.hypot(*edges.T), 1e-9)
    return np.column_stack([-edges[:, 1] / length, edges[:, 0] / length])
