"""Files of parcel declarations: what one says of itself, and its features as they stand in it."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile, ZipFile

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pyogrio
import shapely
from numpy.typing import NDArray
from pyogrio.errors import DataLayerError, DataSourceError
from pyproj import CRS, Transformer
from pyproj.exceptions import CRSError, ProjError

from catalogs.errors import BadInput
from catalogs.grid import Bounds
from catalogs.taxonomy import HCAT3, HCAT4, plain_code

CODE_COLUMN = "EC_hcat_c"

Objects = NDArray[np.object_]
Features = tuple[NDArray[np.int64], Objects, Objects]
"""numbers in the file, codes (text or None), geometries in the file's CRS (or None)"""


@dataclass(frozen=True)
class Source:
    """What a parcel file says of itself, without its geometries."""

    path: Path
    opens_as: str
    """the name for GDAL (/vsizip/... inside a zip), or the path of a GeoParquet file"""
    layer: str
    crs: str
    count: int
    columns: tuple[str, ...]
    bounds: Bounds
    """in the file's own CRS, x before y"""

    @property
    def is_parquet(self) -> bool:
        return _is_parquet(Path(self.opens_as))

    @property
    def code_column(self) -> str:
        return _code_column(self.columns) or CODE_COLUMN


def source_info(path: Path | str) -> Source:
    """Look at a shapefile, GeoPackage, GeoParquet or a zip that holds one; refuse what cannot give crops."""
    path = Path(path)
    opens_as = _opens_as(path)
    source = _parquet_info(path) if _is_parquet(path) else _vector_info(path, opens_as)
    if source.count == 0:
        raise BadInput(f"parcel file {path}", "It holds no parcels.", "Check the download, or choose another layer.")
    if _code_column(source.columns) is None:
        found = ", ".join(source.columns[:12]) or "none"
        raise BadInput(
            f"parcel file {path}",
            f"It has no column {CODE_COLUMN}, where EuroCrops writes the crop (it has {found}).",
            "Give the EuroCrops file of the country, not the national one.",
        )
    _check_crs(path, source.crs)
    _check_family(source)
    return source


def _opens_as(path: Path) -> str:
    archive = next((p for p in (path, *path.parents) if p.suffix.lower() == ".zip" and p.is_file()), None)
    if archive is None:
        if not path.is_file():
            raise BadInput(f"parcel file {path}", "There is no such file.", "Check the path in the project file.")
        return str(path)
    inner = [str(path.relative_to(archive))] if path != archive else _inside(archive)
    if len(inner) == 1:
        return f"/vsizip/{archive}/{inner[0]}"
    why = f"It holds several files of parcels: {', '.join(inner[:8])}." if inner else "It holds no .shp or .gpkg file."
    raise BadInput(f"parcel file {path}", why, f"Name the one to read, as in {archive}/folder/parcels.shp.")


def _inside(archive: Path) -> list[str]:
    try:
        with ZipFile(archive) as content:
            names = content.namelist()
    except (BadZipFile, OSError) as error:
        raise BadInput(f"parcel file {archive}", "It is not a whole zip archive.", "Download it again.") from error
    # __MACOSX holds the shadow files of one maker of zips
    return sorted(n for n in names if n.lower().endswith((".shp", ".gpkg")) and not n.startswith("__MACOSX"))


def _vector_info(path: Path, opens_as: str) -> Source:
    try:
        layers = [str(name) for name, kind in pyogrio.list_layers(opens_as) if kind and _is_areal(kind)]
        every = {"force_feature_count": True, "force_total_bounds": True}
        infos = [pyogrio.read_info(opens_as, layer=layer, **every) for layer in layers]
    except (DataSourceError, DataLayerError) as error:
        raise _not_vector(path) from error
    coded = [i for i in infos if _code_column(tuple(i["fields"]))] or infos
    if len(coded) != 1:
        why = f"Several of its layers hold parcels: {', '.join(layers)}." if coded else "It has no layer of polygons."
        raise BadInput(f"parcel file {path}", why, "Give a file with one layer of parcels.")
    (info,) = coded
    return Source(
        path=path,
        opens_as=opens_as,
        layer=info["layer_name"],
        crs=info["crs"] or "",
        count=info["features"],
        columns=tuple(info["fields"]),
        bounds=_box(info),
    )


def _is_areal(kind: str) -> bool:
    return any(word in kind for word in ("Polygon", "Surface", "Unknown", "Collection"))


def _box(info: Mapping[str, Any]) -> Bounds:
    left, bottom, right, top = (float(v) for v in info["total_bounds"] or (np.nan,) * 4)
    return left, bottom, right, top


def _not_vector(path: Path) -> BadInput:
    remedy = "Give a shapefile, GeoPackage, GeoParquet or a zip of one."
    return BadInput(f"parcel file {path}", "It is not a vector file, or it is damaged.", remedy)


def _check_crs(path: Path, crs: str | None) -> None:
    try:
        CRS.from_user_input(crs)
    except CRSError as error:
        why = "It does not say its coordinate system." if not crs else "Its coordinate system is not understood."
        remedy = "Write the CRS into the file, for example with `ogr2ogr -a_srs EPSG:5514`."
        raise BadInput(f"parcel file {path}", why, remedy) from error
    try:
        Transformer.from_crs(crs, "OGC:CRS84")
    except ProjError as error:
        why = f"Its coordinate system, {CRS.from_user_input(crs).name!r}, says nothing of its place on Earth."
        raise BadInput(
            f"parcel file {path}", why, "Write the CRS that it is in into the file (ogr2ogr -a_srs)."
        ) from error


def _check_family(source: Source) -> None:
    """Look at the first codes: a whole file in another code is told at once, not tile by tile."""
    codes = [code for code in _first_codes(source, 1000) if code is not None]
    if codes and not any(HCAT3.fullmatch(code) for code in codes):
        family = "HCAT4" if HCAT4.fullmatch(codes[0]) else "something else"
        raise BadInput(
            f"parcel file {source.path}",
            f"Its column {source.code_column} holds {family} ({codes[0]!r}), not HCAT3 codes.",
            "Give a EuroCrops file, whose codes are ten digits that start with 330.",
        )


def _first_codes(source: Source, count: int) -> list[str | None]:
    if source.is_parquet:
        batches = pq.ParquetFile(source.path).iter_batches(count, columns=[source.code_column])
        return [plain_code(code) for code in next(batches)[0].to_pylist()]
    how: dict[str, Any] = {
        "layer": source.layer,
        "columns": [source.code_column],
        "max_features": count,
        "read_geometry": False,
    }
    return [plain_code(code) for code in pyogrio.raw.read(source.opens_as, **how)[3][0]]


def read_features(source: Source, where: Bounds | None) -> Features:
    """The features that meet the box (in the file's CRS), or all of them."""
    if source.is_parquet:
        fids, codes, wkb = _read_parquet(source, where)
    else:
        how: dict[str, Any] = {
            "layer": source.layer,
            "columns": [source.code_column],
            "bbox": where,
            "return_fids": True,
        }
        _, fids, wkb, (codes,) = pyogrio.raw.read(source.opens_as, **how)
    plain = np.array([plain_code(code) for code in codes], dtype=object)
    return np.asarray(fids, dtype=np.int64), plain, _shapes(wkb)


def has_features(source: Source, where: Bounds | None) -> bool:
    """Whether any feature meets the box (in the file's CRS)."""
    if source.is_parquet:
        return len(_read_parquet(source, where)[0]) > 0
    how: dict[str, Any] = {"layer": source.layer, "columns": [], "bbox": where, "max_features": 1, "return_fids": True}
    return len(pyogrio.raw.read(source.opens_as, read_geometry=False, **how)[1]) > 0


def _shapes(wkb: Objects) -> Objects:
    # "fix" closes open rings and gives None for what is no geometry, where the default ends the run
    return np.asarray(shapely.from_wkb(wkb, on_invalid="fix"), dtype=object)


def _code_column(columns: tuple[str, ...]) -> str | None:
    return next((name for name in columns if name.lower() == CODE_COLUMN.lower()), None)


def _is_parquet(path: Path) -> bool:
    return path.suffix.lower() in (".parquet", ".geoparquet", ".pq")


def _parquet_info(path: Path) -> Source:
    try:
        file = pq.ParquetFile(path)
        geo = json.loads(file.schema_arrow.metadata[b"geo"])
        column = geo["columns"][geo["primary_column"]]
    except (pa.ArrowInvalid, KeyError, TypeError) as error:
        raise _not_vector(path) from error
    if column.get("encoding") != "WKB":
        raise BadInput(f"parcel file {path}", "Its geometries are not WKB.", "Write it with geopandas' to_parquet.")
    # a missing crs means longitude and latitude (GeoParquet 1.1); null means unknown
    crs = column.get("crs", "OGC:CRS84")
    box = column.get("bbox") or (np.nan,) * 4
    half = len(box) // 2  # a box may hold heights too
    return Source(
        path=path,
        opens_as=str(path),
        layer=geo["primary_column"],
        crs=CRS.from_user_input(crs).to_wkt() if crs else "",
        count=file.metadata.num_rows,
        columns=tuple(n for n in file.schema_arrow.names if n != geo["primary_column"]),
        bounds=(box[0], box[1], box[half], box[half + 1]),
    )


def _read_parquet(source: Source, where: Bounds | None) -> Features:
    """Row group by row group, so that no more than what lies in the box and one group is in memory."""
    file = pq.ParquetFile(source.path)
    columns = [source.layer, source.code_column]
    parts, start = [], 0
    for group in range(file.num_row_groups):
        table = file.read_row_group(group, columns=columns)
        wkb, codes = (np.array(table[name].to_pylist(), dtype=object) for name in columns)
        inside = np.flatnonzero(boxes_meet(_shapes(wkb), where))
        parts.append((start + inside, codes[inside], wkb[inside]))
        start += table.num_rows
    fids, found, shapes = (np.concatenate(column) for column in zip(*parts, strict=True))
    return fids, found, shapes


def boxes_meet(shapes: Objects, bounds: Bounds | None) -> NDArray[np.bool_]:
    """Whose box touches `bounds`; all of them if there are no bounds, else never what has no geometry."""
    if bounds is None:
        return np.ones(len(shapes), dtype=bool)
    left, bottom, right, top = shapely.bounds(shapes).T
    meet = (left <= bounds[2]) & (right >= bounds[0]) & (bottom <= bounds[3]) & (top >= bounds[1])
    return np.asarray(meet, dtype=np.bool_)
