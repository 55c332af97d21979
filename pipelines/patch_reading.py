"""Patches for training, read shard by shard and shuffled across the shards that are open."""

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from catalogs import patch_store
from catalogs.patch_store import SHARD
from catalogs.root import Root
from catalogs.stores import Store

Pair = tuple[NDArray[np.uint16], NDArray[np.uint8]]
"""Reflectance (time, band, y, x) and crop (y, x)."""

OPEN_SHARDS = 6
"""Shards decoded at a time: about 60 MB each with twelve periods."""


def shuffled(members: Sequence[int], seed: int, epoch: int) -> list[int]:
    """The patches of an epoch, each once: shards in random order, a few of them open together and mixed."""
    rng = np.random.default_rng([seed, epoch])
    shards: dict[int, list[int]] = {}
    for member in members:
        shards.setdefault(member // SHARD, []).append(member)
    names = rng.permutation(sorted(shards))
    order: list[int] = []
    for i in range(0, len(names), OPEN_SHARDS):
        mixed = np.concatenate([shards[name] for name in names[i : i + OPEN_SHARDS]])
        order += rng.permutation(mixed).tolist()
    return order


def batches(order: Sequence[int], size: int, rank: int, workers: int) -> Iterator[list[int]]:
    """A worker's part of each batch; an incomplete last batch is left to another epoch, unless it is the only one."""
    if len(order) < size:
        order = (list(order) * -(-size // len(order)))[:size]
    part = size // workers
    for start in range(0, len(order) - size + 1, size):
        yield list(order[start + rank * part : start + (rank + 1) * part])


@dataclass
class PatchReader:
    """Patches by number; the shards they lie in are decoded whole and kept until others push them out."""

    root: Root
    shards: OrderedDict[int, Pair] = field(default_factory=OrderedDict)

    def read(self, number: int) -> Pair:
        pictures, crops = self._shard(number // SHARD)
        return pictures[number % SHARD], crops[number % SHARD]

    def _shard(self, shard: int) -> Pair:
        if shard in self.shards:
            self.shards.move_to_end(shard)
        else:
            store = Store(self.root, patch_store.NAME)
            rows = slice(shard * SHARD, (shard + 1) * SHARD)
            self.shards[shard] = store.read("reflectance", (rows,)), store.read("crop", (rows,))
            if len(self.shards) > OPEN_SHARDS:
                self.shards.popitem(last=False)
        return self.shards[shard]
