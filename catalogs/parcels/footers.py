"""The parts of a parcel table as their footers tell them: read once by a process, so that a tile finds its rows."""

import json
import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from fsspec.core import url_to_fs
from numpy.typing import NDArray
from pyproj import CRS

from catalogs.root import Root

FOLDER = "parcels"
PART = re.compile(r"part-(\d{5,})\.parquet")

SIDES = ("left", "bottom", "right", "top")
"""Columns of a parcel's box."""


@dataclass(frozen=True)
class Part:
    """A file of the table, with what its footer says."""

    place: str
    footer: pq.FileMetaData
    boxes: NDArray[np.float64]
    """of each row group: left, bottom, right, top"""
    crs: str
    """as WKT"""


def parts_of(root: Root) -> list[Part]:
    """Footers are read once by a process, and again where a part has been written anew."""
    files, folder = url_to_fs(root.path(FOLDER))
    try:
        found = files.ls(folder, detail=True, refresh=True)
    except FileNotFoundError:
        return []
    named = sorted((entry for entry in found if PART.fullmatch(_name(entry))), key=_name)
    return [_part(f"{root.path(FOLDER)}/{_name(entry)}", _state(entry)) for entry in named]


def _name(entry: dict[str, Any]) -> str:
    return str(entry["name"]).rsplit("/", 1)[-1]


def _state(entry: dict[str, Any]) -> str:
    """Another one for other content: a server's digest, or the times of a local file."""
    return str(entry.get("ETag") or (entry["size"], entry.get("mtime"), entry.get("ino")))


@lru_cache(maxsize=1024)
def _part(place: str, state: str) -> Part:
    with _file(place) as file:
        footer = pq.read_metadata(file)
    column = {footer.schema.column(i).name: i for i in range(footer.num_columns)}
    boxes = [[_edge(footer.row_group(g).column(column[s]), s) for s in SIDES] for g in range(footer.num_row_groups)]
    geo = json.loads(footer.metadata[b"geo"])
    crs = CRS.from_json_dict(geo["columns"]["geometry"]["crs"]).to_wkt()
    return Part(place, footer, np.array(boxes, dtype=np.float64).reshape(-1, 4), crs)


def _edge(column: Any, side: str) -> float:
    """The outermost of a row group; NaN, which nothing meets, of one without rows."""
    if column.statistics is None:
        return float("nan")
    return float(column.statistics.min if side in ("left", "bottom") else column.statistics.max)


def _file(place: str) -> Any:
    """A local file is mapped into memory; of one elsewhere only the asked ranges are fetched."""
    if "://" not in place:
        return pa.memory_map(place)
    files, path = url_to_fs(place)
    return files.open(path, "rb", cache_type="none")


def opened(part: Part) -> pq.ParquetFile:
    return pq.ParquetFile(_file(part.place), metadata=part.footer, pre_buffer="://" in part.place)
