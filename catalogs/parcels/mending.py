"""Outlines as they stand in a file made fit for burning: flat, in the grid's CRS, valid polygons, measured."""

from collections.abc import Callable
from dataclasses import dataclass
from hashlib import blake2b

import numpy as np
import shapely
from numpy.typing import NDArray
from pyproj import CRS, Transformer

Objects = NDArray[np.object_]

PIXEL_AREA = 100.0
"""square metres: a parcel narrower than NARROW and smaller than this is dropped"""
NARROW = 5.0
"""metres of mean width (twice the area over the perimeter): what is narrower is a sliver"""
STRAY = 1_000_000.0
"""metres: an outline that is as long has a corner with wrong coordinates (France has some); a river may have 250 km"""
FARTHEST = 20_000_000.0
"""metres from the origin of a CRS: half way round the Earth, and no corner lies farther"""

SOUND, EMPTY, NOT_POLYGON, STRAYED, SLIVER = range(5)
FAULTS = ("sound", "empty", "not_polygon", "stray", "sliver")
"""What is dropped, and why, by number: no outline at all; points or lines; a corner far away or nowhere; too thin."""

EUROPE, WORLD = "EPSG:3035", "EPSG:6933"
"""Equal-area systems: the one that European areas are measured in, and one that holds everywhere else."""


@dataclass(frozen=True, eq=False)
class Mended:
    """One entry for each outline given; where `fault` is not SOUND there is nothing to use."""

    shapes: Objects
    fault: NDArray[np.uint8]
    repaired: NDArray[np.bool_]
    narrow: NDArray[np.bool_]


def mend(raw: Objects, source: str, target: str) -> Mended:
    """Outlines of the CRS `source` as valid polygons of the CRS `target`, in which metres are measured."""
    shapes = np.asarray(shapely.force_2d(raw), dtype=object)
    given = ~(shapely.is_missing(shapes) | shapely.is_empty(shapes))
    moved = reproject(shapes, source, target)
    repaired = given & ~shapely.is_valid(moved)
    polygons = _polygons(moved)
    lacking = shapely.is_missing(polygons) | shapely.is_empty(polygons)
    narrow = _narrow(polygons)
    fault = np.full(len(raw), SOUND, dtype=np.uint8)
    fault[narrow & (shapely.area(polygons) < PIXEL_AREA)] = SLIVER
    fault[lacking] = NOT_POLYGON
    fault[given & (shapely.is_missing(moved) | _longer_than(moved, STRAY))] = STRAYED
    fault[~given] = EMPTY
    return Mended(polygons, fault, repaired & (fault == SOUND), narrow & (fault == SOUND))


def reproject(shapes: Objects, source: str, target: str) -> Objects:
    """None where a corner has no place in the target CRS, or in none."""
    move = mover(source, target)
    moved = shapes.copy() if move is None else np.asarray(shapely.transform(shapes, move), dtype=object)
    corners, owner = shapely.get_coordinates(moved, return_index=True)
    moved[owner[~(np.abs(corners) <= FARTHEST).all(axis=1)]] = None  # not by its bounds, which pass over a NaN
    moved[shapely.is_empty(moved)] = None
    return moved


def mover(source: str, target: str) -> Callable[[NDArray[np.float64]], NDArray[np.float64]] | None:
    """Takes corners (n, 2) from one CRS to another; None where both are one."""
    if CRS.from_user_input(source) == CRS.from_user_input(target):
        return None
    # always_xy: EPSG:5514 and the geographic systems say y first, files hold x first
    move = Transformer.from_crs(source, target, always_xy=True).transform
    return lambda xy: np.column_stack(move(xy[:, 0], xy[:, 1]))


def hectares(shapes: Objects, crs: str) -> NDArray[np.float64]:
    """Areas on the ground, not in the map: a national projection may stretch."""
    return np.asarray(shapely.area(reproject(shapes, crs, equal_area(crs))) / 10_000, dtype=np.float64)


def equal_area(crs: str) -> str:
    """The system in which areas of a CRS are measured: Europe's as long as the CRS is made for land within it."""
    made_for, europe = (CRS.from_user_input(c).area_of_use for c in (crs, EUROPE))
    if made_for is None or europe is None:
        return EUROPE
    within = europe.west <= (made_for.west + made_for.east) / 2 <= europe.east
    return EUROPE if within and europe.south <= (made_for.south + made_for.north) / 2 <= europe.north else WORLD


def outlines(shapes: Objects) -> NDArray[np.uint64]:
    """A number for each outline, the same wherever its rings start and however they turn."""
    wkb = shapely.to_wkb(shapely.normalize(shapes), byte_order=1)
    return np.array([int.from_bytes(blake2b(each, digest_size=8).digest(), "big") for each in wkb], dtype=np.uint64)


def _polygons(shapes: Objects) -> Objects:
    """Broken rings mended; the lines and points that mending leaves behind, and all that was no polygon, dropped."""
    fixed = np.array(shapely.make_valid(shapes), dtype=object)
    kinds = shapely.get_type_id(fixed)
    for i in np.flatnonzero((kinds != shapely.GeometryType.POLYGON) & (kinds != shapely.GeometryType.MULTIPOLYGON)):
        parts, _ = _simple_parts(fixed[i : i + 1])
        areas = parts[shapely.get_type_id(parts) == shapely.GeometryType.POLYGON]
        fixed[i] = shapely.union_all(areas) if areas.size else None
    return fixed


def _longer_than(shapes: Objects, most: float) -> NDArray[np.bool_]:
    """Whether one part of an outline spans more metres; parts may lie as far apart as they like."""
    parts, owner = _simple_parts(shapes)
    left, bottom, right, top = shapely.bounds(parts).T
    longer = np.zeros(len(shapes), dtype=np.bool_)
    longer[owner[np.maximum(right - left, top - bottom) > most]] = True
    return longer


def _simple_parts(shapes: Objects) -> tuple[Objects, NDArray[np.int64]]:
    """Points, lines and polygons, however deep in collections they are, and of which shape each is."""
    parts, owner = shapely.get_parts(shapes, return_index=True)
    while (shapely.get_type_id(parts) > shapely.GeometryType.POLYGON).any():
        parts, within = shapely.get_parts(parts, return_index=True)
        owner = owner[within]
    return parts, owner


def _narrow(polygons: Objects) -> NDArray[np.bool_]:
    perimeter = np.maximum(shapely.length(polygons), np.finfo(float).tiny)
    return np.asarray(2 * shapely.area(polygons) / perimeter < NARROW, dtype=np.bool_)
