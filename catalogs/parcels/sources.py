"""Files of parcel declarations of every country: what one says of itself, and its parcels chunk by chunk."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from catalogs.errors import BadInput
from catalogs.grid import Bounds
from catalogs.parcels import geoparquet, vectors
from catalogs.parcels.archives import place_of, unpacked
from catalogs.parcels.choosing import Asked, Chosen, choose
from catalogs.parcels.converting import beside_scratch, converted, regrouped
from catalogs.parcels.dialects import country_called, fitting
from catalogs.parcels.layers import Columns, Layer, lock_of, shapes_of
from catalogs.parcels.systems import bounds_of, check_place, system_of
from catalogs.parcels.text import codes_of, encodings, names_of, numbers_of, parts_of
from catalogs.parcels.wholeness import check_well_formed
from catalogs.parcels.years import year_in, years_of

__all__ = ["Asked", "Chunk", "Source", "declared_year", "open_source", "read_chunk"]

Objects = NDArray[np.object_]

LOOKED_AT = 1000
"""Parcels that are looked at to learn the year and the place of all."""


@dataclass(frozen=True)
class Source:
    """What a parcel file says of itself; it travels between processes, and the file is opened for each chunk."""

    path: Path
    """as it was given"""
    kind: str
    opens_as: str
    """the file that is read: the given one, or what was unpacked or converted from it"""
    layer: str
    """in a GeoParquet file, the column of the geometries"""
    crs: str
    count: int
    columns: tuple[str, ...]
    bounds: Bounds
    """in the file's CRS, x before y; NaN where the file does not say them"""
    code: str | None
    name: str | None
    year: str | None
    area: str | None
    dialect: str
    """the row of tables/dialects.csv that fits the columns, or "" """
    country: str = ""
    """in whose letters the text is, as far as columns or file names tell"""
    called: tuple[str, ...] = ()
    """what the file, its layer and what holds them are called, from the innermost"""
    is_parquet: bool = False
    encodings: tuple[str | None, ...] = ()
    fid: str = ""
    marks: tuple[int, ...] = ()


@dataclass(frozen=True, eq=False)
class Chunk:
    """Parcels that follow each other in a file."""

    numbers: NDArray[np.int64]
    """places in the file, from 0"""
    codes: Objects
    names: Objects
    """text or None"""
    years: NDArray[np.int16]
    """of the column of years; 0 where there is none or nothing in it"""
    areas: NDArray[np.float64]
    """as declared, in what unit the file has; NaN where it says none"""
    shapes: Objects
    """shapely geometries in the file's CRS, or None"""


def open_source(path: Path, asked: Asked, scratch: Path) -> Source:
    """Look at a parcel file; archives are unpacked, and what cannot be read from the middle converted, in `scratch`."""
    try:
        return _opened(Path(path), asked, scratch)
    except BadInput as error:
        if not lock_of(Path(path)).exists():
            raise
        remedy = f"{error.remedy} If it came damaged, remove it to download it anew: {path}."
        raise BadInput(error.given, error.why, remedy) from error


def _opened(path: Path, asked: Asked, scratch: Path) -> Source:
    place = place_of(path)
    file, inner = unpacked(place, scratch) if place.kind else (place.file, "")
    layers, format = _look(file, path, scratch, country_called(inner, path.name))
    chosen = choose(path, layers, asked)
    crs = system_of(f"parcel file {path}", chosen.layer.crs, asked.crs)
    file = beside_scratch(file, scratch) if format == vectors.GML else file
    source = _source(path, file, inner, asked, chosen, crs, format)
    source = _by_place(source, file, chosen, scratch, format)
    if source.count == 0:
        if format == vectors.GML:
            check_well_formed(file, path)
        raise _empty(path, chosen.layer)
    if source.is_parquet:
        geoparquet.check_single(Path(source.opens_as), path, chosen.columns)
    if asked.crs:
        shapes = _rows(source, [], 0, LOOKED_AT)[0]
        check_place(f"parcel file {path}", crs, bounds_of(shapes))
    return source


def _look(file: Path, given: Path, scratch: Path, country: str) -> tuple[list[Layer], str]:
    format = vectors.format_of(file)
    if format == vectors.PARQUET:
        return [geoparquet.parquet_layer(file, given)], format
    if format == vectors.GML:
        file = beside_scratch(file, scratch)
    tries = encodings(file, country) if format == vectors.SHAPEFILE else ()
    layers = vectors.layers_of(file, given, format, tries)
    if format == vectors.GML and not layers:
        check_well_formed(file, given)
    return layers, format


def _source(path: Path, file: Path, inner: str, asked: Asked, chosen: Chosen, crs: str, format: str) -> Source:
    layer, found = chosen.layer, chosen.found
    country = (found and found.dialect.country) or country_called(inner, path.name)
    within = [*reversed(Path(inner).parts)] if inner else []
    return Source(
        path=path,
        kind=asked.kind,
        opens_as=str(file),
        layer=layer.name,
        crs=crs,
        count=layer.count,
        columns=layer.columns,
        bounds=layer.bounds,
        code=chosen.code,
        name=chosen.name,
        year=chosen.year,
        area=chosen.area,
        dialect=found.dialect.dialect if found else "",
        country=country,
        called=tuple(dict.fromkeys([*within, layer.name, path.name])),
        is_parquet=format == vectors.PARQUET,
        encodings=encodings(file, country) if format == vectors.SHAPEFILE else (),
        fid=layer.fid,
    )


def _by_place(source: Source, file: Path, chosen: Chosen, scratch: Path, format: str) -> Source:
    """The source with what it takes to begin reading anywhere."""
    layer = chosen.layer
    if format == vectors.GPKG:
        count, marks = vectors.marks_of(file, layer)
        return replace(source, count=count, marks=marks)
    if format == vectors.PARQUET and geoparquet.largest_group(file) > geoparquet.LARGEST:
        new = regrouped(file, source.path, layer, chosen.columns, scratch)
        return replace(source, opens_as=str(new))
    if format in vectors.BY_PLACE or format == vectors.PARQUET:
        return source
    new = converted(file, source.path, layer, chosen.columns, scratch)
    told = geoparquet.parquet_layer(new, source.path)
    return replace(
        source, opens_as=str(new), layer=told.name, count=told.count, bounds=told.bounds, is_parquet=True, fid=""
    )


def _empty(path: Path, layer: Layer) -> BadInput:
    remedy = "Check the download, or choose another layer."
    return BadInput(f"parcel file {path}", f"Its layer {layer.name} holds no parcels.", remedy)


def read_chunk(source: Source, first: int, count: int) -> Chunk:
    """The parcels from place `first` on: `count` of them, or as many as there still are."""
    count = max(0, min(count, source.count - first))
    wanted = tuple(dict.fromkeys(c for c in (source.code, source.name, source.year, source.area) if c))
    shapes, columns = _rows(source, wanted, first, count)
    empty = np.full(count, None, dtype=object)
    code_part, name_part = _parts(source)
    return Chunk(
        numbers=np.arange(first, first + count, dtype=np.int64),
        codes=codes_of(parts_of(columns[source.code], *code_part)) if source.code else empty,
        names=names_of(parts_of(columns[source.name], *name_part), source.country) if source.name else empty,
        years=years_of(columns[source.year], count) if source.year else np.zeros(count, dtype=np.int16),
        areas=numbers_of(columns[source.area]) if source.area else np.full(count, np.nan),
        shapes=shapes,
    )


def _rows(source: Source, columns: Sequence[str], first: int, count: int) -> tuple[Objects, Columns]:
    if count <= 0:
        return np.empty(0, dtype=object), {name: np.empty(0, dtype=object) for name in columns}
    if source.is_parquet:
        wkb, values = geoparquet.read_rows(source.opens_as, source.layer, columns, first, count)
    else:
        wkb, values = vectors.read_rows(
            source.opens_as, source.layer, columns, first, count, source.fid, source.marks, source.encodings
        )
    shapes = shapes_of(wkb)
    if len(shapes) != min(count, source.count - first):
        why = f"It should hold {source.count} parcels, and ends before."
        raise BadInput(f"parcel file {source.path}", why, "Get it again: it is damaged, or was changed meanwhile.")
    return shapes, values


def _parts(source: Source) -> tuple[tuple[str, str], tuple[str, str]]:
    """What of the texts counts, where the columns are those of the dialect: see `Dialect`."""
    found = fitting(source.columns) if source.kind == "national" else None
    if found is None:
        return ("", ""), ("", "")
    dialect = found.dialect
    code = (dialect.code_after, "") if source.code == found.code else ("", "")
    name = (dialect.name_after, dialect.name_before) if source.name == found.name else ("", "")
    return code, name


def declared_year(source: Source) -> int | None:
    """The year of the first parcels, or of the names of column, file or archive; None if none says it, or several."""
    if source.year:
        columns = _rows(source, [source.year], 0, min(LOOKED_AT, source.count))[1]
        said = {int(year) for year in years_of(columns[source.year], len(columns[source.year])) if year}
        if said:
            return said.pop() if len(said) == 1 else None
    names = (source.code or "" if source.kind == "eurocrops-v2" else "", *source.called)
    return next((year for year in map(year_in, names) if year), None)
