"""Windows of a map in a bucket or behind HTTP, in few requests: indexes are kept, neighbouring chunks come at once.

Zarr's own reader asks for the index of a shard at every access, and for each chunk by itself. A published map has the
indexes of many shards in one table (catalogs/chunk_table.py); of others each is asked for once.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import product
from math import isqrt, prod
from typing import Any

import google_crc32c
import numpy as np
import zarr
from numcodecs.blosc import Blosc
from numpy.typing import DTypeLike, NDArray

from catalogs.errors import BadInput
from catalogs.grid import Window
from catalogs.root import Root
from catalogs.shards import ABSENT

GAP = 64 * 1024
"""Bytes between two chunks that are fetched with them rather than asked around: a request costs about as much."""

TABLE = "chunks"
"""The group of a map, or of one of its levels, that repeats the indexes of its shards."""

TOGETHER = 16_384
"""Chunks that the table tells of at once, in a square of shards: 128 kB before they are packed."""

Place = tuple[int, int]

Index = NDArray[np.unsignedinteger[Any]]
"""(.., chunk, chunk, 2): first byte and number of bytes of each chunk of a shard."""

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
    _indexes: dict[Place, Index | None] = field(default_factory=dict, repr=False)
    _tables: dict[Place, Index | None] = field(default_factory=dict, repr=False)

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
    def per_shard(self) -> Place:
        assert self.array.shards is not None
        rows, cols = (shard // chunk for shard, chunk in zip(self.array.shards, self.array.chunks, strict=True))
        return rows, cols

    def _count(self, shard: Place) -> int:
        """Chunks of a shard that lie within the array."""
        all_chunks = (-(-length // side) for length, side in zip(self.array.shape, self.array.chunks, strict=True))
        inside = zip(all_chunks, shard, self.per_shard, strict=True)
        return prod(min(count, number - place * count) for number, place, count in inside)

    def _key(self, shard: Place) -> str:
        return f"{self.store}/{self.name}/{self.array.metadata.encode_chunk_key(shard)}"

    def _chunks_by_shard(self, window: Window) -> dict[Place, list[Place]]:
        """The chunks that a window meets, as places within their shards."""
        height, width = self.array.chunks
        rows = range(window.y // height, -(-(window.y + window.height) // height))
        cols = range(window.x // width, -(-(window.x + window.width) // width))
        down, across = self.per_shard
        found: dict[Place, list[Place]] = {}
        for row, col in product(rows, cols):
            found.setdefault((row // down, col // across), []).append((row % down, col % across))
        return found

    def _fetched(self, shard: Place, chunks: Sequence[Place]) -> Iterator[tuple[Piece, bytes]]:
        """Chunks of a shard with their bytes; one request where all of a shard is wanted that was not seen before."""
        key = self._key(shard)
        whole = self._opened(shard, all_of_it=len(chunks) == self._count(shard))
        for run in merged(self._pieces(shard, chunks)):
            first, end = run[0].first, run[-1].end
            data = whole[first:end] if whole else self.root.read_part(key, first, end)
            yield from ((piece, data[piece.first - first : piece.end - first]) for piece in run)

    def _pieces(self, shard: Place, chunks: Sequence[Place]) -> list[Piece]:
        index = self._indexes[shard]
        if index is None:  # nothing was ever mapped there
            return []
        found = ((chunk, *index[chunk].tolist()) for chunk in chunks)
        pieces = [Piece(chunk, first, first + size) for chunk, first, size in found if size and first != ABSENT]
        return sorted(pieces, key=lambda piece: piece.first)

    def _opened(self, shard: Place, all_of_it: bool) -> bytes:
        """Learn a shard's index, and hand on its bytes where all were fetched."""
        if shard in self._indexes:
            return b""
        if not all_of_it:
            self._indexes[shard] = self._told(shard)
            return b""
        data = self._part(self._key(shard), 0)
        self._indexes[shard] = self._index(self._key(shard), data, self.per_shard) if data else None
        return data

    def index(self, shard: Place) -> Index | None:
        """What a shard itself says, (chunk, chunk, 2); None of one that was never written."""
        data = self._part(self._key(shard), -_index_bytes(self.per_shard))
        return self._index(self._key(shard), data, self.per_shard) if data else None

    def _told(self, shard: Place) -> Index | None:
        """What the table says of a shard, or else itself."""
        table = self._table_of(shard)
        if table is None:
            return self.index(shard)
        side = square_side(self.per_shard)
        index: Index = table[shard[0] % side, shard[1] % side]
        return index if index.any() else None

    def _table_of(self, shard: Place) -> Index | None:
        """The part of the table that tells of a shard and those around it, if there is a table."""
        side = square_side(self.per_shard)
        square = shard[0] // side, shard[1] // side
        if square not in self._tables:
            key = f"{self.store}/{TABLE}/{self.name}/c/{square[0]}/{square[1]}/0/0/0"
            data = self._part(key, 0)
            self._tables[square] = self._decoded_table(key, data) if data else None
        return self._tables[square]

    def _decoded_table(self, key: str, data: bytes) -> Index:
        """A shard of Zarr, too, with one chunk."""
        first, size = self._index(key, data, (1, 1))[0, 0].tolist()
        side = square_side(self.per_shard)
        return self._unpacked(data[first : first + size], (side, side, *self.per_shard, 2), "<u4")

    def _part(self, key: str, start: int) -> bytes:
        try:
            return self.root.read_part(key, start)
        except FileNotFoundError:
            return b""

    def _index(self, key: str, data: bytes, chunks: Place) -> Index:
        """A shard ends with first byte and length of each chunk, and a CRC32C (zarr-specs, sharding_indexed 1.0)."""
        end = data[-_index_bytes(chunks) :]
        if google_crc32c.value(end[:-4]) != int.from_bytes(end[-4:], "little"):
            raise BadInput(self.root.path(key), "is damaged: its index is not whole.", "Copy or map it again.")
        return np.frombuffer(end[:-4], "<u8").reshape(*chunks, 2)

    def _place(self, piece: Piece, shard: Place, data: bytes, window: Window, out: NDArray[Any]) -> None:
        """The part of a chunk that lies in the window."""
        height, width = self.array.chunks
        pixels = self._decoded(data)
        y = (shard[0] * self.per_shard[0] + piece.chunk[0]) * height
        x = (shard[1] * self.per_shard[1] + piece.chunk[1]) * width
        top, left = max(y, window.y), max(x, window.x)
        bottom, right = min(y + height, window.y + window.height), min(x + width, window.x + window.width)
        out[top - window.y : bottom - window.y, left - window.x : right - window.x] = pixels[
            top - y : bottom - y, left - x : right - x
        ]

    def _decoded(self, data: bytes) -> NDArray[Any]:
        kind = self.array.dtype.newbyteorder("<")
        if not self.array.compressors:
            return np.frombuffer(data, kind).reshape(self.array.chunks)
        return self._unpacked(data, self.array.chunks, kind)

    def _unpacked(self, data: bytes, shape: tuple[int, ...], kind: DTypeLike) -> NDArray[Any]:
        """Just so much: what a chunk says of its own size is not believed."""
        out = np.empty(shape, kind)
        try:
            _blosc.decode(data, out)
        except (RuntimeError, ValueError) as error:
            why = f"is damaged: a chunk cannot be unpacked ({error})."
            raise BadInput(self.root.path(f"{self.store}/{self.name}"), why, "Copy or map it again.") from error
        return out


def square_side(per_shard: Place) -> int:
    """Shards on a side of what the table tells of at once: 32 where a shard has 16 chunks."""
    return max(isqrt(TOGETHER // prod(per_shard)), 1)


def _index_bytes(chunks: Place) -> int:
    return 16 * prod(chunks) + 4


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
