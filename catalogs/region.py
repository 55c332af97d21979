"""The ground to map: a boundary file or a box, in the CRS of the run."""

from pathlib import Path
from typing import Any

import numpy as np
import pyogrio
from pyproj import CRS, Transformer
from pyproj.exceptions import ProjError
from shapely import Polygon, box, make_valid, segmentize, transform, union_all
from shapely.geometry.base import BaseGeometry

from catalogs.errors import BadInput
from catalogs.grid import Bounds

LONLAT = "EPSG:4326"


def region_from_box(bbox: Bounds, crs: str) -> BaseGeometry:
    """A lon/lat box as the grid's CRS sees it: its edges are curves there, so they are cut finely first."""
    return reproject(box(*bbox), LONLAT, crs, step=0.02)


def region_from_file(path: Path, crs: str) -> BaseGeometry:
    try:
        frame = pyogrio.read_dataframe(path, columns=[])
    except Exception as error:  # pyogrio raises its own and GDAL's errors; all mean the same here
        raise BadInput(
            f"boundary {path}",
            f"cannot be read as a vector file ({str(error).splitlines()[0].split(';')[0]}).",
            "Give a GeoPackage, shapefile, GeoJSON or GeoParquet of polygons in [region] boundary.",
        ) from error
    shape = union_all(make_valid(frame.geometry.dropna().to_numpy())) if "geometry" in frame else Polygon()
    if shape.is_empty or shape.area == 0:
        raise BadInput(f"boundary {path}", "holds no polygon.", "Give a file with the region's outline.")
    if frame.crs is None:
        raise BadInput(
            f"boundary {path}",
            "does not say its CRS, so its place on Earth is unknown.",
            "Save it again with a CRS, for example: ogr2ogr -a_srs EPSG:3035 fixed.gpkg FILE.",
        )
    try:
        return reproject(shape, frame.crs, crs)
    except BadInput as error:
        raise BadInput(f"boundary {path}, {error.given}", error.why, error.remedy) from error


def reproject(shape: BaseGeometry, source: CRS | str, target: CRS | str, step: float | None = None) -> BaseGeometry:
    try:
        transformer = Transformer.from_crs(source, target, always_xy=True)
    except ProjError as error:
        raise _unrelated(source, target, "PROJ knows no way from one to the other") from error
    move: Any = transformer.transform  # its overloads are more than shapely's annotation asks for
    moved: BaseGeometry = transform(segmentize(shape, step) if step else shape, move, interleaved=False)
    if not np.isfinite(moved.bounds).all():
        raise _unrelated(source, target, "it reaches beyond what they can say")
    return moved


def lonlat(shape: BaseGeometry, crs: str) -> BaseGeometry:
    return reproject(shape, crs, LONLAT)


def _unrelated(source: CRS | str, target: CRS | str, why: str) -> BadInput:
    ours, theirs = (CRS.from_user_input(crs).name for crs in (source, target))
    return BadInput(
        f"outline in {ours!r}",
        f"cannot be drawn in {theirs!r}: {why}.",
        "Save it again in the CRS that it is in, one with an EPSG code, and check its coordinates and [region] crs.",
    )
