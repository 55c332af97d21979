"""A shard of a Zarr array, byte for byte as zarr-python encodes it, but chunk by chunk through one buffer."""

from collections.abc import Callable
from functools import lru_cache
from itertools import product
from typing import Any

import google_crc32c
import numpy as np
import zarr
from numcodecs.blosc import Blosc
from numpy.typing import NDArray
from zarr.codecs import BloscCodec

ABSENT = np.uint64(2**64 - 1)
"""What the index says of a chunk that is not there: one that lies beyond the array's edge."""

SHUFFLES = ("noshuffle", "shuffle", "bitshuffle")
"""By their numbers in Blosc."""

Place = tuple[int, ...]


def encode_shard(array: zarr.Array[Any], block: NDArray[Any]) -> bytes:
    """What lies under a shard's key; `block` is all of the shard, or all of it that lies inside the array.

    Chunks of nothing but the fill value are there as well, so that the time it takes to read hangs on no pixel.
    """
    assert array.shards is not None
    encode = _encoder(array)
    chunk: NDArray[Any] = np.empty(array.chunks, array.dtype)
    chunks = tuple(shard // side for shard, side in zip(array.shards, array.chunks, strict=True))
    index = np.full((*chunks, 2), ABSENT, "<u8")
    parts: list[bytes] = []
    end = 0
    for place in z_order(chunks):
        if _fill(chunk, block, place, array.fill_value):
            parts.append(encode(chunk))
            index[place] = end, len(parts[-1])
            end += len(parts[-1])
    table = index.tobytes()
    return b"".join([*parts, table, google_crc32c.value(table).to_bytes(4, "little")])


def _fill(chunk: NDArray[Any], block: NDArray[Any], place: Place, beyond: Any) -> bool:
    """Bring one chunk of a block into the buffer; whether there is anything of it."""
    here = block[tuple(slice(i * side, (i + 1) * side) for i, side in zip(place, chunk.shape, strict=True))]
    if here.shape != chunk.shape:
        chunk[...] = beyond
    chunk[tuple(map(slice, here.shape))] = here
    return here.size > 0


def _encoder(array: zarr.Array[Any]) -> Callable[[NDArray[Any]], bytes]:
    """Of one chunk; an array may have no compressor."""
    if not array.compressors:
        little = array.dtype.newbyteorder("<")
        return lambda chunk: chunk.astype(little, copy=False).tobytes()
    (said,) = array.compressors
    assert isinstance(said, BloscCodec) and said.shuffle is not None
    shuffle = SHUFFLES.index(said.shuffle.value)
    encode: Callable[[NDArray[Any]], bytes] = Blosc(
        said.cname.value, said.clevel, shuffle, said.blocksize, typesize=said.typesize
    ).encode
    return encode


@lru_cache
def z_order(shape: Place) -> tuple[Place, ...]:
    """The order in which zarr-python lays chunks down: that of Morton, the first axis changing fastest."""
    return tuple(sorted(product(*map(range, shape)), key=lambda place: _z_number(place, shape)))


def _z_number(place: Place, shape: Place) -> int:
    """The bits of the places along all axes in turn; an axis has as many as its length needs."""
    depth = max(shape).bit_length()
    needed = [(bit, axis) for bit in range(depth) for axis, length in enumerate(shape) if (length - 1) >> bit]
    return sum((place[axis] >> bit & 1) << position for position, (bit, axis) in enumerate(needed))
