"""The harmonised parcels of a run: GeoParquet parts in the root, sorted along a curve so that a tile reads little."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from io import BytesIO
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import shapely
from numpy.typing import NDArray
from pyproj import CRS

from catalogs.errors import BadInput
from catalogs.grid import Bounds
from catalogs.parcels.footers import FOLDER as FOLDER
from catalogs.parcels.footers import PART, SIDES, Part, opened, parts_of
from catalogs.parcels.mending import Objects
from catalogs.root import Root

GROUP = 1024
"""Parcels that are read together. Fewer make footers long, more make a tile read what lies outside it."""

SCHEMA = pa.schema(
    {
        "parcel": pa.uint32(),
        "crop": pa.uint8(),
        "status": pa.uint8(),
        "code": pa.string(),
        "name": pa.string(),
        "hcat": pa.string(),
        "year": pa.int16(),
        "hectares": pa.float64(),
        "declared": pa.float64(),
        "repaired": pa.bool_(),
        "narrow": pa.bool_(),
        "inside": pa.bool_(),
        "outline": pa.uint64(),
        **dict.fromkeys(SIDES, pa.float64()),
        "geometry": pa.binary(),
    }
)


BARE = ("geometry", *SIDES)
"""Columns stored as they are: coordinates hardly compress (to 0.85), and reading them would take twice the time."""


@dataclass(frozen=True, eq=False)
class Rows:
    """Parcels of one part, an array for each column of SCHEMA but those that follow from the geometry."""

    crs: str
    parcel: NDArray[np.uint32]
    """number in the file plus one, so that 0 can mean no parcel"""
    crop: NDArray[np.uint8]
    status: NDArray[np.uint8]
    code: Objects
    name: Objects
    hcat: Objects
    year: NDArray[np.int16]
    """0 = not said"""
    hectares: NDArray[np.float64]
    declared: NDArray[np.float64]
    """area as the file says it, in the file's unit; NaN = not said"""
    repaired: NDArray[np.bool_]
    narrow: NDArray[np.bool_]
    inside: NDArray[np.bool_]
    outline: NDArray[np.uint64]
    geometry: Objects


@dataclass(frozen=True, eq=False)
class Parcels:
    """Valid polygons with their class and number."""

    crs: str
    geometries: Objects
    classes: NDArray[np.uint8]
    ids: NDArray[np.uint32]
    encoded: Objects | None = None
    """The geometries as WKB, where it is at hand."""

    def __len__(self) -> int:
        return len(self.ids)

    @cached_property
    def wkb(self) -> Objects:
        """Encoded once for all that is burnt of it."""
        if self.encoded is not None:
            return self.encoded
        return np.asarray(shapely.to_wkb(self.geometries, output_dimension=2), dtype=object)  # 3 would ask each for z

    def chosen(self, some: NDArray[np.intp]) -> "Parcels":
        return Parcels(self.crs, self.geometries[some], self.classes[some], self.ids[some], self.wkb[some])

    @cached_property
    def tree(self) -> shapely.STRtree:
        return shapely.STRtree(self.geometries)


def part_key(number: int) -> str:
    return f"{FOLDER}/part-{number:05d}.parquet"


def part_numbers(root: Root) -> list[int]:
    names = (PART.fullmatch(key.rsplit("/", 1)[-1]) for key in root.keys(FOLDER))
    return sorted(int(name[1]) for name in names if name)


def write_part(root: Root, number: int, rows: Rows) -> None:
    """The same rows give the same bytes, whoever writes them."""
    file = BytesIO()
    pq.write_table(
        _arrow(rows),
        file,
        row_group_size=GROUP,
        compression={name: "none" if name in BARE else "zstd" for name in SCHEMA.names},
        compression_level={name: 1 for name in SCHEMA.names if name not in BARE},
        use_dictionary=["code", "name", "hcat", "year"],
        write_statistics=list(SIDES),  # all that a reader of boxes asks for; the others would double the footer
    )
    root.write(part_key(number), file.getvalue())


def _arrow(rows: Rows) -> pa.Table:
    along = np.lexsort((rows.parcel, _along_curve(rows.geometry)))
    values: dict[str, Any] = {name: value for name, value in vars(rows).items() if name != "crs"}
    values |= dict(zip(SIDES, shapely.bounds(rows.geometry).T, strict=True))
    values["geometry"] = shapely.to_wkb(rows.geometry, byte_order=1)
    columns = [pa.array(values[field.name][along], field.type, from_pandas=False) for field in SCHEMA]
    return pa.table(columns, SCHEMA.with_metadata({"geo": json.dumps(_geo(rows))}))


def _along_curve(shapes: Objects) -> NDArray[np.uint32]:
    if not len(shapes):
        return np.zeros(0, dtype=np.uint32)
    import geopandas as gpd  # 60 MB that workers which only read the table can do without

    return np.asarray(gpd.GeoSeries(shapes).hilbert_distance(level=15), dtype=np.uint32)


def _geo(rows: Rows) -> dict[str, Any]:
    column: dict[str, Any] = {"encoding": "WKB", "geometry_types": ["Polygon", "MultiPolygon"]}
    column["crs"] = CRS.from_user_input(rows.crs).to_json_dict()
    if len(rows.parcel):
        column["bbox"] = shapely.total_bounds(rows.geometry).tolist()
    return {"version": "1.1.0", "primary_column": "geometry", "columns": {"geometry": column}}


def read_columns(root: Root, columns: Sequence[str]) -> Iterator[pa.Table]:
    """Some columns of all parcels, a part at a time."""
    for part in parts_of(root):
        with opened(part) as file:
            yield file.read(columns=list(columns), use_threads=False)


def read_parcels(root: Root, bounds: Bounds, crs: str) -> Parcels:
    """The parcels whose box meets `bounds`, in the order of their numbers; `crs` is the table's, and of `bounds`."""
    parts = [part for part in parts_of(root) if _same(part, crs)]
    found = [_meeting(part, np.flatnonzero(_meet(part.boxes, bounds)), bounds) for part in parts]
    ids = np.concatenate([np.zeros(0, np.uint32), *(ids for ids, _, _ in found)])
    classes = np.concatenate([np.zeros(0, np.uint8), *(classes for _, classes, _ in found)])
    wkb = np.array([outline for *_, outlines in found for outline in outlines], dtype=object)
    order = np.argsort(ids, kind="stable")
    shapes = np.asarray(shapely.from_wkb(wkb[order]), dtype=object)
    return Parcels(crs, shapes, classes[order], ids[order], wkb[order])


def _same(part: Part, crs: str) -> bool:
    if not _equal(part.crs, crs):
        raise BadInput(f"parcel table in {part.place}", f"It is not in {crs}.", "Remove it, to have it made again.")
    return True


@lru_cache(maxsize=64)
def _equal(one: str, other: str) -> bool:
    return CRS.from_user_input(one) == CRS.from_user_input(other)


def _meet(boxes: NDArray[np.float64], bounds: Bounds) -> NDArray[np.bool_]:
    left, bottom, right, top = boxes.T
    meet = (left <= bounds[2]) & (right >= bounds[0]) & (bottom <= bounds[3]) & (top >= bounds[1])
    return np.asarray(meet, dtype=np.bool_)


def _meeting(
    part: Part, groups: NDArray[np.intp], bounds: Bounds
) -> tuple[NDArray[np.uint32], NDArray[np.uint8], list[bytes]]:
    """Ids, classes and outlines of some groups' parcels that meet the bounds."""
    if not groups.size:
        return np.zeros(0, np.uint32), np.zeros(0, np.uint8), []
    with opened(part) as file:
        table = file.read_row_groups(groups.tolist(), columns=["parcel", "crop", "geometry", *SIDES], use_threads=False)
    rows = np.flatnonzero(_meet(np.column_stack([_numbers(table[side]) for side in SIDES]), bounds))
    return _numbers(table["parcel"])[rows], _numbers(table["crop"])[rows], _bytes_of(table["geometry"], rows)


def _numbers(column: pa.ChunkedArray) -> NDArray[Any]:
    """Arrow's own to_numpy would load pandas, 50 MB that a worker can do without."""
    return np.from_dlpack(column.combine_chunks())


def _bytes_of(column: pa.ChunkedArray, rows: NDArray[np.intp]) -> list[bytes]:
    array = column.combine_chunks()
    _, offsets, data = array.buffers()
    ends, outlines = np.frombuffer(offsets, np.int32)[array.offset :], memoryview(data)
    return [outlines[a:b].tobytes() for a, b in zip(ends[rows].tolist(), ends[rows + 1].tolist(), strict=True)]
