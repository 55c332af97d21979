"""Chunks of one Zarr shard: decoded straight into memory that is there already, or seen where they lie.

Zarr's own reader takes several times as long for a chunk as its codec does. This one knows the one layout that our
stores have (zarr-specs, sharding_indexed 1.0: the index comes last, 16 bytes a chunk and a CRC32C), and only reads.
"""

import mmap
import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from io import FileIO
from math import prod
from pathlib import Path
from typing import Any

import google_crc32c
import numpy as np
from numcodecs.blosc import Blosc
from numpy.typing import DTypeLike, NDArray

from catalogs.errors import BadInput
from catalogs.root import Root

HEAD = 16
"""Bytes at the start of what Blosc packs, with its lengths: the plain one at 4, the packed one at 12."""

Buffer = bytes | memoryview

_blosc = Blosc()  # only to decode: a chunk says itself how it was made


@dataclass(frozen=True, eq=False)
class Shard:
    """The bytes of a shard, and where in them its chunks are."""

    place: str
    data: memoryview
    index: NDArray[np.uint64]
    """(chunk, 2): first byte and number of bytes; both are 2**64 - 1 for a chunk that was not written."""
    packed: bool
    """by Blosc; else chunks lie in it as they are"""

    def read(self, chunk: int, out: NDArray[Any]) -> None:
        """Copy one chunk into an array of just its size; the interpreter's lock is free while it is decoded."""
        if not self.packed:
            np.copyto(out, self.view(chunk, out.shape, out.dtype))
            return
        _decode(self.place, chunk, self._bytes(chunk), out)

    def view(self, chunk: int, shape: tuple[int, ...], dtype: DTypeLike) -> NDArray[Any]:
        """One chunk of a shard that is not packed, where it lies; not to be written to."""
        data, kind = self._bytes(chunk), np.dtype(dtype).newbyteorder("<")
        if len(data) != prod(shape) * kind.itemsize:
            raise _damaged(self.place, f"has a chunk {chunk} of {len(data)} bytes, which is not one of {shape}")
        return np.frombuffer(data, kind).reshape(shape)

    def _bytes(self, chunk: int) -> memoryview:
        first, length = self.index[chunk].tolist()
        if first + length > len(self.data):
            raise _damaged(self.place, f"has no chunk {chunk}")
        return self.data[first : first + length]


def _decode(place: str, chunk: int, data: Buffer, out: NDArray[Any]) -> None:
    try:
        unpack(data, out)
    except (RuntimeError, ValueError) as error:
        raise _damaged(place, f"has a chunk {chunk} that cannot be decoded ({error})") from error


def unpack(data: Buffer, out: NDArray[Any]) -> None:
    """What Blosc packed, if it is just so long and fills just that: Blosc itself believes whatever a chunk says."""
    head = bytes(memoryview(data)[:HEAD])
    plain, packed = (int.from_bytes(head[start : start + 4], "little") for start in (4, 12))
    if len(head) < HEAD or packed != len(memoryview(data)) or plain != out.nbytes:
        raise ValueError(f"{len(memoryview(data))} bytes that say they are {packed} and hold {plain}")
    _blosc.decode(data, out)


def open_shards(root: Root, keys: Sequence[str], chunks: int, packed: bool) -> list[Shard]:
    """Those with as many chunks. A local file is mapped, its pages are asked for; what lies elsewhere is fetched."""
    return [_open(root, key, chunks, packed) for key in keys]


@dataclass(frozen=True, eq=False)
class ShardFile:
    """A local shard of packed chunks, of which only some are wanted, and each once: they are read, not mapped, so that
    what was read does not count as memory of this process."""

    place: str
    file: FileIO
    size: int
    index: NDArray[np.uint64]

    @staticmethod
    def open(path: Path, chunks: int) -> "ShardFile":
        file, tail = path.open("rb", buffering=0), 16 * chunks + 4
        try:
            size = os.fstat(file.fileno()).st_size
            file.seek(max(size - tail, 0))
            return ShardFile(str(path), file, size, _index(str(path), file.read(tail), chunks))
        except BaseException:
            file.close()
            raise

    def read(self, chunk: int, out: NDArray[Any], room: bytearray) -> None:
        """Decode one chunk into an array of just its size, by way of some room, which grows if it has to."""
        first, length = self.index[chunk].tolist()
        if first + length > self.size:
            raise _damaged(self.place, f"has no chunk {chunk}")
        if len(room) < length:
            room.extend(bytes(length - len(room)))
        packed = memoryview(room)[:length]
        self.file.seek(first)
        _decode(self.place, chunk, packed[: self.file.readinto(packed)], out)


def fetch_ahead(path: Path) -> None:
    """Let the system fetch a local shard that will be read soon, if there is one."""
    with suppress(FileNotFoundError), path.open("rb") as file:
        if hasattr(os, "posix_fadvise"):  # not on every system
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_WILLNEED)


def _open(root: Root, key: str, chunks: int, packed: bool) -> Shard:
    data = memoryview(_mapped(Path(root.path(key))) if root.is_local else root.read(key))
    return shard_in(root.path(key), data, chunks, packed)


def shard_in(place: str, data: memoryview, chunks: int, packed: bool) -> Shard:
    """Of bytes that were fetched already."""
    return Shard(place, data, _index(place, data[-16 * chunks - 4 :], chunks), packed)


def _index(place: str, tail: Buffer, chunks: int) -> NDArray[np.uint64]:
    index, check = tail[:-4], tail[-4:]
    if len(index) != 16 * chunks or google_crc32c.value(bytes(index)) != int.from_bytes(check, "little"):
        raise _damaged(place, f"has no whole index of {chunks} chunks")
    return np.frombuffer(index, "<u8").reshape(chunks, 2)


def _mapped(path: Path) -> mmap.mmap | bytes:
    with path.open("rb") as file:
        if not path.stat().st_size:
            return b""
        pages = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    pages.madvise(mmap.MADV_WILLNEED)  # read ahead as a whole: on a disk, one request in place of hundreds
    return pages


def _damaged(place: str, why: str) -> BadInput:
    return BadInput(f"shard {place}", f"{why}.", "Copy it again, or remove it and give the command that wrote it.")
