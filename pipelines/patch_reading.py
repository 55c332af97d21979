"""Patches for training: shuffled across the shards that are open, seen where they lie or decoded ahead of use."""

from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from queue import SimpleQueue
from threading import Thread

import numpy as np
from numpy.typing import NDArray

from catalogs import patch_store
from catalogs.patch_store import SHARD
from catalogs.root import Root
from catalogs.shard_reading import Shard, open_shards
from catalogs.stores import Store, shard_key

Pair = tuple[NDArray[np.uint16], NDArray[np.uint8]]
"""Reflectance (time, band, y, x) and crop (y, x)."""

Filled = tuple[Pair, int] | BaseException | None
"""A block of patches and how many are in it; what went wrong; or that all have been given."""

OPEN_SHARDS = 8
"""Shards that patches are drawn from at a time: mapped files, or as many objects fetched from elsewhere."""

AHEAD = 3
"""Shards that are opened before their first patch is needed."""

KEPT = 128
"""Shards in files that stay mapped from one epoch to the next: each is two file handles, and pages of the cache."""

BLOCK_BYTES = 8 * 1024**2
"""Patches change hands between threads in blocks of this size: few enough handings over, and still in the cache."""

BLOCKS = 3
"""One that is used, one that waits, one that is being filled: all the memory that reading takes, beside the shards."""

STORE = 2**40
"""Numbers from one store's first patch to that of the next: a patch of the third has the number 2 * STORE + its own."""


def shuffled(members: Sequence[int], seed: int, epoch: int) -> list[int]:
    """The patches of an epoch, each once: shards come in random order, each spread over as many turns as are open."""
    rng = np.random.default_rng([seed, epoch])
    numbers = np.asarray(members, np.int64)
    shards, place = np.unique(numbers // SHARD, return_inverse=True)
    turn = rng.permutation(len(shards))[place] + rng.uniform(0, OPEN_SHARDS, len(numbers))
    order: list[int] = numbers[np.argsort(turn, kind="stable")].tolist()
    return order


def batches(order: Sequence[int], size: int, rank: int, workers: int) -> Iterator[list[int]]:
    """A worker's part of each batch; an incomplete last batch is left to another epoch, unless it is the only one."""
    if len(order) < size:
        order = (list(order) * -(-size // len(order)))[:size]
    part = size // workers
    for start in range(0, len(order) - size + 1, size):
        yield list(order[start + rank * part : start + (rank + 1) * part])


class PatchReader:
    """Patches by number, of one store or of several that hold the same kind of patches."""

    def __init__(self, *roots: Root) -> None:
        self.roots = roots
        self.kept: dict[int, list[Shard]] = {}
        arrays = [Store(root, patch_store.NAME).arrays("reflectance", "crop") for root in roots]
        self.shapes = arrays[0][0].shape[1:], arrays[0][1].shape[1:]
        self.packed = [bool(both[0].compressors) for both in arrays]

    def read(self, number: int) -> Pair:
        """One patch, in memory of its own."""
        (picture, crop), shards = self._memory(1), self._open(number // SHARD)
        _decode(shards, number, picture[0], crop[0])
        return picture[0], crop[0]

    def stream(self, order: Sequence[int]) -> Iterator[Pair]:
        """The patches in this order. What one turn gives is not to be written to, and may be overwritten later: use it,
        or copy it, before the next.
        """
        return self._decoded(order) if any(self.packed) else self._seen(order)

    def _seen(self, order: Sequence[int]) -> Iterator[Pair]:
        """Where they lie, in the cache of files or in what was fetched: nothing is copied, no thread is needed."""
        pictures, crops = self.shapes
        with ThreadPoolExecutor(AHEAD) as pool:
            for number, shards in zip(order, self._shards_of(order, pool), strict=True):
                place = number % SHARD
                yield shards[0].view(place, pictures, np.uint16), shards[1].view(place, crops, np.uint8)

    def _decoded(self, order: Sequence[int]) -> Iterator[Pair]:
        """A thread decodes ahead: of each shard just the patches in the order, so that workers which share an epoch
        also share its work.
        """
        free: SimpleQueue[Pair | None] = SimpleQueue()
        full: SimpleQueue[Filled] = SimpleQueue()
        size = self._patches_in_a_block()
        for _ in range(min(BLOCKS, -(-len(order) // size))):
            free.put(self._memory(size))
        thread = Thread(target=self._fill, args=(order, size, free, full), daemon=True)
        thread.start()
        try:
            while (filled := full.get()) is not None:
                if isinstance(filled, BaseException):
                    raise filled
                (pictures, crops), count = filled
                yield from zip(pictures[:count], crops[:count], strict=True)
                free.put((pictures, crops))
        finally:
            free.put(None)
            thread.join()

    def _fill(self, order: Sequence[int], size: int, free: SimpleQueue[Pair | None], full: SimpleQueue[Filled]) -> None:
        try:
            with ThreadPoolExecutor(AHEAD) as pool:
                shards = self._shards_of(order, pool)
                for start in range(0, len(order), size):
                    if (block := free.get()) is None:  # nobody wants more
                        break
                    members = order[start : start + size]
                    for number, picture, crop in zip(members, *block, strict=False):
                        _decode(next(shards), number, picture, crop)
                    full.put((block, len(members)))
            full.put(None)
        except BaseException as error:  # it is raised where the patches are used
            full.put(error)

    def _shards_of(self, order: Sequence[int], pool: ThreadPoolExecutor) -> Iterator[list[Shard]]:
        """The shards of each patch in turn: opened ahead of their first use, and dropped after their last."""
        names = [number // SHARD for number in order]
        first = {name: place for place, name in reversed([*enumerate(names)])}
        last = {name: place for place, name in enumerate(names)}
        coming = iter(dict.fromkeys(names))
        opened: dict[int, Future[list[Shard]]] = {}

        def open_more(count: int) -> None:
            opened.update((name, pool.submit(self._open, name)) for name in islice(coming, count))

        open_more(AHEAD)
        for place, name in enumerate(names):
            if place == first[name]:
                open_more(1)
            yield opened[name].result()
            if place == last[name]:
                del opened[name]

    def _open(self, name: int) -> list[Shard]:
        if name in self.kept:
            return self.kept[name]
        store, shard = name * SHARD // STORE, name % (STORE // SHARD)
        root = self.roots[store]
        keys = shard_key("reflectance", shard, 0, 0, 0, 0), shard_key("crop", shard, 0, 0)
        shards = open_shards(root, [f"{patch_store.NAME}/{key}" for key in keys], SHARD, self.packed[store])
        if root.is_local and len(self.kept) < KEPT:
            self.kept[name] = shards
        return shards

    def _memory(self, patches: int) -> Pair:
        pictures, crops = self.shapes
        return np.empty((patches, *pictures), np.uint16), np.empty((patches, *crops), np.uint8)

    def _patches_in_a_block(self) -> int:
        return max(BLOCK_BYTES // (2 * int(np.prod(self.shapes[0]))), 1)


def _decode(shards: Sequence[Shard], number: int, picture: NDArray[np.uint16], crop: NDArray[np.uint8]) -> None:
    shards[0].read(number % SHARD, picture)
    shards[1].read(number % SHARD, crop)
