"""The cube store: reflectance (time, band, y, x) and observation counts on a region's grid."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor
from contextlib import closing
from dataclasses import dataclass
from datetime import date
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray

from catalogs.bands import BANDS, CENTRE_WAVELENGTH
from catalogs.grid import Grid, Tile, Window
from catalogs.local_chunks import LocalChunks
from catalogs.periods import Period
from catalogs.shard_reading import fetch_ahead
from catalogs.stores import Coordinate, Layout, Store, chunk_side, shard_key, spatial_coordinates

NAME = "cube.zarr"

ARRAYS = ("reflectance", "observations")

Place = tuple[slice, slice]
"""Rows and columns."""

BESIDE = 4
"""Chunks of each period that one of several readers reads at once: as a shard of 1024 pixels has in a row."""

Room = Callable[[tuple[int, ...], np.dtype[Any]], NDArray[Any]]
"""Makes an array to be filled."""


@dataclass(frozen=True)
class CubeUnit:
    """One period of one tile: what one worker composes, writes and commits."""

    period: int
    tile: Tile

    @property
    def name(self) -> str:
        return f"t{self.period:03d}-{self.tile}"

    def objects(self, grid: Grid) -> tuple[str, str]:
        i, j = self.tile.row - grid.first.row, self.tile.col - grid.first.col
        return shard_key(ARRAYS[0], self.period, 0, i, j), shard_key(ARRAYS[1], self.period, i, j)


def cube_units(tiles: Sequence[Tile], periods: Sequence[Period]) -> Iterator[CubeUnit]:
    return (CubeUnit(period, tile) for tile in tiles for period in range(len(periods)))


def cube_layouts(grid: Grid, periods: int, composite: str) -> dict[str, Layout]:
    chunk = chunk_side(grid.side)
    return {
        "reflectance": Layout(
            dims=("time", "band", "y", "x"),
            shape=(periods, len(BANDS), *grid.shape),
            dtype="uint16",
            shard=(1, len(BANDS), grid.side, grid.side),
            chunk=(1, len(BANDS), chunk, chunk),
            fill=0,
            attributes={
                "long_name": f"surface reflectance x 10000, {composite}; 0 = no data",
                "units": "1e-4",
                "grid_mapping": "spatial_ref",
            },
        ),
        "observations": Layout(
            dims=("time", "y", "x"),
            shape=(periods, *grid.shape),
            dtype="uint8",
            shard=(1, grid.side, grid.side),
            chunk=(1, chunk, chunk),
            fill=0,
            attributes={"long_name": "clear observations in the period", "grid_mapping": "spatial_ref"},
        ),
    }


def cube_coordinates(grid: Grid, periods: Sequence[Period]) -> dict[str, Coordinate]:
    bounds = np.array([[_day(period.start), _day(period.end)] for period in periods], dtype="int64")
    days = {"units": "days since 1970-01-01", "calendar": "proleptic_gregorian"}
    names = np.array(BANDS, dtype=str)
    waves = np.array([CENTRE_WAVELENGTH[band] for band in BANDS])
    return {
        "time": Coordinate(("time",), bounds[:, 0], {**days, "standard_name": "time", "bounds": "time_bounds"}),
        "time_bounds": Coordinate(("time", "edge"), bounds, days),
        "band": Coordinate(("band",), names, {"long_name": "Sentinel-2 band"}),
        "wavelength": Coordinate(("band",), waves, {"units": "nm", "long_name": "centre wavelength"}),
        **spatial_coordinates(grid),
    }


def read_cube(
    store: Store, window: Window, room: Room = np.empty, readers: Executor | None = None
) -> NDArray[np.uint16]:
    """Reflectance (time, band, y, x) of a window, in what `room` makes; ground beyond the grid's edge is no data.
    Several readers share what lies on a disk."""
    array = store.array("reflectance")
    return _read(store, array, window, range(array.shape[0]), room, readers)


def read_blocks(store: Store, window: Window) -> Iterator[tuple[Place, NDArray[np.uint16]]]:
    """The same of a cube on a disk, chunk by chunk of the ground, all periods of each: where in the window it lies, and
    its pixels (time, band, y, x) until the next one is asked for."""
    array = store.array("reflectance")
    with closing(LocalChunks(store, array)) as chunks:
        pixels = np.stack([chunks.empty()] * array.shape[0])
        for i, j, inside, of_chunk in _pieces(window, chunks.side):
            for period, out in enumerate(pixels):
                chunks.read(period, i, j, out)
            yield inside, pixels[..., *of_chunk]


def read_ahead(store: Store, window: Window) -> None:
    """Let the system fetch from a disk what will be read soon."""
    array = store.array("reflectance")
    assert array.shards is not None
    side, inside = array.shards[-1], window.clipped((array.shape[-2], array.shape[-1]))
    rows, columns = _touched(inside.y, inside.height, side), _touched(inside.x, inside.width, side)
    for period, i, j in product(range(array.shape[0]), rows, columns):
        fetch_ahead(Path(store.root.path(store.name)) / shard_key(array.basename, period, 0, i, j))


def count_observations(store: Store, window: Window, periods: Sequence[int]) -> NDArray[np.uint16]:
    """How many clear observations (y, x) of some periods a window has."""
    counts: NDArray[np.uint16] = _read(store, store.array("observations"), window, periods).sum(axis=0, dtype=np.uint16)
    return counts


def _read(
    store: Store,
    array: zarr.Array[Any],
    window: Window,
    periods: Sequence[int],
    room: Room = np.empty,
    readers: Executor | None = None,
) -> NDArray[Any]:
    inside = window.clipped((array.shape[-2], array.shape[-1]))
    pixels = room((len(periods), *array.shape[1:-2], window.height, window.width), array.dtype)
    if inside != window:
        pixels.fill(0)
    if inside.height and inside.width:
        here = pixels[..., *inside.seen_from(window).slices]
        if store.root.is_local:
            copy = partial(_copy_chunks, store, array, periods, here, inside)
            shares = [*_shares(inside, array.chunks[-1])] if readers else [inside]
            deque(readers.map(copy, shares) if readers else map(copy, shares), maxlen=0)
        else:
            first = min(periods)
            seen = np.asarray(array[(slice(first, max(periods) + 1), ..., *inside.slices)])  # all are asked for at once
            for period, out in zip(periods, here, strict=True):
                out[...] = seen[period - first]
    return pixels


def _shares(window: Window, side: int) -> Iterator[Window]:
    """Some chunks beside one another each: many, so that readers end together."""
    for i, j in product(_touched(window.y, window.height, side), _touched(window.x, window.width, BESIDE * side)):
        yield window.within(Window(i * side, j * BESIDE * side, side, BESIDE * side))


def _copy_chunks(
    store: Store, array: zarr.Array[Any], periods: Sequence[int], out_TYX: NDArray[Any], whole: Window, part: Window
) -> None:
    """Of a part of what is asked for."""
    here = out_TYX[..., *part.seen_from(whole).slices]
    with closing(LocalChunks(store, array)) as chunks:
        buffer = chunks.empty()
        for i, j, inside, of_chunk in _pieces(part, chunks.side):
            for period, out in zip(periods, here, strict=True):
                chunks.read(period, i, j, buffer)
                out[..., *inside] = buffer[..., *of_chunk]


def _pieces(window: Window, side: int) -> Iterator[tuple[int, int, Place, Place]]:
    """Row and column of each chunk that a window touches, and the place of what both have in the window and in it."""
    for i, j in product(_touched(window.y, window.height, side), _touched(window.x, window.width, side)):
        chunk = Window(i * side, j * side, side, side)
        both = window.within(chunk)
        yield i, j, both.seen_from(window).slices, both.seen_from(chunk).slices


def _touched(start: int, length: int, step: int) -> range:
    """Which pieces of an axis a part of it touches."""
    return range(start // step, -(-(start + length) // step))


def _day(day: date) -> int:
    return day.toordinal() - date(1970, 1, 1).toordinal()
