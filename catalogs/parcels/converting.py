"""Files that cannot be read from the middle, converted once to GeoParquet with the columns that are needed."""

import hashlib
import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pyogrio

from catalogs.parcels.geoparquet import GROUP, write_groups
from catalogs.parcels.layers import Layer, not_vector
from catalogs.parcels.leftovers import PARTIAL, at_work
from catalogs.parcels.vectors import FAULTS, gml_options


def beside_scratch(file: Path, scratch: Path) -> Path:
    """A link below `scratch` to a GML file and its schema: GDAL writes a file of notes beside what it reads."""
    if file.resolve().is_relative_to(scratch.resolve()):
        return file
    folder = scratch / "linked" / _digest(file)
    folder.mkdir(parents=True, exist_ok=True)
    for each in (file, file.with_suffix(".xsd")):
        link = folder / each.name
        if each.is_file() and not os.path.lexists(link):
            link.symlink_to(each.resolve())
    return folder / file.name


def converted(file: Path, given: Path, layer: Layer, columns: Sequence[str], scratch: Path) -> Path:
    """The layer's geometries and these columns as GeoParquet; made before, it is kept."""
    target = scratch / "converted" / f"{file.stem[:40]}-{_digest(file, layer.name, *columns)}.parquet"
    if target.exists():
        return target
    try:
        with gml_options(), _new(target) as partial:
            _convert(file, layer, columns, partial)
    except (*FAULTS, pa.ArrowException, OSError) as error:
        if getattr(error, "errno", None):
            raise  # the disk's, not the file's
        raise not_vector(given) from error
    return target


def _convert(file: Path, layer: Layer, columns: Sequence[str], target: Path) -> None:
    how = {"layer": layer.name, "columns": list(columns), "batch_size": GROUP, "use_pyarrow": True}
    with pyogrio.raw.open_arrow(file, **how) as (meta, reader):
        geometry = meta["geometry_name"] or "wkb_geometry"
        names = [*columns, geometry]
        schema = pa.schema([reader.schema.field(name).remove_metadata() for name in names])
        write_groups(target, (batch.select(names) for batch in reader), schema, geometry, layer.crs)


def regrouped(file: Path, given: Path, layer: Layer, columns: Sequence[str], scratch: Path) -> Path:
    """A GeoParquet file whose groups are too large to be read one by one, in smaller ones."""
    target = scratch / "converted" / f"{file.stem[:40]}-{_digest(file, layer.name, *columns)}.parquet"
    if target.exists():
        return target
    names = [*columns, layer.name]
    try:
        with pq.ParquetFile(file) as source, _new(target) as partial:
            schema = pa.schema([source.schema_arrow.field(name).remove_metadata() for name in names])
            batches = source.iter_batches(GROUP, columns=names)
            write_groups(partial, (batch.select(names) for batch in batches), schema, layer.name, layer.crs)
    except pa.ArrowException as error:
        raise not_vector(given) from error
    return target


@contextmanager
def _new(target: Path) -> Iterator[Path]:
    """A file that appears whole or not at all."""
    with at_work(target.parent):
        number, name = tempfile.mkstemp(dir=target.parent, prefix=target.name, suffix=PARTIAL)
        os.close(number)
        try:
            yield Path(name)
            os.chmod(name, 0o644)
            os.replace(name, target)
        finally:
            Path(name).unlink(missing_ok=True)


def _digest(file: Path, *told: str) -> str:
    state = file.stat()
    text = "|".join([str(file.resolve()), str(state.st_size), str(state.st_mtime_ns), *told])
    return hashlib.sha256(text.encode()).hexdigest()[:12]
