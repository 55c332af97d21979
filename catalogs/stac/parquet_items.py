"""Items of a stac-geoparquet file: one row each, its properties in columns of their own."""

import json
from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import shapely

from catalogs.errors import BadInput
from catalogs.stac.wanted import Wanted

ROWS = 500
"""Rows that are held at a time: an item is some 100 kB."""

OF_ITEM = {"type", "stac_version", "stac_extensions", "id", "bbox", "geometry", "links", "assets", "collection"}
"""Columns of an item itself; all others are its properties."""

DAY = timedelta(days=1)

NEEDED = {"id", "geometry", "assets", "datetime"}


def items_of_parquet(file: Path, wanted: Wanted) -> Iterator[dict[str, Any]]:
    """Items of the collection and season."""
    try:
        table = ds.dataset(file, format="parquet")
        lacking = NEEDED - set(table.schema.names)
        if lacking:
            raise _unreadable(file, f"it has no column {', '.join(sorted(lacking))}")
        for batch in table.to_batches(filter=_filter(table.schema, wanted), batch_size=ROWS):
            for row in batch.to_pylist():
                yield _item(row)
    except FileNotFoundError as error:
        raise BadInput(
            f"catalogue {file}", "is not there.", "Write the path of a stac-geoparquet file in [imagery] catalog."
        ) from error
    except (pa.ArrowException, OSError, ValueError, TypeError, KeyError, shapely.errors.ShapelyError) as error:
        raise _unreadable(file, str(error).splitlines()[0][:160]) from error


def _filter(schema: pa.Schema, wanted: Wanted) -> Any:
    """Rows of other collections and seasons are not even decoded."""
    first, after = (_midnight(day, schema.field("datetime").type) for day in (wanted.start, wanted.end + DAY))
    chosen = (pc.field("datetime") >= first) & (pc.field("datetime") < after)
    if "collection" in schema.names:
        chosen &= pc.field("collection").is_null() | (pc.field("collection") == wanted.collection)
    return chosen


def _midnight(day: date, kind: pa.DataType) -> Any:
    """As the column writes it; in ISO 8601, text has the order of time."""
    if not pa.types.is_timestamp(kind):
        return str(day)
    return pa.scalar(datetime.combine(day, time(), tzinfo=UTC if kind.tz else None), kind)


def _item(row: dict[str, Any]) -> dict[str, Any]:
    row = {name: value for name, value in row.items() if value is not None}
    nested = _decoded(row.pop("properties", None) or {})
    properties = nested | {name: _plain(value) for name, value in row.items() if name not in OF_ITEM}
    assets = {name: asset for name, asset in _plain(_decoded(row["assets"])).items() if asset}
    return {
        "type": "Feature",
        "id": row["id"],
        "collection": row.get("collection"),
        "geometry": _geometry(row["geometry"]),
        "properties": properties,
        "assets": assets,
    }


def _geometry(value: Any) -> Any:
    if isinstance(value, bytes):
        return json.loads(shapely.to_geojson(shapely.from_wkb(value)))
    return _decoded(value)


def _decoded(value: Any) -> Any:
    """Some writers put JSON into a column of text where others make a column of parts."""
    return json.loads(value) if isinstance(value, str) else value


def _plain(value: Any) -> Any:
    """As it stood in the JSON: a column has a place for every asset that any row has, empty in the others."""
    if isinstance(value, datetime):
        return (value if value.tzinfo else value.replace(tzinfo=UTC)).isoformat()
    if isinstance(value, Mapping):
        return {name: _plain(inner) for name, inner in value.items() if inner is not None}
    return [_plain(inner) for inner in value] if isinstance(value, list) else value


def _unreadable(file: Path, why: str) -> BadInput:
    return BadInput(
        f"catalogue {file}", f"cannot be read as stac-geoparquet ({why}).", "Give a file as stac-geoparquet writes it."
    )
