"""GeoParquet files: what one says of itself, its rows by place, and a copy in groups of rows that can be so read."""

import json
from collections.abc import Iterable, Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import shapely
from pyproj import CRS
from pyproj.exceptions import CRSError

from catalogs.errors import BadInput
from catalogs.parcels.layers import NOWHERE, Columns, Layer, Objects, not_vector, shapes_of

GROUP = 50_000
"""Rows of a group in the files that are written here."""
LARGEST = 250_000
"""Rows of a group above which a file is rewritten: of a group, reading any row costs all."""

LONGITUDE_LATITUDE = "OGC:CRS84"
"""What a column says that has no `crs` (GeoParquet 1.1); null means that it is not known."""
BINARY = ("geometry", "geom", "wkb_geometry")
"""Columns that hold geometries where the file does not say so."""


def parquet_layer(path: Path, given: Path) -> Layer:
    try:
        with pq.ParquetFile(path) as file:
            schema, rows = file.schema_arrow, file.metadata.num_rows
            return _layer(given, schema, rows, _geo(file))
    except (pa.ArrowException, OSError, ValueError, TypeError) as error:  # what it says may be of any type
        raise not_vector(given) from error


def _layer(given: Path, schema: pa.Schema, rows: int, geo: dict[str, Any]) -> Layer:
    name, column = _geometry_column(given, geo, schema)
    if column.get("encoding") != "WKB" or not _is_binary(schema.field(name).type):
        raise BadInput(f"parcel file {given}", "Its geometries are not WKB.", "Write it with geopandas' to_parquet.")
    if len(set(schema.names)) < len(schema.names):
        raise ValueError("two columns have one name")
    columns = tuple(other for other in schema.names if other != name)
    return Layer(name, _crs(given, column), rows, columns, _bounds(column))


def _is_binary(kind: pa.DataType) -> bool:
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_binary_view(kind))


def check_single(path: Path, given: Path, columns: Sequence[str]) -> None:
    """Of a list there is no telling which of its values is meant."""
    schema = pq.read_schema(path)
    lists = [name for name in columns if pa.types.is_nested(schema.field(name).type)]
    if lists:
        why = f"Its column {lists[0]} holds several values for a parcel."
        raise BadInput(
            f"parcel file {given}", why, "Write the file anew with one value for each, or without the column."
        )


def _geo(file: pq.ParquetFile) -> dict[str, Any]:
    told = {**(file.schema_arrow.metadata or {}), **(file.metadata.metadata or {})}
    geo = json.loads(told.get(b"geo", b"{}"))
    return geo if isinstance(geo, dict) else {}


def _geometry_column(given: Path, geo: dict[str, Any], schema: pa.Schema) -> tuple[str, dict[str, Any]]:
    name = geo.get("primary_column")
    if isinstance(name, str) and name in schema.names and isinstance(geo.get("columns"), dict):
        return name, dict(geo["columns"].get(name, {}))
    for name in BINARY:
        if name in schema.names and _is_binary(schema.field(name).type):
            return name, {"encoding": "WKB", "crs": None}
    raise BadInput(
        f"parcel file {given}",
        f"It is a Parquet file without a column of geometries (it has {', '.join(schema.names[:12])}).",
        "Write it with geopandas' to_parquet.",
    )


def _crs(given: Path, column: dict[str, Any]) -> str:
    crs = column.get("crs", LONGITUDE_LATITUDE)
    if not crs:
        return ""
    try:
        return str(CRS.from_user_input(crs).to_string())
    except CRSError as error:
        raise BadInput(f"parcel file {given}", "Its CRS is not understood.", "Write it anew with geopandas.") from error


def _bounds(column: dict[str, Any]) -> tuple[float, float, float, float]:
    box = column.get("bbox")
    if not isinstance(box, list) or len(box) not in (4, 6):
        return NOWHERE
    half = len(box) // 2  # a box may hold heights too
    return float(box[0]), float(box[1]), float(box[half]), float(box[half + 1])


def read_rows(path: str, layer: str, columns: Sequence[str], first: int, count: int) -> tuple[Objects, Columns]:
    """Geometries (WKB) and columns of the rows from `first` on; only the groups that hold them are read."""
    try:
        with pq.ParquetFile(path) as file:
            sizes = [file.metadata.row_group(group).num_rows for group in range(file.num_row_groups)]
            ends = list(accumulate(sizes))
            groups = [g for g, end in enumerate(ends) if end > first and end - sizes[g] < first + count]
            table = (
                file.read_row_groups(groups, columns=[*columns, layer]) if groups else file.schema_arrow.empty_table()
            )
    except (pa.ArrowException, OSError) as error:
        raise not_vector(path) from error
    begin = ends[groups[0]] - sizes[groups[0]] if groups else 0
    table = table.slice(first - begin, count) if groups else table
    try:
        return _values(table[layer]), {name: _values(table[name]) for name in columns}
    except UnicodeDecodeError as error:
        raise not_vector(path) from error


def _values(column: pa.ChunkedArray) -> Any:
    values = np.empty(len(column), dtype=object)
    values[:] = column.to_pylist()
    return values


def largest_group(path: Path) -> int:
    with pq.ParquetFile(path) as file:
        return max((file.metadata.row_group(group).num_rows for group in range(file.num_row_groups)), default=0)


def write_groups(path: Path, batches: Iterable[pa.RecordBatch], schema: pa.Schema, geometry: str, crs: str) -> None:
    """A GeoParquet file from batches of rows, one after the other, so that few of them are in memory."""
    box = np.full((1, 4), np.nan)
    schema = schema.remove_metadata()
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        for batch in batches:
            table = pa.Table.from_batches([batch]).replace_schema_metadata(None).cast(schema)
            writer.write_table(table, row_group_size=GROUP)
            box = _grown(box, shapely.bounds(shapes_of(table[geometry].to_pylist())).reshape(-1, 4))
        writer.add_key_value_metadata({"geo": json.dumps(_metadata(geometry, crs, box))})


def _grown(box: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    every = np.concatenate([box, boxes[np.isfinite(boxes).all(axis=1)]])
    return np.concatenate([np.fmin.reduce(every[:, :2]), np.fmax.reduce(every[:, 2:])])[None]


def _metadata(geometry: str, crs: str, box: np.ndarray) -> dict[str, Any]:
    column: dict[str, Any] = {"encoding": "WKB", "geometry_types": []}
    column["crs"] = CRS.from_user_input(crs).to_json_dict() if crs else None
    if np.isfinite(box).all():
        column["bbox"] = box[0].tolist()
    return {"version": "1.1.0", "primary_column": geometry, "columns": {geometry: column}}
