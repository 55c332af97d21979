"""The training reader: every patch once an epoch, the same whatever the workers, decoded right, in bounded memory."""

import threading
import tracemalloc
from collections import Counter
from pathlib import Path

import google_crc32c
import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st
from zarr.codecs import BloscCodec

from catalogs import patch_store
from catalogs.errors import BadInput
from catalogs.patch_store import PACKED, SHARD, patch_layouts
from catalogs.root import Root
from catalogs.stores import CODEC, Store, write_shard
from pipelines import patch_reading
from pipelines.patch_reading import OPEN_SHARDS, STORE, PatchReader, batches, shuffled

PATCHES, PERIODS, SIZE = 70, 2, 32


def write_store(root: Root, seed: int = 1, patches: int = PATCHES, codec: BloscCodec | None = None) -> np.ndarray:
    """A store of small patches, the last shard of which is not full; its pictures."""
    rng = np.random.default_rng(seed)
    pictures = rng.integers(1, 4000, (patches, PERIODS, 10, SIZE, SIZE)).astype(np.uint16)
    pictures[:, :, 4:7] = 0
    store = Store(root, patch_store.NAME)
    store.begin(patch_layouts(patches, PERIODS, SIZE, codec), {}, {"store": "patches"})
    for first in range(0, patches, SHARD):
        rows, whole = slice(first, min(first + SHARD, patches)), slice(None)
        write_shard(store.array("reflectance"), (rows, whole, whole, whole, whole), pictures[rows])
        write_shard(store.array("crop"), (rows, whole, whole), crops_of(pictures)[rows])
    return pictures


def crops_of(pictures: np.ndarray) -> np.ndarray:
    return (pictures[:, 0, 0] % 11).astype(np.uint8)


@pytest.fixture(scope="module", params=[None, PACKED], ids=["as they are", "packed"])
def stored(request, tmp_path_factory) -> tuple[Root, np.ndarray]:
    root = Root(str(tmp_path_factory.mktemp("stored")))
    return root, write_store(root, codec=request.param)


@given(st.sets(st.integers(0, 500), min_size=1), st.integers(0, 9), st.integers(0, 9))
def test_an_epoch_has_every_patch_once_and_few_shards_open(members, seed, epoch):
    order = shuffled(sorted(members), seed, epoch)
    assert sorted(order) == sorted(members)
    assert order == shuffled(sorted(members), seed, epoch)
    spans = {n // SHARD: [place for place, m in enumerate(order) if m // SHARD == n // SHARD] for n in order}
    for place in range(len(order)):
        assert sum(places[0] <= place <= places[-1] for places in spans.values()) <= OPEN_SHARDS


def test_patches_are_drawn_from_as_many_shards_as_are_open():
    order = shuffled(range(100 * SHARD), 0, 0)
    last = {number // SHARD: place for place, number in enumerate(order)}
    first = {number // SHARD: place for place, number in reversed([*enumerate(order)])}
    open_at = [sum(first[shard] <= place <= last[shard] for shard in first) for place in range(200, 1400, 100)]
    assert OPEN_SHARDS - 2 <= np.mean(open_at) <= max(open_at) <= OPEN_SHARDS


def test_epochs_differ_and_neighbours_in_the_store_are_parted():
    first, second = shuffled(range(640), 0, 0), shuffled(range(640), 0, 1)
    assert first != second
    together = [one // SHARD == other // SHARD for one, other in zip(first, first[1:], strict=False)]
    assert np.mean(together) < 0.3
    assert Counter(number // SHARD for number in first[:320]).keys() != set(range(20))


@pytest.mark.parametrize("workers", [1, 2, 4])
def test_a_batch_is_the_same_on_any_number_of_workers(workers):
    order = shuffled(range(70), 3, 1)
    shared = [list(batches(order, 8, rank, workers)) for rank in range(workers)]
    assert [sum(parts, []) for parts in zip(*shared, strict=True)] == [order[i : i + 8] for i in range(0, 64, 8)]


def test_the_stream_gives_the_patches_in_order_as_zarr_does(stored):
    root, pictures = stored
    plain = xr.open_zarr(root.path("patches.zarr"), consolidated=False)
    reader, order = PatchReader(root), shuffled(range(PATCHES), 0, 0)
    for number, (picture, crop) in zip(order, reader.stream(order), strict=True):
        assert (picture == pictures[number]).all() and (crop == crops_of(pictures)[number]).all()
    assert (plain["reflectance"].values == pictures).all()
    picture, crop = reader.read(69)
    assert (picture == plain["reflectance"][69].values).all() and (crop == plain["crop"][69].values).all()


@pytest.mark.parametrize("order", [[], [5], [69, 0, 69, 0, 33], [*range(PATCHES)][::-1]])
def test_any_order_is_read(stored, order, monkeypatch):
    monkeypatch.setattr(patch_reading, "BLOCK_BYTES", 100_000)  # blocks of a few patches, so that memory is used again
    root, pictures = stored
    found = [(picture.copy(), crop.copy()) for picture, crop in PatchReader(root).stream(order)]
    assert len(found) == len(order)
    for number, (picture, crop) in zip(order, found, strict=True):
        assert (picture == pictures[number]).all() and (crop == crops_of(pictures)[number]).all()


def test_a_patch_stays_as_it_is_until_the_next_is_asked_for(tmp_path, monkeypatch):
    root = Root(str(tmp_path))
    write_store(root, codec=PACKED)
    held, harmed, decode = [0], [], patch_reading._decode

    def watched(shards, number, picture, crop):
        harmed.extend([number] * (picture.ctypes.data == held[0]))
        decode(shards, number, picture, crop)

    monkeypatch.setattr(patch_reading, "BLOCK_BYTES", 1)  # each patch is a block, and three have memory
    monkeypatch.setattr(patch_reading, "_decode", watched)
    reader, other = PatchReader(root), PatchReader(root)
    for picture, _ in reader.stream(list(range(PATCHES)) * 3):
        held[0] = picture.ctypes.data
        before = picture.copy()
        other.read(0)  # as long as this takes, the thread could write
        assert (picture == before).all()
        held[0] = 0
    assert not harmed


def test_workers_read_their_parts_of_one_epoch(stored):
    root, pictures = stored
    order = shuffled(range(PATCHES), 0, 0)
    seen = []
    for rank in range(2):
        mine = [number for batch in batches(order, 10, rank, 2) for number in batch]
        seen += [picture[0, 0, 0, :3].tolist() for picture, _ in PatchReader(root).stream(mine)]
    assert sorted(seen) == sorted(picture[0, 0, 0, :3].tolist() for picture in pictures)


@pytest.mark.parametrize("codec", [None, PACKED], ids=["as they are", "packed"])
def test_stores_are_read_side_by_side(stored, tmp_path, codec):
    root, pictures = stored
    others = write_store(Root(str(tmp_path)), seed=2, patches=20, codec=codec)
    order = shuffled([*range(PATCHES), *range(STORE, STORE + 20)], 0, 0)
    assert any(number >= STORE for number in order[:60])
    for number, (picture, _) in zip(order, PatchReader(root, Root(str(tmp_path))).stream(order), strict=True):
        assert (picture == (others[number - STORE] if number >= STORE else pictures[number])).all()


def test_a_store_of_another_codec_is_read_as_well(tmp_path):
    root = Root(str(tmp_path))
    pictures = write_store(root, codec=CODEC)
    for picture, (found, _) in zip(pictures, PatchReader(root).stream(range(PATCHES)), strict=True):
        assert (picture == found).all()


def test_what_lies_in_a_bucket_is_fetched_whole(stored, monkeypatch):
    root, pictures = stored
    fetched: list[str] = []
    read = Root.read
    reader = PatchReader(root)
    monkeypatch.setattr(Root, "is_local", property(lambda self: False))
    monkeypatch.setattr(Root, "read", lambda self, key: fetched.append(key) or read(self, key))
    order = shuffled(range(PATCHES), 0, 0)
    for number, (picture, _) in zip(order, reader.stream(order), strict=True):
        assert (picture == pictures[number]).all()
    assert len(fetched) == len(set(fetched)) == 2 * -(-PATCHES // SHARD), "an object was fetched twice"


def test_who_stops_early_leaves_no_thread_behind(stored):
    root, _ = stored
    before = threading.active_count()
    stream = PatchReader(root).stream(range(PATCHES))
    next(stream)
    stream.close()
    assert threading.active_count() == before


def test_nobody_can_write_to_patches_where_they_lie(tmp_path):
    write_store(Root(str(tmp_path)))
    for picture, crop in PatchReader(Root(str(tmp_path))).stream([3]):
        assert not picture.flags.writeable and not crop.flags.writeable
    picture, crop = PatchReader(Root(str(tmp_path))).read(3)
    picture[...], crop[...] = 0, 0  # a copy of one's own


@pytest.mark.parametrize("harm", ["cut", "index", "size", "empty", "packed: index", "packed: chunk"])
def test_a_damaged_shard_is_told_and_not_read(tmp_path, harm):
    codec, harm = (PACKED if "packed" in harm else None), harm.split()[-1]
    root = Root(str(tmp_path))
    write_store(root, patches=20, codec=codec)
    path = Path(root.path("patches.zarr/reflectance/c/0/0/0/0/0"))
    data = bytearray(path.read_bytes())
    if harm == "index":  # the first two chunks exchanged: each can be decoded, and is another patch
        start = len(data) - 4 - 16 * SHARD
        data[start : start + 32] = data[start + 16 : start + 32] + data[start : start + 16]
    if harm == "chunk":
        data[:16] = bytes(16)
    if harm == "size":  # an index that is whole, and of other chunks
        start = len(data) - 4 - 16 * SHARD
        np.frombuffer(data, "<u8", 2, start)[1] -= 2
        data[-4:] = google_crc32c.value(bytes(data[start:-4])).to_bytes(4, "little")
    path.write_bytes({"cut": bytes(data[:-50]), "empty": b""}.get(harm, bytes(data)))
    with pytest.raises(BadInput, match="shard .*reflectance/c/0"):
        list(PatchReader(root).stream(range(20)))


def test_memory_of_decoding_is_three_blocks_whatever_the_epoch(tmp_path, monkeypatch):
    monkeypatch.setattr(patch_reading, "BLOCK_BYTES", 200_000)
    root = Root(str(tmp_path))
    pictures = write_store(root, patches=160, codec=PACKED)
    reader, peaks = PatchReader(root), []
    for times in (1, 4):
        order = list(range(160)) * times
        tracemalloc.start()
        for _ in reader.stream(order):
            pass
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[0] < 3 * 200_000 + 400_000 < pictures.nbytes
    assert peaks[1] < peaks[0] + 300_000
