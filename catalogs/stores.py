"""Zarr stores that many workers fill: the template first, then whole shards, then commit records."""

import json
import warnings
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from math import gcd
from typing import Any

import numpy as np
import zarr
from numpy.typing import DTypeLike, NDArray
from pyproj import CRS
from zarr.codecs import BloscCodec
from zarr.core.buffer import default_buffer_prototype
from zarr.core.sync import sync
from zarr.storage import LocalStore, StorePath

from catalogs.attempts import Attempt, attempts_of, settle, take_back
from catalogs.description import differences, identity
from catalogs.errors import BadInput
from catalogs.grid import Grid, Tile
from catalogs.ledger import Ledger
from catalogs.root import Root, replace_file
from catalogs.shards import digest_of, encoded_shard

CODEC = BloscCodec(cname="zstd", clevel=1, shuffle="bitshuffle", blocksize=512 * 1024)
"""The fastest of the small ones: 56 % of raw reflectance at twice the speed of zstd 3 (benchmarks/ingest.py)."""


TAKERS = 16
"""Units that are taken back at a time: a bucket's answer is what takes time."""

CHUNK = 256
"""Pixels of a side that a reader gets at once."""


@dataclass(frozen=True)
class Layout:
    """One array of a store. `shard` is what one writer writes at once; `chunk` is what one reader reads."""

    dims: tuple[str, ...]
    shape: tuple[int, ...]
    dtype: DTypeLike
    shard: tuple[int, ...]
    chunk: tuple[int, ...]
    fill: int
    attributes: Mapping[str, Any] = field(default_factory=dict)
    codec: BloscCodec | None = CODEC
    """None stores numbers as they are."""


@dataclass(frozen=True)
class Coordinate:
    """A small array written with the template."""

    dims: tuple[str, ...]
    values: np.ndarray
    attributes: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Store:
    """A store by its name in the root, with the ledger of what has been written."""

    root: Root
    name: str

    @property
    def ledger(self) -> Ledger:
        return Ledger(self.root, self.name)

    def array(self, name: str) -> zarr.Array[Any]:
        return self.arrays(name)[0]

    def arrays(self, *names: str) -> list[zarr.Array[Any]]:
        """Several at once: opening a store takes milliseconds."""
        group = zarr.open_group(self.root.zarr(self.name), mode="r+", zarr_format=3)
        found = [group[name] for name in names]
        assert all(isinstance(array, zarr.Array) for array in found)
        return found  # type: ignore[return-value]  # asserted one by one

    def read(self, name: str, region: tuple[slice, ...] = ()) -> NDArray[Any]:
        """Pixels of an array, all of it or a region."""
        return np.asarray(self.array(name)[region or ...])

    def description(self) -> dict[str, Any] | None:
        """What the store was planned from, or None if its template is not complete."""
        if not self.root.exists(f"{self.name}/zarr.json"):
            return None
        metadata = json.loads(self.root.read(f"{self.name}/zarr.json"))
        if "furrow" not in metadata.get("attributes", {}):  # the first thing that a template gets
            raise self._not_ours()
        if "consolidated_metadata" not in metadata:  # the last thing that a template gets
            return None
        described: dict[str, Any] = metadata["attributes"]["furrow"]["plan"]
        return described

    def begin(
        self,
        layouts: Mapping[str, Layout],
        coordinates: Mapping[str, Coordinate],
        description: Mapping[str, Any],
        attributes: Mapping[str, Any] | None = None,
    ) -> None:
        """Write the template, or accept the one that is there if it was planned from the same things."""
        stored = self.description()
        if stored is None:
            self._check_ours()
            try:
                self._write_template(layouts, coordinates, description, attributes or {})
            except BaseException:
                self.sweep()  # what a full disk left half-made
                raise
        else:
            self.check(stored, description)

    def check(self, stored: Mapping[str, Any], planned: Mapping[str, Any]) -> None:
        """Refuse a store that was planned from something else."""
        if identity(stored) != identity(planned):
            raise self._planned_differently(differences(stored, planned))

    def missing(self, units: Iterable[tuple[str, Iterable[str]]]) -> list[str]:
        """The units that are still to do, given each unit's name and the objects that it writes.

        A commit record whose objects have been deleted counts for nothing.
        """
        return self._missing(units, self.ledger.done())

    def _missing(self, units: Iterable[tuple[str, Iterable[str]]], done: set[str]) -> list[str]:
        present = set(self.root.keys(self.name))
        return [
            unit
            for unit, objects in units
            if unit not in done or not all(f"{self.name}/{key}" in present for key in objects)
        ]

    def attempt(self, unit: str) -> Attempt:
        """A try at a unit by one of several who may try at the same time."""
        return Attempt(self.root, self.name, unit)

    def to_do(self, units: Iterable[tuple[str, Iterable[str]]]) -> list[str]:
        """The units that are missing, after those are finished that a killed writer had committed.

        A record without its objects is taken back, so that the unit can be committed again.
        """
        done = self.ledger.done()
        return [unit for unit in self._missing(units, done) if unit not in done or self.finished(unit) is None]

    def finished(self, unit: str) -> dict[str, Any] | None:
        """The record of a unit whose objects are in the store, moved there now if need be; None if it is to do."""
        record = self.ledger.found(unit)
        if record is None or settle(self.root, self.name, unit, record):
            return record
        self.take_back([(unit, ())])
        return None

    def take_back(self, units: Iterable[tuple[str, Iterable[str]]]) -> None:
        """Let units be made anew, given the objects that they write."""
        with ThreadPoolExecutor(TAKERS) as takers:
            list(takers.map(lambda unit: take_back(self.root, self.name, *unit), units))

    def sweep(self) -> None:
        """Remove what killed writers left behind. Who is still at work finds that its unit is done by somebody else."""
        for key in self.root.keys(self.name):
            if key.endswith(".partial"):
                self.root.remove(key)
        self.root.remove(attempts_of(self.root, self.name))

    def _write_template(
        self,
        layouts: Mapping[str, Layout],
        coordinates: Mapping[str, Coordinate],
        description: Mapping[str, Any],
        attributes: Mapping[str, Any],
    ) -> None:
        self.ledger.clear()
        self._remove_cut_off()
        with warnings.catch_warnings():
            # zarr warns that consolidated metadata and strings are not in the v3 text yet; its readers know both
            warnings.simplefilter("ignore")
            furrow = {"identity": identity(description), "plan": dict(description)}
            group = zarr.create_group(
                self.root.zarr(self.name), zarr_format=3, attributes={**attributes, "furrow": furrow}
            )
            for name, coordinate in coordinates.items():
                _create_coordinate(group, name, coordinate)
            for name, layout in layouts.items():
                _create_array(group, name, layout)
            zarr.consolidate_metadata(group.store)

    def _check_ours(self) -> None:
        """A killed writer's first file may be half-made and is ours; any other file without a zarr.json is not."""
        foreign = (key for key in self.root.keys(self.name) if not key.endswith(".partial"))
        if next(foreign, None) and not self.root.exists(f"{self.name}/zarr.json"):
            raise self._not_ours()

    def _remove_cut_off(self) -> None:
        """A template that was cut off: its zarr.json goes last, since it is what tells that the rest is ours."""
        mark = f"{self.name}/zarr.json"
        for key in list(self.root.keys(self.name)):
            if key != mark:
                self.root.remove(key)
        self.root.remove(self.name)

    def _planned_differently(self, lines: list[str]) -> BadInput:
        shown = "; ".join(lines[:5]) + (f"; and {len(lines) - 5} more" if len(lines) > 5 else "")
        return BadInput(
            f"store {self.root.path(self.name)}",
            f"was planned differently ({shown}).",
            "Change the project back, or choose another [store] root, or remove that store to make it anew.",
        )

    def _not_ours(self) -> BadInput:
        return BadInput(
            self.root.path(self.name),
            "lies where a store of this run belongs, and is not one of Furrow's.",
            "Move it away, or choose another [store] root.",
        )


def _create_array(group: zarr.Group, name: str, layout: Layout) -> None:
    group.create_array(
        name,
        shape=layout.shape,
        dtype=layout.dtype,
        chunks=layout.chunk,
        shards=layout.shard,
        compressors=layout.codec,
        fill_value=layout.fill,
        dimension_names=layout.dims,
        attributes=dict(layout.attributes),
    )


def _create_coordinate(group: zarr.Group, name: str, coordinate: Coordinate) -> None:
    array = group.create_array(
        name,
        shape=coordinate.values.shape,
        dtype=coordinate.values.dtype,
        chunks=coordinate.values.shape or "auto",
        dimension_names=coordinate.dims,
        attributes=dict(coordinate.attributes),
    )
    array[...] = coordinate.values


def write_shard(array: zarr.Array[Any], region: tuple[slice | int, ...], block: np.ndarray) -> str:
    """Write one whole shard, also where it is empty, so that done can be told from not done.

    Returns a digest of the bytes that were written; the same pixels are the same bytes.
    """
    key, parts = encoded_shard(array, region, block)
    _put(array.store_path / key, parts)
    return digest_of(parts)


def _put(place: StorePath, parts: list[bytes | bytearray]) -> None:
    if isinstance(place.store, LocalStore):  # in parts, and without a thread in between
        replace_file(place.store.root / place.path, parts)
    else:
        sync(place.set(default_buffer_prototype().buffer.from_bytes(b"".join(parts))))


def shard_key(array: str, *index: int) -> str:
    return "/".join([array, "c", *map(str, index)])


def chunk_side(side: int) -> int:
    """The largest chunk up to CHUNK that a shard of `side` pixels divides into."""
    return gcd(side, CHUNK)


def plane(grid: Grid, dtype: DTypeLike, fill: int, attributes: Mapping[str, Any], codec: BloscCodec = CODEC) -> Layout:
    """A (y, x) array whose shards are the grid's tiles."""
    side, chunk = grid.side, chunk_side(grid.side)
    located = {**attributes, "grid_mapping": "spatial_ref"}
    return Layout(("y", "x"), grid.shape, dtype, (side, side), (chunk, chunk), fill, located, codec)


def plane_objects(grid: Grid, tile: Tile, arrays: Iterable[str]) -> tuple[str, ...]:
    """The objects that hold one tile of such arrays."""
    i, j = tile.row - grid.first.row, tile.col - grid.first.col
    return tuple(shard_key(array, i, j) for array in arrays)


def spatial_coordinates(grid: Grid) -> dict[str, Coordinate]:
    """y, x and the CRS, as the CF conventions and rioxarray expect them."""
    crs = CRS.from_user_input(grid.crs)
    transform = " ".join(str(value) for value in grid.transform.to_gdal())
    north = {"standard_name": "projection_y_coordinate", "long_name": "northing", "units": "metre", "axis": "Y"}
    east = {"standard_name": "projection_x_coordinate", "long_name": "easting", "units": "metre", "axis": "X"}
    return {
        "y": Coordinate(("y",), grid.y, north),
        "x": Coordinate(("x",), grid.x, east),
        "spatial_ref": Coordinate((), np.array(0), {**crs.to_cf(), "GeoTransform": transform}),
    }
