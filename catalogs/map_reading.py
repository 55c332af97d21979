"""Windows of a map in a bucket or behind HTTP, in few requests: indexes are kept, neighbouring chunks come at once.

Zarr's own reader asks for the index of a shard at every access, and for each chunk by itself. A published map has the
indexes of many shards in one table (catalogs/chunk_table.py); of others each is asked for once.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cache, cached_property
from itertools import product
from math import isqrt, prod
from threading import Lock
from typing import Any, TypeVar

import google_crc32c
import numpy as np
import zarr
from numpy.typing import NDArray

from catalogs.errors import BadInput
from catalogs.grid import Window
from catalogs.no_answer import is_no_answer
from catalogs.root import Root
from catalogs.shard_reading import shard_in, unpack
from catalogs.shards import ABSENT

GAP = 64 * 1024
"""Bytes between two chunks that are fetched with them rather than asked around: a request costs about as much."""

ASKERS = 8
"""Requests at the same time."""

TABLE = "chunks"
"""The group of a map, or of one of its levels, that repeats the indexes of its shards."""

TOGETHER = 16_384
"""Chunks that the table tells of at once, in a square of shards: 128 kB before they are packed."""

Given = TypeVar("Given")
Answer = TypeVar("Answer")
Place = tuple[int, int]

Index = NDArray[np.unsignedinteger[Any]]
"""(.., chunk, chunk, 2): first byte and number of bytes of each chunk of a shard."""


@dataclass(frozen=True)
class Piece:
    """A chunk of a shard: which one, and where its bytes are."""

    chunk: Place
    first: int
    end: int


@dataclass(eq=False)
class Known:
    """Where chunks lie."""

    indexes: dict[Place, Index | None] = field(default_factory=dict)
    tables: dict[Place, Index | None] = field(default_factory=dict)
    outdated: bool = False
    """Whether the tables speak of shards that are no more."""
    lock: Lock = field(default_factory=Lock)

    def forget(self) -> bool:
        """Ask the shards from now on; whether anything had been known, to this reader or another at the same time."""
        known = bool(self.indexes or self.tables or self.outdated)
        self.indexes, self.tables, self.outdated = {}, {}, True
        return known


@dataclass(frozen=True, eq=False)
class MapReader:
    """One array of a map or of one of its levels; keep it, since it remembers where chunks lie.

    Of a map that is made anew meanwhile it notices that they lie elsewhere now, and asks the shards.
    """

    root: Root
    store: str
    name: str
    _known: Known = field(default_factory=Known, repr=False)

    def __reduce__(self) -> Any:
        """For another process, which learns for itself."""
        return MapReader, (self.root, self.store, self.name)

    @cached_property
    def array(self) -> zarr.Array[Any]:
        found = zarr.open_group(self.root.zarr(self.store), mode="r", zarr_format=3)[self.name]
        assert isinstance(found, zarr.Array) and found.shards is not None
        return found

    def read(self, window: Window) -> NDArray[Any]:
        """Pixels of a window that lies within the array."""
        try:
            return self._read(window)
        except (BadInput, OSError) as error:
            if is_no_answer(error) or not self._known.forget():
                raise
            return self._read(window)  # what is damaged for good is found so once more

    def _read(self, window: Window) -> NDArray[Any]:
        out = np.full((window.height, window.width), self.array.fill_value, self.array.dtype)
        wanted = list(self._chunks_by_shard(window).items())
        at_once = 1 if self.root.is_local else ASKERS
        for first in range(0, len(wanted), at_once):
            for shard, piece, data in self._fetched(wanted[first : first + at_once]):
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

    def _fetched(self, wanted: Sequence[tuple[Place, list[Place]]]) -> Iterator[tuple[Place, Piece, bytes]]:
        """Chunks of some shards with their bytes; a shard that is wanted whole, and not known, is asked once."""
        opened = dict(
            self._asked(lambda one: (one[0], self._opened(one[0], len(one[1]) == self._count(one[0]))), wanted)
        )
        runs = [(shard, run) for shard, chunks in wanted for run in merged(_pieces(opened[shard][0], chunks))]

        def bytes_of(one: tuple[Place, list[Piece]]) -> bytes:
            shard, (first, end) = one[0], _ends(one[1])
            return opened[shard][1][first:end] or self.root.read_part(self._key(shard), first, end)

        for (shard, run), data in zip(runs, self._asked(bytes_of, runs), strict=True):
            first, _ = _ends(run)
            yield from ((shard, piece, data[piece.first - first : piece.end - first]) for piece in run)

    def _asked(self, ask: Callable[[Given], Answer], each: Sequence[Given]) -> Iterator[Answer]:
        """In turn; what lies elsewhere is asked for at the same time, because it is the answer that takes time."""
        return map(ask, each) if self.root.is_local or len(each) < 2 else _askers(os.getpid()).map(ask, each)

    def _opened(self, shard: Place, all_of_it: bool) -> tuple[Index | None, bytes]:
        """A shard's index, and its bytes where all were fetched."""
        known, data = self._known.indexes, b""
        if shard not in known:
            data = self._part(self._key(shard), 0) if all_of_it else b""
            if all_of_it:
                known[shard] = self._index(shard, data) if data else None
            else:
                known[shard] = self._told(shard)
        return known[shard], data

    def index(self, shard: Place) -> Index | None:
        """What a shard itself says, (chunk, chunk, 2); None of one that was never written."""
        data = self._part(self._key(shard), -self._index_bytes)
        return self._index(shard, data) if data else None

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
        with self._known.lock:  # several ask at the same time, for shards of one square
            tables = self._known.tables
            if square not in tables:
                key = f"{self.store}/{TABLE}/{self.name}/c/{square[0]}/{square[1]}/0/0/0"
                try:
                    data = b"" if self._known.outdated else self._part(key, 0)
                except PermissionError:  # what a bucket answers to who may not list it
                    data = b""
                tables[square] = self._decoded_table(key, data) if data else None
            return tables[square]

    def _decoded_table(self, key: str, data: bytes) -> Index:
        """A shard of Zarr, too, with one chunk."""
        side = square_side(self.per_shard)
        table = np.empty((side, side, *self.per_shard, 2), "<u4")
        shard_in(self.root.path(key), memoryview(data), 1, packed=True).read(0, table)
        return table

    def _part(self, key: str, start: int) -> bytes:
        try:
            return self.root.read_part(key, start)
        except FileNotFoundError:
            return b""

    @property
    def _index_bytes(self) -> int:
        """A shard ends with first byte and length of each chunk, and a CRC32C (zarr-specs, sharding_indexed 1.0)."""
        return 16 * prod(self.per_shard) + 4

    def _index(self, shard: Place, data: bytes) -> Index:
        end = data[-self._index_bytes :]
        if google_crc32c.value(end[:-4]) != int.from_bytes(end[-4:], "little"):
            place = self.root.path(self._key(shard))
            raise BadInput(place, "is damaged: its index is not whole.", "Copy or map it again.")
        return np.frombuffer(end[:-4], "<u8").reshape(*self.per_shard, 2)

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
        out = np.empty(self.array.chunks, kind)
        try:
            unpack(data, out)
        except (RuntimeError, ValueError) as error:
            why = f"is damaged: a chunk cannot be unpacked ({error})."
            raise BadInput(self.root.path(f"{self.store}/{self.name}"), why, "Copy or map it again.") from error
        return out


def _pieces(index: Index | None, chunks: Sequence[Place]) -> list[Piece]:
    if index is None:  # nothing was ever mapped there
        return []
    found = ((chunk, *index[chunk].tolist()) for chunk in chunks)
    pieces = [Piece(chunk, first, first + size) for chunk, first, size in found if size and first != ABSENT]
    return sorted(pieces, key=lambda piece: piece.first)


@cache
def _askers(process: int) -> ThreadPoolExecutor:
    """Of this process: one that was forked off has none of its parent's threads."""
    return ThreadPoolExecutor(ASKERS, "map-reader")


def _ends(run: Sequence[Piece]) -> tuple[int, int]:
    return run[0].first, run[-1].end


def square_side(per_shard: Place) -> int:
    """Shards on a side of what the table tells of at once: 32 where a shard has 16 chunks."""
    return max(isqrt(TOGETHER // prod(per_shard)), 1)


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
