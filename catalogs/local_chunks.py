"""Chunks of an array on a local disk, decoded into memory that is there: zarr's own reader takes twice as long."""

from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray

from catalogs.shard_reading import ShardFile
from catalogs.stores import Store, shard_key

MOST_OPEN = 128
"""Shards, far fewer than the files that systems let a process open."""


class LocalChunks:
    """Of an array (time, .., y, x) whose chunks are squares of one time. Shards stay open as long as chunks are asked
    for from their row of shards."""

    def __init__(self, store: Store, array: zarr.Array[Any]) -> None:
        assert array.shards is not None
        self._place = Path(store.root.path(store.name))
        self._array, self.side, self._across = array, array.chunks[-1], array.shards[-1] // array.chunks[-1]
        self._room = bytearray()
        self._row, self._shards = 0, dict[tuple[int, int], ShardFile | None]()

    def empty(self) -> NDArray[Any]:
        """Room for one."""
        return np.empty(self._array.chunks[1:], self._array.dtype)

    def read(self, time: int, i: int, j: int, out: NDArray[Any]) -> None:
        """Zeros where no shard is: beyond the array, and in a tile that the region does not reach."""
        shard = self._shard(time, i // self._across, j // self._across)
        if shard is None:
            out[...] = 0
        else:
            shard.read(i % self._across * self._across + j % self._across, out, self._room)

    def _shard(self, time: int, i: int, j: int) -> ShardFile | None:
        if i != self._row or len(self._shards) >= MOST_OPEN:
            self.close()
            self._row = i
        if (time, j) not in self._shards:
            between = (0,) * (self._array.ndim - 3)
            path = self._place / shard_key(self._array.basename, time, *between, i, j)
            self._shards[time, j] = ShardFile.open(path, self._across**2) if path.exists() else None
        return self._shards[time, j]

    def close(self) -> None:
        while self._shards:
            _, shard = self._shards.popitem()
            if shard:
                shard.file.close()
