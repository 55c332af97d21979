"""One contestant of the patch benchmark: python patches_contestant.py NAME PATCHES WORKERS EPOCHS."""

import io
import json
import os
import sys
import warnings
from collections import Counter
from collections.abc import Iterator
from multiprocessing import get_context
from typing import Any

import numpy as np
from ingest_task import timed
from patches_stores import ROWS, SHAPE, SIZE, TAR_PATCHES, Patches

WINDOWS = 48
"""Random windows of an epoch: all would take minutes."""

OTHERS = 64
"""Samples that webdataset keeps to draw from."""

Pair = tuple[np.ndarray, np.ndarray]
Epochs = Iterator[Iterator[Pair]]
"""Pictures and crops of a worker's part, epoch after epoch."""

BATCH = 16
"""Patches in the memory that a trainer's batches are made in."""


def main() -> None:
    name, text, workers, epochs = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
    patches = Patches(**json.loads(text))
    context = get_context("spawn")
    barrier, results = context.Barrier(workers + 1), context.Queue()
    for rank in range(workers):
        context.Process(target=work, args=(name, patches, rank, workers, epochs, barrier, results)).start()
    barrier.wait()  # imported, and one epoch read
    with timed():
        barrier.wait()
        parts = [results.get() for _ in range(workers)]
    check(name, patches, parts)


def work(name: str, patches: Patches, rank: int, workers: int, epochs: int, barrier: Any, results: Any) -> None:
    warnings.simplefilter("ignore")
    os.environ |= {"WORLD_SIZE": str(workers), "GLOBAL_RANK": str(rank)}  # what litdata asks for its part
    epoch_after_epoch = CONTESTANTS[name](patches, rank, workers)
    batch = np.empty((BATCH, *SHAPE), np.uint16), np.empty((BATCH, SIZE, SIZE), np.uint8)
    numbers_of(next(epoch_after_epoch), batch)
    barrier.wait()
    barrier.wait()
    results.put([numbers_of(next(epoch_after_epoch), batch) for _ in range(epochs)])


def numbers_of(pairs: Iterator[Pair], batch: Pair) -> list[int]:
    """Each patch copied into a batch, as a trainer must: who only shows where pixels lie has not delivered them."""
    numbers = []
    for place, (picture, crop) in enumerate(pairs):
        np.copyto(batch[0][place % BATCH], picture)
        np.copyto(batch[1][place % BATCH], crop)
        numbers.append(int(batch[0][place % BATCH].flat[0]))
    return numbers


def check(name: str, patches: Patches, parts: list[list[list[int]]]) -> None:
    """Every patch exactly once an epoch over all workers, and not in the order of their numbers."""
    if name == "windows":
        return
    for epoch in zip(*parts, strict=True):
        seen = Counter(number for part in epoch for number in part)
        assert seen == dict.fromkeys(range(patches.count), 1), f"{name}: not every patch once an epoch"
        assert epoch[0] != sorted(epoch[0]), f"{name}: not shuffled"


def limit(patches: Patches, rank: int, workers: int) -> Epochs:
    """Shows patches of a memory map: what is left to do is the copy into the batch."""
    pictures = np.load(patches.place("limit-pictures.npy"), mmap_mode="r")
    crops = np.load(patches.place("limit-crops.npy"), mmap_mode="r")

    def epoch(seed: int) -> Iterator[Pair]:
        for number in np.random.default_rng(seed).permutation(patches.count)[rank::workers]:
            yield pictures[number], crops[number]

    return (epoch(seed) for seed in range(1_000_000))


def furrow(patches: Patches, rank: int, workers: int, folder: str = "furrow") -> Epochs:
    from catalogs.root import Root
    from pipelines.patch_reading import PatchReader, batches, shuffled

    reader = PatchReader(Root(str(patches.place(folder))))

    def epoch(seed: int) -> Iterator[Pair]:
        mine = batches(shuffled(range(patches.count), 0, seed), 16, rank, workers)
        return ((picture[0], crop) for picture, crop in reader.stream([n for batch in mine for n in batch]))

    return (epoch(seed) for seed in range(1_000_000))


def packed(patches: Patches, rank: int, workers: int) -> Epochs:
    return furrow(patches, rank, workers, "furrow, packed for a bucket")


def litdata(patches: Patches, rank: int, workers: int) -> Epochs:
    from litdata import StreamingDataset

    data = StreamingDataset(str(patches.place("litdata")), shuffle=True, drop_last=False)

    def epoch(seed: int) -> Iterator[Pair]:
        data.set_epoch(seed)
        return ((sample["picture"], sample["crop"]) for sample in data)

    return (epoch(seed) for seed in range(1_000_000))


def webdataset(patches: Patches, rank: int, workers: int) -> Epochs:
    import webdataset as wds

    files = [str(patches.place("webdataset") / f"{i:04d}.tar") for i in range(patches.count // TAR_PATCHES)]

    def epoch(seed: int) -> Iterator[Pair]:
        mine = np.random.default_rng(seed).permutation(files).tolist()[rank::workers]
        return (_loaded(sample) for sample in wds.WebDataset(mine, shardshuffle=False, seed=seed).shuffle(OTHERS))

    return (epoch(seed) for seed in range(1_000_000))


def _loaded(sample: dict[str, Any]) -> Pair:
    return np.load(io.BytesIO(sample["picture.npy"])), np.load(io.BytesIO(sample["crop.npy"]))


def windows(patches: Patches, rank: int, workers: int) -> Epochs:
    from catalogs import cube
    from catalogs.root import Root
    from catalogs.stores import Store

    array = Store(Root(str(patches.place("windows"))), cube.NAME).array("reflectance")
    crop = np.zeros((SIZE, SIZE), np.uint8)  # the cube has none

    def epoch(seed: int) -> Iterator[Pair]:
        rng = np.random.default_rng([seed, rank])
        for _ in range(WINDOWS // workers):
            y, x = rng.integers(0, patches.side - SIZE, 2)
            yield np.asarray(array[ROWS, :, y : y + SIZE, x : x + SIZE])[0], crop

    return (epoch(seed) for seed in range(1_000_000))


CONTESTANTS = {
    "limit": limit,
    "furrow": furrow,
    "furrow, packed for a bucket": packed,
    "litdata": litdata,
    "webdataset": webdataset,
    "windows": windows,
}

if __name__ == "__main__":
    main()
