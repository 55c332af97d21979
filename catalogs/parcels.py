"""Parcel declarations as EuroCrops delivers them, read for one rectangle and made fit for burning."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import shapely
from numpy.typing import NDArray
from pyproj import CRS, Transformer
from pyproj.exceptions import ProjError

from catalogs.errors import BadInput
from catalogs.grid import Bounds
from catalogs.parcel_files import Objects, Source, boxes_meet, has_features, read_features, source_info
from catalogs.taxonomy import HCAT3, HCAT4, IGNORE, Taxonomy

__all__ = ["Parcels", "Source", "read_parcels", "source_info"]

PIXEL_AREA = 100.0
"""square metres: a parcel narrower than NARROW and smaller than this is dropped"""
NARROW = 5.0
"""metres of mean width (twice the area over the perimeter): what is narrower is a sliver"""


@dataclass(frozen=True, eq=False)
class Parcels:
    """Valid polygons with their class and number, in the order of the file; `counts` is what reading met.

    An id is the feature's number in the file plus one, so that 0 can mean no parcel.
    counts: read = empty + duplicate + slivers_dropped + kept; of those kept: repaired, slivers_kept, null_code, and
    unknown (3399000000 or not a code at all). The last two are class 255.
    """

    crs: str
    geometries: Objects
    classes: NDArray[np.uint8]
    ids: NDArray[np.uint32]
    counts: Mapping[str, int]

    def __len__(self) -> int:
        return len(self.ids)

    @cached_property
    def tree(self) -> shapely.STRtree:
        return shapely.STRtree(self.geometries)


def read_parcels(path: Path | str, bounds: Bounds | None, bounds_crs: str, taxonomy: Taxonomy) -> Parcels:
    """The parcels that can touch `bounds`, in the CRS of `bounds`; None reads the whole file.

    A parcel without a geometry lies nowhere: it is met, and counted as empty, only when the whole file is read.
    """
    source = source_info(path)
    fids, codes, raw = read_features(source, _box_in(source.crs, bounds, bounds_crs))
    shapes = _reproject(shapely.force_2d(raw), source.crs, bounds_crs)
    near = boxes_meet(shapes, bounds)
    return _assemble(path, bounds_crs, fids[near], codes[near], shapes[near], taxonomy)


def any_parcel(path: Path | str, bounds: Bounds, bounds_crs: str) -> bool:
    """Whether the file holds anything near `bounds`; reads at most one feature where the format allows."""
    source = source_info(path)
    return has_features(source, _box_in(source.crs, bounds, bounds_crs))


def _assemble(
    path: Path | str, crs: str, fids: NDArray[np.int64], codes: Objects, shapes: Objects, taxonomy: Taxonomy
) -> Parcels:
    order = np.argsort(fids, kind="stable")
    fids, codes, shapes = fids[order], codes[order], shapes[order]
    broken = ~shapely.is_valid(shapes)
    polygons = _polygons(shapes)
    usable = ~(shapely.is_missing(polygons) | shapely.is_empty(polygons))
    first = _first_of_each(shapes, codes)
    narrow = _narrow(polygons)
    tiny = narrow & (shapely.area(polygons) < PIXEL_AREA)
    kept = usable & first & ~tiny
    classes, unknown = _classify(path, codes[kept], taxonomy)
    null = np.array([code is None for code in codes[kept]], dtype=bool)
    tally = {
        "read": np.ones(len(fids), dtype=bool),
        "empty": ~usable,
        "duplicate": usable & ~first,
        "slivers_dropped": usable & first & tiny,
        "kept": kept,
        "repaired": kept & broken,
        "slivers_kept": kept & narrow,
        "null_code": null,
        "unknown": unknown,
    }
    counts = {name: int(np.count_nonzero(where)) for name, where in tally.items()}
    return Parcels(crs, polygons[kept], classes, _ids(path, fids[kept]), counts)


def _classify(path: Path | str, codes: Objects, taxonomy: Taxonomy) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """Class of each code, and where a code is given but says nothing; a code of another family is an error."""
    table: dict[str | None, tuple[int, bool]] = {None: (IGNORE, False)}
    for code in set(codes) - {None}:
        if HCAT3.fullmatch(code) or HCAT4.fullmatch(code):
            try:
                number = taxonomy.class_of(code)
            except BadInput as error:
                raise BadInput(f"{error.given} in {path}", error.why, error.remedy) from error
            table[code] = number, number == IGNORE
        else:
            table[code] = IGNORE, True
    found = [table[code] for code in codes]
    return np.array([f[0] for f in found], dtype=np.uint8), np.array([f[1] for f in found], dtype=bool)


def _ids(path: Path | str, fids: NDArray[np.int64]) -> NDArray[np.uint32]:
    if fids.size and not 0 <= fids.min() <= fids.max() < 2**32 - 1:
        raise BadInput(f"parcel file {path}", "Its feature numbers do not fit 32 bits.", "Number them from 0.")
    return (fids + 1).astype(np.uint32)


def _reproject(shapes: Objects, source: str, target: str) -> Objects:
    if CRS.from_user_input(source) == CRS.from_user_input(target):
        return shapes
    # always_xy: EPSG:5514 and the geographic systems say y first, files hold x first
    move = Transformer.from_crs(source, target, always_xy=True).transform
    moved = shapely.transform(shapes, lambda xy: np.column_stack(move(xy[:, 0], xy[:, 1])))
    moved[~np.isfinite(shapely.bounds(moved)).all(axis=1)] = None  # outside what the CRS can say
    return np.asarray(moved, dtype=object)


def _polygons(shapes: Objects) -> Objects:
    """Broken rings mended; the lines and points that mending leaves behind, and all that was no polygon, dropped."""
    fixed = np.array(shapely.make_valid(shapes), dtype=object)
    kinds = shapely.get_type_id(fixed)
    for i in np.flatnonzero((kinds != shapely.GeometryType.POLYGON) & (kinds != shapely.GeometryType.MULTIPOLYGON)):
        parts = shapely.get_parts(shapely.get_parts(fixed[i]))  # twice: a collection may hold multipolygons
        areas = parts[shapely.get_type_id(parts) == shapely.GeometryType.POLYGON]
        fixed[i] = shapely.union_all(areas) if areas.size else None
    return fixed


def _first_of_each(shapes: Objects, codes: Objects) -> NDArray[np.bool_]:
    """False for a parcel whose outline and crop are exactly those of one before it, wherever the ring starts."""
    seen: set[tuple[bytes | None, str | None]] = set()
    outlines = shapely.to_wkb(shapely.normalize(shapes))
    first = np.zeros(len(shapes), dtype=np.bool_)
    for i, key in enumerate(zip(outlines, codes, strict=True)):
        first[i] = key not in seen
        seen.add(key)
    return first


def _narrow(polygons: Objects) -> NDArray[np.bool_]:
    perimeter = np.maximum(shapely.length(polygons), np.finfo(float).tiny)
    return 2 * shapely.area(polygons) / perimeter < NARROW


def _box_in(crs: str, bounds: Bounds | None, bounds_crs: str) -> Bounds | None:
    """A box of the file's CRS that surely holds `bounds`, curved edges and all; None if there is no such box."""
    if bounds is None:
        return None
    try:
        move = Transformer.from_crs(bounds_crs, crs, always_xy=True)
        left, bottom, right, top = move.transform_bounds(*bounds, densify_pts=21)
    except ProjError:
        return None
    if not np.isfinite([left, bottom, right, top]).all() or right < left:
        return None
    margin = 0.01 * max(right - left, top - bottom)
    return left - margin, bottom - margin, right + margin, top + margin
