"""The work of one actor of `map`: a tile is read, seen by the network, written and committed."""

import os
import socket
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray
from shapely.geometry.base import BaseGeometry

from catalogs import crops, cube
from catalogs.attempts import Attempt
from catalogs.cube import read_cube
from catalogs.grid import Grid, Tile, Window
from catalogs.region_mask import outside_region
from catalogs.root import Root
from catalogs.stores import Store
from catalogs.taxonomy import IGNORE
from models.exactness import processor
from models.memory import give_back, is_out_of_memory
from models.predictor import Predictor, load_predictor
from pipelines.checkpoints import read_checkpoint
from pipelines.network_actors import device_of

SMALLEST = 64
"""Pixels of the side of a window, below which halos are nearly all of the work."""

ALONE = nullcontext()
"""In place of a lock, where there is one thread."""

Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class Mapping:
    """Everything a worker needs to map any tile."""

    root: Root
    grid: Grid
    region: BaseGeometry
    checkpoint: str
    halo: int | None
    """Pixels; None for what the network asks for."""
    plan: str = ""
    """What the map's store was planned from, in one word."""
    learned: Root | None = None
    """Where the checkpoint lies, if not in the root."""


def start_mapping(job: Mapping, on_gpu: bool = False) -> "Mapper":
    """Load the network once."""
    device = device_of(on_gpu)
    predictor = load_predictor(*read_checkpoint(job.learned or job.root, job.checkpoint), device)
    return Mapper(job, predictor, Lock(), Windows(predictor.window), processor(on_gpu))


@dataclass
class Windows:
    """Pixels of the side of what a network sees at once, its halo not counted; fewer once memory has run out."""

    side: int

    def shrink(self, stride: int) -> bool:
        smaller = self.side // 2 // stride * stride
        if smaller < SMALLEST:
            return False
        self.side = smaller
        return True


@dataclass(frozen=True, eq=False)
class Mapper:
    """Maps tiles, from several threads at once: one computes while others read and write."""

    job: Mapping
    predictor: Predictor
    computing: AbstractContextManager[Any]
    windows: Windows
    processor: str = ""

    def __call__(self, tile: Tile) -> dict[str, Any]:
        """The record of a tile, which it or somebody before it has committed."""
        store, unit = Store(self.job.root, crops.MAP), str(tile)
        if done := self._done(store, unit):
            return done
        attempt = store.attempt(unit)
        try:
            return self._map(store, attempt, tile)
        except Exception:
            # another run may have finished, and cleaned up behind this one; or this one had committed, and then failed
            done = self._done(store, unit)
            if done is None or done["attempt"] != attempt.name:
                attempt.discard()
            if done is None:
                raise
            return done

    def _done(self, store: Store, unit: str) -> dict[str, Any] | None:
        """A record of a store that was planned anew since is none."""
        record = store.finished(unit)
        if record and record["plan"] != self.job.plan:
            store.ledger.forget(unit)
            return None
        return record

    def _map(self, store: Store, attempt: Attempt, tile: Tile) -> dict[str, Any]:
        began, window, turn = time.monotonic(), self.job.grid.window(tile), Turn(self.computing)
        pixels = self._pixels(tile, turn)
        for array, layer in zip(store.arrays(*crops.MAP_ARRAYS), pixels, strict=True):
            attempt.write(array, window.slices, layer)
        counts = np.bincount(pixels[0].ravel(), minlength=256)
        record = {
            "plan": self.job.plan,
            "classes": {str(value): int(counts[value]) for value in np.flatnonzero(counts)},
            "valid": int(pixels[0].size - counts[IGNORE]),
            "weights_sha256": self.predictor.card.weights_sha256,
            "processor": self.processor,
            "worker": f"{socket.gethostname()}/{os.getpid()}",
            "window": self.windows.side,
            "computing": round(turn.seconds, 3),
            "seconds": round(time.monotonic() - began, 3),
        }
        return attempt.commit(record)

    def _pixels(self, tile: Tile, turn: "Turn") -> tuple[Pixels, Pixels]:
        """In smaller windows where memory runs out: of a seamless network the same answer, and slower."""
        while True:
            side = self.windows.side
            try:
                return predict_tile(self.job, self.predictor, tile, turn, side)
            except (MemoryError, RuntimeError) as error:
                if not is_out_of_memory(error):
                    raise
                if self.windows.side == side and not self.windows.shrink(self.predictor.stride):
                    raise
            give_back()  # here the error is gone, and with it what it held


@dataclass
class Turn:
    """At the network, and how long it took, without the waiting."""

    lock: AbstractContextManager[Any]
    seconds: float = 0.0

    def __enter__(self) -> None:
        self.lock.__enter__()
        self.seconds -= time.monotonic()

    def __exit__(self, *error: Any) -> None:
        self.seconds += time.monotonic()
        self.lock.__exit__(*error)


def predict_tile(
    job: Mapping,
    predictor: Predictor,
    tile: Tile,
    computing: AbstractContextManager[Any] = ALONE,
    side: int | None = None,
) -> tuple[Pixels, Pixels]:
    """Crop and confidence of a tile; ground outside the region is no data.

    Each window is seen with its halo and only its core is kept: with statistics fixed at inference a pixel's class
    depends on its own surroundings alone, so there is nothing to blend and no seam to hide.
    """
    whole = job.grid.window(tile)
    halo = predictor.halo if job.halo is None else job.halo
    crop = np.full((whole.height, whole.width), IGNORE, np.uint8)
    confidence = crop.copy()
    outside = outside_region(job.region, job.grid, whole)
    if outside.all():
        return crop, confidence
    ground = read_cube(Store(job.root, cube.NAME), whole.grown(halo))
    with computing:
        for core in cores_of(whole, side or predictor.window):
            here = core.seen_from(whole).slices
            if not outside[here].all():
                around = core.grown(halo).seen_from(whole.grown(halo))
                seen = predictor.predict(ground[:, :, *around.slices])
                inner = slice(halo, halo + core.height), slice(halo, halo + core.width)
                crop[here], confidence[here] = (layer[inner] for layer in seen)
    crop[outside] = confidence[outside] = IGNORE
    return crop, confidence


def cores_of(whole: Window, side: int) -> Iterator[Window]:
    for y in range(whole.y, whole.y + whole.height, side):
        for x in range(whole.x, whole.x + whole.width, side):
            height = min(side, whole.y + whole.height - y)
            yield Window(y, x, height, min(side, whole.x + whole.width - x))
