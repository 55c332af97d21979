"""Vector files that GDAL reads: which formats, their layers, and their features by place."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyogrio
from pyogrio.errors import DataLayerError, DataSourceError, FeatureError, FieldError, GeometryError

from catalogs.errors import BadInput
from catalogs.grid import Bounds
from catalogs.parcels.layers import NOWHERE, Columns, Layer, Objects, not_vector
from catalogs.parcels.systems import in_degrees
from catalogs.parcels.wholeness import check_gml, check_shapefile

PARQUET, GPKG, SHAPEFILE, FLATGEOBUF, GEOJSON, GML = "Parquet", "GPKG", "ESRI Shapefile", "FlatGeobuf", "GeoJSON", "GML"

MAGIC = {b"SQLite format 3\0": GPKG, b"\0\0\x27\x0a": SHAPEFILE, b"fgb": FLATGEOBUF, b"PAR1": PARQUET}
"""How the files begin that are read. GDAL itself knows formats that lead to any other file or address."""

Encodings = Sequence[str | None]
"""To be tried one after the other; None leaves it to GDAL."""

DRIVERS = {GPKG, SHAPEFILE, FLATGEOBUF, GEOJSON, "GeoJSONSeq", GML}
DEGREES = ("EPSG:4326", "OGC:CRS84")
BY_PLACE = {GPKG, SHAPEFILE}
"""Formats whose features can be read from any place on; others are converted once."""

HEAD = 65536
"""Bytes that are looked at to tell the format."""

MARK = 1000
"""Features between two marks: so many at most are skipped one by one."""

GML_OPTIONS = {
    "GML_ATTRIBUTES_TO_OGR_FIELDS": "YES",  # INSPIRE has the crop in xlink:title and xlink:href
    "GML_FIELDTYPES": "ALWAYS_STRING",  # or GDAL takes 088 for the number 88
    "OGR_STROKE_CURVE": "YES",
    "GML_DOWNLOAD_SCHEMA": "NO",
}

FAULTS = (DataSourceError, DataLayerError, FeatureError, FieldError, GeometryError)


def format_of(path: Path) -> str:
    """By what the file holds, not by its name."""
    with path.open("rb") as file:
        head = file.read(HEAD)
    for magic, name in MAGIC.items():
        if head.startswith(magic):
            return name
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip(b" \t\r\n\x1e")
    if text.startswith(b"{") and b"gdal_streamed_alg" not in text:
        return GEOJSON
    if text.startswith(b"<") and b"opengis.net/gml" in text and b"OGRVRT" not in text and b"<!DOCTYPE" not in text:
        return GML
    if path.suffix.lower() in (".dbf", ".shx", ".prj", ".cpg"):
        raise BadInput(f"parcel file {path}", "It is only a part of a shapefile.", "Give the .shp beside it.")
    raise not_vector(path)


@contextmanager
def gml_options() -> Iterator[None]:
    before = {name: pyogrio.get_gdal_config_option(name) for name in GML_OPTIONS}
    pyogrio.set_gdal_config_options(GML_OPTIONS)
    try:
        yield
    finally:
        pyogrio.set_gdal_config_options(before)


def layers_of(path: Path, given: Path, format: str, encodings: Encodings = ()) -> list[Layer]:
    """The layers that can hold polygons."""
    check_shapefile(path, given)
    if format == GML:
        check_gml(path, given)
    try:
        with gml_options():
            names = [str(name) for name, kind in pyogrio.list_layers(path) if kind and _is_areal(str(kind))]
            infos = [_info(path, name, encodings) for name in names]
    except (*FAULTS, UnicodeDecodeError) as error:
        raise not_vector(given) from error
    if any(info["driver"] not in DRIVERS for info in infos):
        raise not_vector(given)
    return [_layer(info) for info in infos]


def _is_areal(kind: str) -> bool:
    return any(word in kind for word in ("Polygon", "Surface", "Unknown", "Collection"))


def _info(path: Path, layer: str, encodings: Encodings) -> dict[str, Any]:
    """Names of columns are in the encoding of the table too."""
    for encoding in encodings[:-1]:
        try:
            return dict(pyogrio.read_info(path, layer=layer, encoding=encoding))
        except UnicodeDecodeError:
            continue
    return dict(pyogrio.read_info(path, layer=layer, encoding=encodings[-1] if encodings else None))


def _layer(info: Mapping[str, Any]) -> Layer:
    known, bounds = info["driver"] in BY_PLACE, _box(info)
    crs = info["crs"] or ""
    if info["driver"] == GEOJSON and crs in DEGREES and not in_degrees(bounds):
        crs = ""  # GDAL takes what says nothing for degrees
    return Layer(
        name=info["layer_name"],
        crs=crs,
        count=info["features"] if known else -1,
        columns=tuple(info["fields"]),
        bounds=bounds,
        fid=info.get("fid_column") or "",
    )


def _box(info: Mapping[str, Any]) -> Bounds:
    if info["total_bounds"] is None:
        return NOWHERE
    left, bottom, right, top = (float(edge) for edge in info["total_bounds"])
    return left, bottom, right, top


def marks_of(path: Path, layer: Layer) -> tuple[int, tuple[int, ...]]:
    """How many features a GeoPackage has, and the row number of every MARK-th of them, to begin reading there.

    SQLite finds a row by its number at once, and by its place only by walking there. The count that the file itself
    states may be out of date, so rows are counted; without numbers, as in a view, it is all there is.
    """
    if not layer.fid:
        return layer.count, ()
    fid, table = _quoted(layer.fid), _quoted(layer.name)
    ends = f"coalesce(min({fid}), 0) AS a, coalesce(max({fid}), 0) AS b"
    first, last, count = _numbers(path, f"SELECT {ends}, count(*) AS c FROM {table}").tolist()
    if count in (0, last - first + 1):
        return count, tuple(range(first, first + count, MARK))
    every = _numbers(path, f"SELECT {fid} + 0 AS a FROM {table} ORDER BY {fid}")
    return len(every), tuple(int(number) for number in every[::MARK])


def _numbers(path: Path, sql: str) -> np.ndarray:
    return np.concatenate(pyogrio.raw.read(path, sql=sql, read_geometry=False)[3]).astype(np.int64)


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def read_rows(
    path: str,
    layer: str,
    columns: Sequence[str],
    first: int,
    count: int,
    fid: str = "",
    marks: Sequence[int] = (),
    encodings: Encodings = (),
) -> tuple[Objects, Columns]:
    """Geometries (WKB) and columns of the features from `first` on, in the file's order."""
    how: dict[str, Any] = {"layer": layer, "columns": list(columns), "max_features": count}
    if marks:
        how |= {"where": f"{_quoted(fid)} >= {marks[first // MARK]}", "skip_features": first % MARK}
    else:
        how["skip_features"] = first
    for encoding in encodings or (None,):
        try:
            meta, _, wkb, fields = pyogrio.raw.read(path, encoding=encoding, **how)
        except UnicodeDecodeError:
            continue
        except FAULTS as error:
            raise not_vector(path) from error
        return wkb, dict(zip(meta["fields"], fields, strict=True))
    raise not_vector(path)
