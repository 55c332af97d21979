"""Shards are zarr-python's own, byte for byte, and so other readers read them."""

from pathlib import Path

import numpy as np
import pytest
import zarr
from hypothesis import given
from hypothesis import strategies as st
from numcodecs.blosc import Blosc
from zarr.codecs import BloscCodec
from zarr.core.indexing import morton_order_iter

from catalogs.crops import FLAT
from catalogs.patch_store import PACKED
from catalogs.shard_reading import unpack
from catalogs.shards import encode_shard, z_order
from catalogs.stores import CODEC, write_shard

CODECS = {"cube": CODEC, "labels": FLAT, "patches in a bucket": PACKED, "patches": None}

LAYOUTS = (
    # shape, shard, chunk
    ((3, 10, 512, 512), (1, 10, 256, 256), (1, 10, 64, 64)),
    ((3, 384, 256), (1, 384, 256), (1, 64, 128)),
    ((192, 320), (192, 320), (64, 64)),
    ((100, 4, 16, 16), (64, 4, 16, 16), (16, 4, 16, 16)),  # the last shard is cut off, within a chunk
)


def arrays(folder: Path, layout: tuple, dtype: str, codec: BloscCodec | None = CODEC) -> list[zarr.Array]:
    """Two that are alike."""
    shape, shard, chunk = layout
    group = zarr.create_group(str(folder), zarr_format=3)
    return [
        group.create_array(name, shape=shape, dtype=dtype, chunks=chunk, shards=shard, compressors=codec, fill_value=7,
                           config={"write_empty_chunks": True})
        for name in ("ours", "theirs")
    ]  # fmt: skip


def pixels(seed: int, shape: tuple[int, ...], dtype: str) -> np.ndarray:
    """Random, with a corner of nothing but the fill value."""
    block = np.random.default_rng(seed).integers(0, 200, shape).astype(dtype)
    block[..., : shape[-2] // 2, : shape[-1] // 2] = 7
    return block


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "uint32", "float32"])
@pytest.mark.parametrize("layout", LAYOUTS, ids=str)
@pytest.mark.parametrize("codec", CODECS)
def test_every_shard_is_what_zarr_writes(codec, layout, dtype, tmp_path):
    shape, shard, _ = layout
    ours, theirs = arrays(tmp_path, layout, dtype, CODECS[codec])
    for number, first in enumerate(np.ndindex(*(-(-n // side) for n, side in zip(shape, shard, strict=True)))):
        starts = [i * side for i, side in zip(first, shard, strict=True)]
        region = tuple(slice(at, min(at + n, end)) for at, n, end in zip(starts, shard, shape, strict=True))
        block = pixels(number, tuple(part.stop - part.start for part in region), dtype)
        theirs[region] = block
        write_shard(ours, region, block)
    written = [
        sorted(path for path in (tmp_path / name / "c").rglob("*") if path.is_file()) for name in ("ours", "theirs")
    ]
    assert len(written[0]) == len(written[1]) > 0
    assert all(one.read_bytes() == other.read_bytes() for one, other in zip(*written, strict=True))
    assert (ours[...] == theirs[...]).all() and len(np.unique(ours[...])) > 100


def test_a_place_is_told_by_numbers_and_slices(tmp_path):
    (ours, theirs), block = arrays(tmp_path, LAYOUTS[0], "uint16"), pixels(0, (10, 256, 256), "uint16")
    digest = write_shard(ours, (2, slice(None), slice(256, 512), slice(0, 256)), block)
    theirs[2, :, 256:512, 0:256] = block
    assert (tmp_path / "ours/c/2/0/1/0").read_bytes() == (tmp_path / "theirs/c/2/0/1/0").read_bytes()
    assert digest == write_shard(theirs, (slice(0, 1), slice(None), slice(0, 256), slice(0, 256)), block[None])
    assert digest != write_shard(theirs, (slice(0, 1), slice(None), slice(0, 256), slice(0, 256)), block[None] + 1)


def test_blocks_need_not_lie_in_one_piece_of_memory(tmp_path):
    ours, _ = arrays(tmp_path, LAYOUTS[2], "uint16")
    block = pixels(0, (192, 320), "uint16")
    turned = np.ascontiguousarray(block.T).T
    assert not turned.flags.c_contiguous and encode_shard(ours, turned) == encode_shard(ours, block)


@given(st.lists(st.integers(1, 9), min_size=1, max_size=4).map(tuple))
def test_chunks_lie_in_zarrs_order(shape):
    assert list(z_order(shape)) == list(morton_order_iter(shape))


@pytest.mark.parametrize("damage", ["less", "more", "cut", "longer", "empty"])
def test_what_is_packed_fills_just_what_is_there_for_it(damage):
    """Blosc by itself would leave the rest as memory happened to be, or read beyond the bytes."""
    numbers, out = np.arange(1000, dtype=np.uint16), np.zeros(1000, np.uint16)
    data = Blosc().encode(numbers)
    unpack(data, out)
    assert (out == numbers).all()
    damaged = {
        "less": Blosc().encode(numbers[:50]),
        "more": Blosc().encode(np.arange(1001, dtype=np.uint16)),
        "cut": data[:-1],
        "longer": data + b"0",
        "empty": b"",
    }
    with pytest.raises(ValueError, match="bytes that say they are"):
        unpack(damaged[damage], out)
