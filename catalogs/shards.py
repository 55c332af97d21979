"""A shard of a Zarr array, byte for byte as zarr-python encodes it, but chunk by chunk through one buffer."""

from collections.abc import Callable, Iterable
from functools import lru_cache, partial
from itertools import product
from typing import Any

import google_crc32c
import numpy as np
import xxhash
import zarr
from imagecodecs import blosc_encode
from numpy.typing import NDArray
from zarr.codecs import BloscCodec

ABSENT = np.uint64(2**64 - 1)
"""What the index says of a chunk that is not there: one that lies beyond the array's edge."""

Place = tuple[int, ...]


def encoded_shard(
    array: zarr.Array[Any], region: tuple[slice | int, ...], block: NDArray[Any]
) -> tuple[str, list[bytes | bytearray]]:
    """The key of the shard that a region is, within its array, and what lies under it."""
    assert array.shards is not None
    starts = [part if isinstance(part, int) else part.start or 0 for part in region]
    index = tuple(start // side for start, side in zip(starts, array.shards, strict=True))
    sides = iter(block.shape)
    whole = block.reshape([1 if isinstance(part, int) else next(sides) for part in region])
    return array.metadata.encode_chunk_key(index), encode_shard(array, whole)


def digest_of(parts: Iterable[bytes | bytearray]) -> str:
    """Of an object's bytes: it tells damage, which is by chance; XXH3 costs a fiftieth of what SHA-256 does."""
    state = xxhash.xxh3_64()
    for part in parts:
        state.update(part)
    return state.hexdigest()


def encode_shard(array: zarr.Array[Any], block: NDArray[Any]) -> list[bytes | bytearray]:
    """What lies under a shard's key, in parts; `block` is all of the shard, or all of it that lies inside the array.

    Chunks of nothing but the fill value are there as well, so that the time it takes to read hangs on no pixel.
    """
    assert array.shards is not None
    encode = _encoder(array)
    chunk: NDArray[Any] = np.empty(array.chunks, array.dtype)
    chunks = tuple(shard // side for shard, side in zip(array.shards, array.chunks, strict=True))
    index = np.full((*chunks, 2), ABSENT, "<u8")
    parts: list[bytes | bytearray] = []
    end = 0
    for place in z_order(chunks):
        if _fill(chunk, block, place, array.fill_value):
            parts.append(encode(chunk))
            index[place] = end, len(parts[-1])
            end += len(parts[-1])
    table = index.tobytes()
    return [*parts, table, google_crc32c.value(table).to_bytes(4, "little")]


def _fill(chunk: NDArray[Any], block: NDArray[Any], place: Place, beyond: Any) -> bool:
    """Bring one chunk of a block into the buffer; whether there is anything of it."""
    here = block[tuple(slice(i * side, (i + 1) * side) for i, side in zip(place, chunk.shape, strict=True))]
    if here.shape != chunk.shape:
        chunk[...] = beyond
    chunk[tuple(map(slice, here.shape))] = here
    return here.size > 0


def _encoder(array: zarr.Array[Any]) -> Callable[[NDArray[Any]], bytes | bytearray]:
    """Of one chunk, by a build of Blosc that uses all of the processor, on one thread; an array may have no codec."""
    if not array.compressors:
        little = array.dtype.newbyteorder("<")
        return lambda chunk: chunk.astype(little, copy=False).tobytes()
    (said,) = array.compressors
    assert isinstance(said, BloscCodec) and said.shuffle is not None
    return partial(
        blosc_encode,
        level=said.clevel,
        compressor=said.cname.value,
        shuffle=said.shuffle.value,
        typesize=said.typesize,
        blocksize=said.blocksize,
        numthreads=1,
    )


@lru_cache
def z_order(shape: Place) -> tuple[Place, ...]:
    """The order in which zarr-python lays chunks down: that of Morton, the first axis changing fastest."""
    return tuple(sorted(product(*map(range, shape)), key=lambda place: _z_number(place, shape)))


def _z_number(place: Place, shape: Place) -> int:
    """The bits of the places along all axes in turn; an axis has as many as its length needs."""
    depth = max(shape).bit_length()
    needed = [(bit, axis) for bit in range(depth) for axis, length in enumerate(shape) if (length - 1) >> bit]
    return sum((place[axis] >> bit & 1) << position for position, (bit, axis) in enumerate(needed))
