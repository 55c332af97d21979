"""The patches of each step as a network is shown them: varied, normalised and stacked ahead of the step."""

import os
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.augmentation import draw
from models.batch_loss import Shown
from models.normalisation import NO_DATA, normalise
from models.showing import show
from pipelines.ahead import ahead
from pipelines.patch_reading import Pair, PatchReader, batches, shuffled
from pipelines.recipe import Recipe
from pipelines.structure import Targets

DEPTH = 3
"""Parts that wait, at most: one that is used next, and enough after it to hide the opening of a shard."""

# Axis legend: B patch, T period, C band, Y row, X column.


@dataclass(frozen=True)
class Batch:
    """What goes through the network at once on one worker."""

    shown: Shown
    truth_BYX: Tensor
    target_B1YX: Tensor | None = None
    """The structure of the ground, where the network learns it too; NaN where it is not known."""

    def to(self, device: torch.device) -> "Batch":
        """Pinned memory is copied while the device computes."""
        return self._each(lambda part: part.to(device, non_blocking=True))

    def pinned(self) -> "Batch":
        return self._each(lambda part: part.pin_memory())

    def _each(self, move: Callable[[Tensor], Tensor]) -> "Batch":
        x, seen, when = self.shown
        target = None if self.target_B1YX is None else move(self.target_B1YX)
        return Batch((move(x), move(seen), move(when)), move(self.truth_BYX), target)


@dataclass(frozen=True)
class Raw:
    """Patches as they are stored, in memory of their own."""

    members: Sequence[int]
    pictures_BTCYX: NDArray[np.uint16]
    truths_BYX: NDArray[np.uint8]


def training_parts(
    recipe: Recipe,
    reader: PatchReader,
    epoch: int,
    done: int,
    rank: int,
    workers: int,
    device: torch.device,
    targets: Targets | None = None,
) -> Generator[Batch, None, None]:
    """A worker's part of each part of each step of an epoch, from the step after the first `done` on.

    What is in a step depends on seed and epoch alone: not on the number of workers, nor on where training was cut off.
    """
    order = shuffled(recipe.train, recipe.training.seed, epoch)
    first, last = (steps * recipe.training.accumulate for steps in (done, recipe.steps_an_epoch))
    mine = list(islice(batches(order, recipe.part, rank, workers), first, last))

    def work(raw: Raw) -> Batch:
        batch = varied(recipe, raw, epoch, targets)
        return batch.pinned() if device.type == "cuda" else batch

    return ahead(_read(recipe, reader, mine), work, DEPTH, preparers(device, workers))


def in_steps(parts: Iterator[Batch], accumulate: int) -> Iterator[list[Batch]]:
    while step := list(islice(parts, accumulate)):
        yield step


def watched_parts(
    recipe: Recipe, reader: PatchReader, rank: int, workers: int, device: torch.device
) -> Generator[Batch, None, None]:
    """A worker's share of the patches that choose the best epoch, as they are."""
    members = recipe.validation[rank::workers]
    size = max(recipe.part // workers, 1)
    mine = [members[start : start + size] for start in range(0, len(members), size)]

    return ahead(_read(recipe, reader, mine), partial(as_they_are, recipe), DEPTH, preparers(device, workers))


def preparers(device: torch.device, workers: int) -> int:
    """Threads that prepare patches: one beside a CPU that computes, several to keep up with a GPU."""
    return 1 if device.type == "cpu" else max(1, min(8, (os.cpu_count() or 1) // workers))


def varied(recipe: Recipe, raw: Raw, epoch: int, targets: Targets | None = None) -> Batch:
    """Each patch varied by chance that only seed, epoch and patch decide: the same on any number of workers."""
    shape = raw.pictures_BTCYX.shape
    x_BTCYX, seen_BTYX = torch.empty(shape), torch.empty((*shape[:2], *shape[3:]), dtype=torch.bool)
    truth_BYX, when_BT = torch.empty(raw.truths_BYX.shape, dtype=torch.uint8), _middles(recipe, len(raw.members))
    maps_BYX = targets(raw.members, raw.pictures_BTCYX) if targets else None
    target_B1YX = None if maps_BYX is None else torch.empty((len(maps_BYX), 1, *maps_BYX.shape[1:]))
    for place, member in enumerate(raw.members):
        rng = np.random.default_rng([recipe.training.seed, epoch, member])
        variation = draw(recipe.augmentation, shape[1:], rng)
        show(raw.pictures_BTCYX[place], variation, recipe.card.normalisation, x_BTCYX[place], seen_BTYX[place])
        truth_BYX[place] = torch.from_numpy(variation.turned(raw.truths_BYX[place]).copy())
        when_BT[place] += variation.shift
        if maps_BYX is not None and target_B1YX is not None:
            target_B1YX[place, 0] = torch.from_numpy(variation.turned(maps_BYX[place]).copy())
    return Batch((x_BTCYX, seen_BTYX, torch.from_numpy(when_BT)), truth_BYX, target_B1YX)


def as_they_are(recipe: Recipe, raw: Raw) -> Batch:
    """Without variation; seen is where a period has data."""
    seen_BTYX = torch.from_numpy((raw.pictures_BTCYX != NO_DATA).any(axis=2))
    x_BTCYX = normalise(raw.pictures_BTCYX, recipe.card.normalisation)
    when_BT = torch.from_numpy(_middles(recipe, len(raw.members)))
    return Batch((x_BTCYX, seen_BTYX, when_BT), torch.from_numpy(raw.truths_BYX))


def _middles(recipe: Recipe, patches: int) -> NDArray[np.float32]:
    return np.tile(np.asarray(recipe.card.used_middles, np.float32), (patches, 1))


def _read(recipe: Recipe, reader: PatchReader, parts: Sequence[Sequence[int]]) -> Generator[Raw, None, None]:
    """The reader overwrites what it gave, so each patch is copied: of its periods only those that are used."""
    used = list(recipe.card.period_index)
    (_, *shape), crop = reader.shapes
    pairs = cast(Generator[Pair, None, None], reader.stream([member for members in parts for member in members]))
    with closing(pairs) as stream:
        for members in parts:
            pictures = np.empty((len(members), len(used), *shape), np.uint16)
            raw = Raw(members, pictures, np.empty((len(members), *crop), np.uint8))
            for place, (picture_TCYX, truth_YX) in enumerate(islice(stream, len(members))):
                picture_TCYX.take(used, axis=0, out=raw.pictures_BTCYX[place], mode="clip")
                raw.truths_BYX[place] = truth_YX
            yield raw
