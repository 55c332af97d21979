"""What no ingest can beat: GDAL decoding the blocks that are needed, and the codec encoding what is written."""

import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import rasterio
from ingest_task import Clock, Task, tell
from numcodecs.blosc import Blosc

from catalogs.bands import BANDS
from catalogs.stores import CHUNK, CODEC
from catalogs.synthetic.items import ASSETS

DENSE = Blosc("zstd", clevel=3, shuffle=Blosc.SHUFFLE, typesize=2)
"""The codec whose size the default one is held against."""

HTTP = {"GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR", "GDAL_INGESTED_BYTES_AT_OPEN": "32768"}


def decode(task: Task, clock: Clock) -> None:
    """Every block once, on all cores, a file a thread, into memory that is used again."""
    bands = (*BANDS, "SCL") if task.composite else BANDS
    links = [item["assets"][ASSETS[band]]["href"] for item in task.items() for band in bands]
    own = threading.local()
    with clock():
        _on_all_cores(task.cores, lambda link: _decode(link, own), links)


def encode(task: Task, clock: Clock) -> None:
    """The output's chunks, in memory, by the default codec on all cores."""
    chunks = _chunks(task)
    assert CODEC.shuffle is not None and CODEC.shuffle.value == "bitshuffle"
    codec = Blosc(CODEC.cname.value, CODEC.clevel, Blosc.BITSHUFFLE, CODEC.blocksize, typesize=2)
    with clock():
        sizes = _on_all_cores(task.cores, lambda chunk: len(codec.encode(chunk)), chunks * task.land.dates)
    dense = _on_all_cores(task.cores, lambda chunk: len(DENSE.encode(chunk)), chunks)
    tell("size", size_ratio=sum(sizes) / task.land.dates / sum(dense), size_of_raw=sum(dense) / _bytes(chunks))


def _on_all_cores(cores: int, work: Callable[[Any], Any], items: Iterable[Any]) -> list[Any]:
    with ThreadPoolExecutor(cores) as pool:  # GDAL and the codec both let other threads run
        return list(pool.map(work, items))


def _decode(link: str, own: threading.local) -> None:
    with rasterio.Env(**HTTP), rasterio.open(link) as raster:
        if not hasattr(own, "block"):
            own.block = np.empty(raster.block_shapes[0], np.uint16)
        block = own.block.view(raster.dtypes[0]).reshape(-1)
        for _, window in raster.block_windows(1):
            shape = int(window.height), int(window.width)
            raster.read(1, window=window, out=block[: shape[0] * shape[1]].reshape(shape))


def _chunks(task: Task) -> list[np.ndarray]:
    """One date as the cube stores it: (1, band, y, x) with pixels of 20 m repeated."""
    side, item = task.land.side, task.items()[0]
    cube = np.empty((1, len(BANDS), side, side), np.uint16)
    for place, band in enumerate(BANDS):
        with rasterio.open(item["assets"][ASSETS[band]]["href"]) as raster:
            pixels = raster.read(1)
        times = side // len(pixels)
        cube[0, place] = pixels.repeat(times, axis=0).repeat(times, axis=1)
    starts = range(0, side, CHUNK)
    return [np.ascontiguousarray(cube[:, :, y : y + CHUNK, x : x + CHUNK]) for y in starts for x in starts]


def _bytes(chunks: list[np.ndarray]) -> int:
    return sum(chunk.nbytes for chunk in chunks)
