"""The work of one actor of `map`: tiles are read, seen by the network, written and committed."""

import os
import socket
import time
from collections.abc import Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from math import ceil, isqrt
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from catalogs import crops, cube
from catalogs.attempts import Attempt
from catalogs.cube import count_observations
from catalogs.description import identity
from catalogs.errors import BadInput
from catalogs.grid import Tile, Window, rectangles
from catalogs.stores import Store
from catalogs.taxonomy import IGNORE
from cluster.actors import tried
from models.architectures import settings_of
from models.exactness import processor
from models.memory import give_back, is_out_of_memory, keep_what_is_freed
from models.predictor import Predictor, load_predictor
from models.window import Answer
from pipelines.checkpoints import read_checkpoint
from pipelines.map_inputs import Sight
from pipelines.network_actors import device_of
from pipelines.predicting import Mapping, Turn, predict_ground

SMALLEST = 64
"""Pixels of the side of a window, below which halos are nearly all of the work."""

OF_GPU = 0.8
"""Of a worker's share of a GPU's memory what windows may take; the rest is for CUDA, and for what lies in between."""

Record = dict[str, Any]

Pixels = NDArray[np.uint8]


def start_mapping(job: Mapping, on_gpu: bool = False) -> "Mapper":
    """Load the network once."""
    keep_what_is_freed()
    device = device_of(on_gpu)
    if on_gpu and 0 < job.places.gpus < 1:
        torch.cuda.set_per_process_memory_fraction(job.places.gpus)  # what others need is not taken
    checkpoint = read_checkpoint(job.learned or job.root, job.checkpoint)
    predictor = load_predictor(*checkpoint, device, job.precision)
    readers = ThreadPoolExecutor(job.places.cores) if on_gpu else None
    best = _best_window(job, predictor)
    return Mapper(job, predictor, ThreadPoolExecutor(1), Windows(best, best), processor(on_gpu), readers)


def _best_window(job: Mapping, predictor: Predictor) -> int:
    """What flows by is as wide as tiles are together, or as is best. On a GPU large ones are the fastest: a whole tile,
    or in as few as its memory has room for. Always the same, so that no pixel depends on which are seen together."""
    settings, side = settings_of(predictor.card), job.grid.side
    if predictor.flow:
        return min(predictor.flow, side * job.places.together[1])
    if predictor.on_cpu or not settings.is_seamless:
        return min(predictor.window, side)
    halo = job.halo_or(predictor.halo)
    room = int(torch.cuda.mem_get_info()[1] * min(job.places.gpus or 1.0, 1.0) * OF_GPU)
    most = max(isqrt(room // settings.bytes_on_gpu(1)) - 2 * halo, SMALLEST)
    return ceil(side / ceil(side / most) / settings.stride) * settings.stride


@dataclass
class Windows:
    """Pixels of the width of what a network sees at once, its halo not counted; fewer once memory has run out."""

    side: int
    best: int
    apart: bool = False
    """Tiles are no longer seen together, because memory ran out for that."""

    def shrink(self, seen: int, stride: int) -> bool:
        """To half of what was seen when memory ran out."""
        smaller = seen // 2 // stride * stride
        if smaller < SMALLEST:
            return False
        self.side = smaller
        return True


@dataclass(frozen=True)
class Seen:
    """What the network said of a tile, and what that took of the time."""

    origin: Record
    """What a record says of where the pixels came from."""
    answer: Answer
    computing: float
    seconds: float
    window: int
    """Pixels of the width of those that it was seen in,"""
    best: int
    """and that they would have if memory had not run out."""
    together: int
    """Tiles that were seen at once."""


@dataclass(frozen=True, eq=False)
class Mapper:
    """Maps tiles, from several threads at once: one computes while others read and write."""

    job: Mapping
    predictor: Predictor
    computing: Executor
    """Of one thread: the network sees one window after another, and no other thread keeps the memory that it needed."""
    windows: Windows
    processor: str = ""
    readers: Executor | None = None
    """Threads that share what is to be read for a GPU."""

    def __call__(self, tiles: Sequence[Tile]) -> list[Any]:
        """Of each the record, which it or somebody before it has committed, or the error. Tiles that make a rectangle
        are seen together: the ground around them is read and seen once."""
        begun = {tile: tried(self._begun, tile) for tile in tiles}
        found = {tile: one if isinstance(one, Exception) else one[1] for tile, one in begun.items()}
        missing = [tile for tile, one in found.items() if one is None]
        for some in [[tile] for tile in missing] if self.windows.apart else rectangles(missing):
            found |= self._made({tile: begun[tile][0] for tile in some})
        return [found[tile] for tile in tiles]

    def alone(self, tile: Tile) -> Record:
        """The record of one tile."""
        origin, done = self._begun(tile)
        return done or self._committed(tile, origin)

    def _begun(self, tile: Tile) -> tuple[Record, Record | None]:
        """What its record is to say of where its pixels come from, and that record if it is there."""
        origin = self._origin(tile)
        return origin, self._done(Store(self.job.root, crops.MAP), str(tile), origin)

    def _made(self, origins: dict[Tile, Record]) -> dict[Tile, Any]:
        """Where something is wrong with one of several, each is seen alone, and only that one fails."""
        seen: dict[Tile, Seen] = {}
        why = ""
        if len(origins) > 1:
            try:
                seen = self._see(origins)
            except Exception as error:
                why = f"{type(error).__name__}: {error}"[:200]
        return {
            tile: tried(partial(self._committed, origin=origin, seen=seen.get(tile), why_alone=why), tile)
            for tile, origin in origins.items()
        }

    def _committed(self, tile: Tile, origin: Record, seen: Seen | None = None, why_alone: str = "") -> Record:
        store, unit = Store(self.job.root, crops.MAP), str(tile)
        while True:
            attempt = store.attempt(unit)
            try:
                record = self._commit(attempt, tile, seen or self._see({tile: origin})[tile], why_alone)
            except Exception:
                # another run has finished, and cleaned up behind this one; or this one had committed before it failed
                done = self._done(store, unit, origin)
                if done is None or done["attempt"] != attempt.name:
                    attempt.discard()
                if done is None:
                    raise
                return done
            if _is_of(record, origin):  # and not of a worker that has slept since the map's inputs changed
                return record
            if done := self._done(store, unit, origin):
                return done

    def _origin(self, tile: Tile) -> Record:
        halo = self.job.halo_or(self.predictor.halo)
        card = self.predictor.card
        made_of = Sight(self.job.grid, halo, card.period_index).read(self.job.cube_root, tile)
        return {"plan": self.job.plan, "weights_sha256": card.weights_sha256, "made_of": made_of}

    def _done(self, store: Store, unit: str, origin: Record) -> Record | None:
        """A record of what the map was made of before is none."""
        record = store.finished(unit)
        if record is None or _is_of(record, origin):
            return record
        self._check_latest(store)
        store.take_back([(unit, ())])
        return None

    def _check_latest(self, store: Store) -> None:
        """Who comes late, from a run before the last change, takes nothing back."""
        described = store.description()
        if self.job.described and (described is None or identity(described) != self.job.described):
            why = "has been planned anew since this run began."
            raise BadInput(store.root.path(store.name), why, "Give `furrow map` again.")

    def _see(self, origins: dict[Tile, Record]) -> dict[Tile, Seen]:
        """The tiles of a rectangle, in windows that know nothing of where one tile ends."""
        began, turn, whole = time.monotonic(), Turn(self.computing), self.job.grid.around_all([*origins])
        answer, side = self._answer(whole, turn, len(origins))
        took = turn.seconds / len(origins), (time.monotonic() - began) / len(origins)
        windows = side, min(self.windows.best, whole.width)
        parts = {tile: answer.part(*self.job.grid.window(tile).seen_from(whole).slices) for tile in origins}
        return {tile: Seen(origin, parts[tile], *took, *windows, len(origins)) for tile, origin in origins.items()}

    def _commit(self, attempt: Attempt, tile: Tile, seen: Seen, why_alone: str) -> Record:
        began, window, answer = time.monotonic(), self.job.grid.window(tile), seen.answer
        store = Store(self.job.root, crops.MAP)
        layers = answer.crop, answer.confidence, self._observations(window, answer.crop), *answer.layers[2:]
        for array, layer in zip(store.arrays(*crops.map_arrays(self.job.probabilities)), layers, strict=True):
            attempt.write(array, (*[slice(None)] * (layer.ndim - 2), *window.slices), layer)
        counts = np.bincount(answer.crop.ravel(), minlength=256)
        record = {
            **seen.origin,
            "classes": {str(value): int(counts[value]) for value in np.flatnonzero(counts)},
            "valid": int(answer.crop.size - counts[IGNORE]),
            "processor": self.processor,
            "worker": f"{socket.gethostname()}/{os.getpid()}",
            "window": seen.window,
            "best_window": seen.best,
            "seen_together": seen.together,
            **({"why_alone": why_alone} if why_alone else {}),
            "in_hand": self.job.places.in_hand,
            "workers": self.job.places.actors,
            "gpus": self.job.places.gpus,
            "computing": round(seen.computing, 3),
            "seconds": round(seen.seconds + time.monotonic() - began, 3),
        }
        return attempt.commit(record)

    def _observations(self, window: Window, crop: Pixels) -> Pixels:
        """How many clear ones each crop rests on."""
        known = crop != IGNORE
        if not known.any():
            return crop
        store = Store(self.job.cube_root, cube.NAME)
        counts = count_observations(store, window, self.predictor.card.period_index)
        return np.where(known, np.minimum(counts, crops.MOST_OBSERVATIONS), IGNORE).astype(np.uint8)

    def _answer(self, whole: Window, turn: "Turn", tiles: int) -> tuple[Answer, int]:
        """And the side of its windows, which are smaller where memory runs out: of a seamless network the same answer,
        and slower. Before that, tiles are seen together no more."""
        while True:
            side = self.windows.side
            seen = min(side, whole.width)
            try:
                return predict_ground(self.job, self.predictor, whole, turn, seen, self.readers), seen
            except (MemoryError, RuntimeError) as error:
                if not is_out_of_memory(error):
                    raise
                if tiles > 1:
                    self.windows.apart, self.windows.side = True, min(side, self.job.grid.side)
                    raise
                if self.windows.side == side and not self.windows.shrink(seen, self.predictor.stride):
                    raise
            give_back()  # here the error is gone, and with it what it held


def _is_of(record: Record, origin: Record) -> bool:
    return record | origin == record
