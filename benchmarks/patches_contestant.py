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
from patches_stores import ROWS, SIZE, TAR_PATCHES, Patches

WINDOWS = 48
"""Random windows of an epoch: all would take minutes."""

OTHERS = 64
"""Samples that webdataset keeps to draw from."""

Epochs = Iterator[Iterator[np.ndarray]]
"""The pictures of a worker's part, epoch after epoch."""


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
    numbers_of(next(epoch_after_epoch))
    barrier.wait()
    barrier.wait()
    results.put([numbers_of(next(epoch_after_epoch)) for _ in range(epochs)])


def numbers_of(pictures: Iterator[np.ndarray]) -> list[int]:
    return [int(picture.flat[0]) for picture in pictures]


def check(name: str, patches: Patches, parts: list[list[list[int]]]) -> None:
    """Every patch exactly once an epoch over all workers, and not in the order of their numbers."""
    if name == "windows":
        return
    for epoch in zip(*parts, strict=True):
        seen = Counter(number for part in epoch for number in part)
        assert seen == dict.fromkeys(range(patches.count), 1), f"{name}: not every patch once an epoch"
        assert epoch[0] != sorted(epoch[0]), f"{name}: not shuffled"


def limit(patches: Patches, rank: int, workers: int) -> Epochs:
    """Copies from a memory map into memory that is used again: nothing is decoded, nothing is allocated."""
    pictures = np.load(patches.place("limit-pictures.npy"), mmap_mode="r")
    crops = np.load(patches.place("limit-crops.npy"), mmap_mode="r")
    picture, crop = np.empty(pictures.shape[1:], np.uint16), np.empty(crops.shape[1:], np.uint8)

    def epoch(seed: int) -> Iterator[np.ndarray]:
        for number in np.random.default_rng(seed).permutation(patches.count)[rank::workers]:
            np.copyto(picture, pictures[number])
            np.copyto(crop, crops[number])
            yield picture

    return (epoch(seed) for seed in range(1_000_000))


def furrow(patches: Patches, rank: int, workers: int, folder: str = "furrow") -> Epochs:
    from catalogs.root import Root
    from pipelines.patch_reading import PatchReader, batches, shuffled

    reader = PatchReader(Root(str(patches.place(folder))))

    def epoch(seed: int) -> Iterator[np.ndarray]:
        mine = batches(shuffled(range(patches.count), 0, seed), 16, rank, workers)
        return (picture for picture, _ in reader.stream([number for batch in mine for number in batch]))

    return (epoch(seed) for seed in range(1_000_000))


def dense(patches: Patches, rank: int, workers: int) -> Epochs:
    return furrow(patches, rank, workers, "furrow, the cube's codec")


def litdata(patches: Patches, rank: int, workers: int) -> Epochs:
    from litdata import StreamingDataset

    data = StreamingDataset(str(patches.place("litdata")), shuffle=True, drop_last=False)

    def epoch(seed: int) -> Iterator[np.ndarray]:
        data.set_epoch(seed)
        return (sample["picture"] for sample in data)

    return (epoch(seed) for seed in range(1_000_000))


def webdataset(patches: Patches, rank: int, workers: int) -> Epochs:
    import webdataset as wds

    files = [str(patches.place("webdataset") / f"{i:04d}.tar") for i in range(patches.count // TAR_PATCHES)]

    def epoch(seed: int) -> Iterator[np.ndarray]:
        mine = np.random.default_rng(seed).permutation(files).tolist()[rank::workers]
        return (_loaded(sample) for sample in wds.WebDataset(mine, shardshuffle=False, seed=seed).shuffle(OTHERS))

    return (epoch(seed) for seed in range(1_000_000))


def _loaded(sample: dict[str, Any]) -> np.ndarray:
    np.load(io.BytesIO(sample["crop.npy"]))
    picture: np.ndarray = np.load(io.BytesIO(sample["picture.npy"]))
    return picture


def windows(patches: Patches, rank: int, workers: int) -> Epochs:
    from catalogs import cube
    from catalogs.root import Root
    from catalogs.stores import Store

    array = Store(Root(str(patches.place("windows"))), cube.NAME).array("reflectance")

    def epoch(seed: int) -> Iterator[np.ndarray]:
        rng = np.random.default_rng([seed, rank])
        for _ in range(WINDOWS // workers):
            y, x = rng.integers(0, patches.side - SIZE, 2)
            yield np.asarray(array[ROWS, :, y : y + SIZE, x : x + SIZE])

    return (epoch(seed) for seed in range(1_000_000))


CONTESTANTS = {
    "limit": limit,
    "furrow": furrow,
    "furrow, the cube's codec": dense,
    "litdata": litdata,
    "webdataset": webdataset,
    "windows": windows,
}

if __name__ == "__main__":
    main()
