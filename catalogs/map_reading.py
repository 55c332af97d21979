"""Windows of a map in a bucket or behind HTTP, in few requests: indexes are kept, neighbouring chunks come at once.

Zarr's own reader asks for the index of a shard at every access, and for each chunk by itself.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import product
from math import prod
from typing import Any

import google_crc32c
import numpy as np
import zarr
from numcodecs.blosc import Blosc
from numpy.typing import NDArray

from catalogs.errors import BadInput
from catalogs.grid import Window
from catalogs.root import Root
from catalogs.shards import ABSENT

GAP = 64 * 1024
"""Bytes between two chunks that are fetched with them rather than asked around: a request costs about as much."""

Place = tuple[int, int]

_blosc = Blosc()  # only to decode: a chunk says itself how it was made


@dataclass(frozen=True)
class Piece:
    """A chunk of a shard: which one, and where its bytes are."""

    chunk: Place
    first: int
    end: int


@dataclass(frozen=True, eq=False)
class MapReader:
    """One array of a map or of one of its levels; keep it, since it remembers where chunks lie."""

    root: Root
    store: str
    name: str
    _indexes: dict[Place, NDArray[np.uint64] | None] = field(default_factory=dict, repr=False)

    @cached_property
    def array(self) -> zarr.Array[Any]:
        found = zarr.open_group(self.root.zarr(self.store), mode="r", zarr_format=3)[self.name]
        assert isinstance(found, zarr.Array) and found.shards is not None
        return found

    def read(self, window: Window) -> NDArray[Any]:
        """Pixels of a window that lies within the array."""
        out = np.full((window.height, window.width), self.array.fill_value, self.array.dtype)
        for shard, chunks in self._chunks_by_shard(window).items():
            for piece, data in self._fetched(shard, chunks):
                self._place(piece, shard, data, window, out)
        return out

    def at(self, y: int, x: int) -> int:
        return int(self.read(Window(y, x, 1, 1))[0, 0])

    @property
    def _per_shard(self) -> Place:
        assert self.array.shards is not None
        rows, cols = (shard // chunk for shard, chunk in zip(self.array.shards, self.array.chunks, strict=True))
        return rows, cols

    def _key(self, shard: Place) -> str:
        return f"{self.store}/{self.name}/{self.array.metadata.encode_chunk_key(shard)}"

    def _chunks_by_shard(self, window: Window) -> dict[Place, list[Place]]:
        """The chunks that a window meets, as places within their shards."""
        height, width = self.array.chunks
        rows = range(window.y // height, -(-(window.y + window.height) // height))
        cols = range(window.x // width, -(-(window.x + window.width) // width))
        down, across = self._per_shard
        found: dict[Place, list[Place]] = {}
        for row, col in product(rows, cols):
            found.setdefault((row // down, col // across), []).append((row % down, col % across))
        return found

    def _fetched(self, shard: Place, chunks: Sequence[Place]) -> Iterator[tuple[Piece, bytes]]:
        """Chunks of a shard with their bytes; one request where all of a shard is wanted that was not seen before."""
        key = self._key(shard)
        whole = self._opened(shard, all_of_it=len(chunks) == prod(self._per_shard))
        for run in merged(self._pieces(shard, chunks)):
            first, end = run[0].first, run[-1].end
            data = whole[first:end] if whole else self.root.read_part(key, first, end)
            yield from ((piece, data[piece.first - first : piece.end - first]) for piece in run)

    def _pieces(self, shard: Place, chunks: Sequence[Place]) -> list[Piece]:
        index = self._indexes[shard]
        if index is None:  # nothing was ever mapped there
            return []
        found = [_piece(chunk, index[chunk].tolist()) for chunk in chunks if index[chunk][0] != ABSENT]
        return sorted(found, key=lambda piece: piece.first)

    def _opened(self, shard: Place, all_of_it: bool) -> bytes:
        """Learn a shard's index, and hand on its bytes where all were fetched."""
        if shard in self._indexes:
            return b""
        try:
            data = self.root.read_part(self._key(shard), 0 if all_of_it else -self._index_bytes)
        except FileNotFoundError:
            data = b""
        self._indexes[shard] = self._index(shard, data[-self._index_bytes :]) if data else None
        return data if all_of_it else b""

    @property
    def _index_bytes(self) -> int:
        """A shard ends with first byte and length of each chunk, and a CRC32C (zarr-specs, sharding_indexed 1.0)."""
        return 16 * prod(self._per_shard) + 4

    def _index(self, shard: Place, data: bytes) -> NDArray[np.uint64]:
        if google_crc32c.value(data[:-4]) != int.from_bytes(data[-4:], "little"):
            place = self.root.path(self._key(shard))
            raise BadInput(place, "is damaged: its index is not whole.", "Copy or map it again.")
        return np.frombuffer(data[:-4], "<u8").reshape(*self._per_shard, 2)

    def _place(self, piece: Piece, shard: Place, data: bytes, window: Window, out: NDArray[Any]) -> None:
        """The part of a chunk that lies in the window."""
        height, width = self.array.chunks
        pixels = self._decoded(data).reshape(height, width)
        y = (shard[0] * self._per_shard[0] + piece.chunk[0]) * height
        x = (shard[1] * self._per_shard[1] + piece.chunk[1]) * width
        top, left = max(y, window.y), max(x, window.x)
        bottom, right = min(y + height, window.y + window.height), min(x + width, window.x + window.width)
        out[top - window.y : bottom - window.y, left - window.x : right - window.x] = pixels[
            top - y : bottom - y, left - x : right - x
        ]

    def _decoded(self, data: bytes) -> NDArray[Any]:
        plain = _blosc.decode(data) if self.array.compressors else data
        return np.frombuffer(plain, self.array.dtype.newbyteorder("<"))


def _piece(chunk: Place, where: list[int]) -> Piece:
    first, size = where
    return Piece(chunk, first, first + size)


def merged(pieces: Sequence[Piece]) -> Iterator[list[Piece]]:
    """Pieces in the order of their bytes, in runs that one request fetches each."""
    run: list[Piece] = []
    for piece in pieces:
        if run and piece.first - run[-1].end > GAP:
            yield run
            run = []
        run.append(piece)
    if run:
        yield run
