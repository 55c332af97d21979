"""One contestant of the training benchmark: python train_contestant.py TASK, where the task is JSON."""

import json
import os
import socket
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from itertools import cycle, islice
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ingest_task import tell
from patches_stores import Patches, _land
from torch import nn

from catalogs import patch_store
from catalogs.bands import BANDS
from catalogs.patch_store import SHARD, patch_layouts
from catalogs.root import Root
from catalogs.stores import Store, write_shard
from cluster.training import Team
from models.architectures import build
from models.card import Card
from models.exactness import be_exact
from models.normalisation import Normalisation
from models.unet import UNetSettings
from pipelines import training_loop
from pipelines.learner import make_learner
from pipelines.patch_reading import PatchReader
from pipelines.project.learning import Training
from pipelines.recipe import Recipe
from pipelines.training_batches import Batch, training_parts

SIZE, CLASSES, WATCHED = 128, 11, 8


@dataclass(frozen=True)
class Task:
    """What is trained, how, and on how many workers."""

    contestant: str
    folder: str
    workers: int = 1
    precision: str = "fp32"
    compile: bool = False
    patches: int = 64
    periods: int = 6
    batch: int = 8
    widths: tuple[int, ...] = (16, 32, 64, 128)
    epochs: int = 3
    """The first of which is not timed."""

    def encode(self) -> str:
        return json.dumps(asdict(self))

    @property
    def steps(self) -> int:
        """Those that are timed."""
        return (self.epochs - 1) * (self.patches // self.batch)


def main() -> None:
    warnings.simplefilter("ignore")
    values = json.loads(sys.argv[1])
    task = Task(**values | {"widths": tuple(values["widths"])})
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free.getsockname()[1])}
    if task.workers == 1:
        work(task, 0)
        return
    others = [get_context("spawn").Process(target=work, args=(task, rank)) for rank in range(1, task.workers)]
    for other in others:
        other.start()
    work(task, 0)
    for other in others:
        other.join()


def work(task: Task, rank: int) -> None:
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if device.type == "cpu":
        torch.set_num_threads(1)  # as Ray gives each worker one core
    be_exact()
    if task.workers > 1:
        torch.distributed.init_process_group("gloo", rank=rank, world_size=task.workers)
    seconds = CONTESTANTS[task.contestant](recipe_of(task), Team(rank, task.workers, device, lambda post: None), task)
    if rank == 0:
        tell("ended", seconds=seconds)
        if device.type == "cuda":
            tell("device", memory_mb=round(torch.cuda.max_memory_allocated() / 1e6))
    if task.workers > 1:
        torch.distributed.destroy_process_group()


def furrow(recipe: Recipe, team: Team, task: Task) -> float:
    """The loop as it is: reading, varying, stepping, metrics, states. Watching between epochs is not timed."""
    spans: list[list[float]] = []
    parts, watch = training_loop.training_parts, training_loop.watch

    def begun(*given: Any) -> Any:
        if len(spans) == 1 and team.rank == 0:
            tell("began")
        spans.append([_now(team)])
        return parts(*given)

    def ended(*given: Any) -> Any:
        spans[-1].append(_now(team))
        return watch(*given)

    training_loop.training_parts, training_loop.watch = begun, ended  # type: ignore[assignment]
    training_loop.train(recipe, team)
    return sum(end - start for start, end in spans[1:])


def limit(recipe: Recipe, team: Team, task: Task) -> float:
    """The same step on patches that lie in memory, ready."""
    learner = make_learner(recipe, team)
    learner.network.train()
    batches = _batches(recipe, team)
    return _timed(lambda number, batch: learner.step([batch], number), batches, task, team)


def plain(recipe: Recipe, team: Team, task: Task) -> float:
    """What a person writes first: the same network, PyTorch's cross-entropy and AdamW, patches in memory."""
    network: Any = build(recipe.card).to(team.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    model: Any = torch.compile(network) if task.compile else network
    optimizer = torch.optim.AdamW(network.parameters(), 1e-3)
    loss = nn.CrossEntropyLoss(ignore_index=255)

    def step(number: int, batch: Batch) -> None:
        here = batch.to(team.device)
        optimizer.zero_grad()
        with torch.autocast(team.device.type, torch.bfloat16, enabled=task.precision == "bf16"):
            answer = model(*here.shown)
        loss(answer.float(), here.truth_BYX.long()).backward()
        optimizer.step()

    return _timed(step, _batches(recipe, team), task, team)


def _timed(step: Callable[[int, Batch], Any], batches: list[Batch], task: Task, team: Team) -> float:
    """Seconds of the steps that count, after an epoch that does not."""
    endless: Iterator[tuple[int, Batch]] = enumerate(cycle(batches))
    for number, batch in islice(endless, len(batches)):
        step(number, batch)
    if team.rank == 0:
        tell("began")
    began = _now(team)
    for number, batch in islice(endless, task.steps):
        step(number, batch)
    return _now(team) - began


def _batches(recipe: Recipe, team: Team) -> list[Batch]:
    reader = PatchReader(recipe.root)
    return [batch.to(team.device) for batch in training_parts(recipe, reader, 0, 0, team.rank, team.size, team.device)]


def _now(team: Team) -> float:
    if team.device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter()


def recipe_of(task: Task) -> Recipe:
    settings = UNetSettings(periods=task.periods, classes=CLASSES, widths=task.widths)
    card = Card(
        name=f"of-{os.getpid() if task.workers == 1 else 'two'}",
        architecture="unet",
        settings=settings.as_dict(),
        bands=BANDS,
        periods=tuple(map(str, range(task.periods))),
        middles=tuple(map(float, range(task.periods))),
        period_index=tuple(range(task.periods)),
        classes={number: str(number) for number in range(CLASSES)},
        normalisation=Normalisation((1500.0,) * len(BANDS), (800.0,) * len(BANDS)),
        training_identity=str(time.time()),
    )
    training = Training(
        epochs=task.epochs, batch=task.batch, precision=task.precision, compile=task.compile, workers=task.workers
    )
    numbers = tuple(range(task.patches + WATCHED))
    return Recipe(
        root=Root(task.folder),
        card=card,
        training=training,
        train=numbers[: task.patches],
        validation=numbers[task.patches :],
        class_pixels=(10_000,) * CLASSES,
    )


def write_patches(task: Task) -> None:
    """Cut from the scenes of the ingest benchmark, a darker or brighter one for each period."""
    land = _land(Patches(str(Path(task.folder)), 1, 1024))
    store, count = Store(Root(task.folder), patch_store.NAME), task.patches + WATCHED
    store.begin(patch_layouts(count, task.periods, SIZE), {}, {"store": "patches"})
    across, factors = land.shape[-1] // SIZE, np.linspace(0.7, 1.3, task.periods)[:, None, None, None]
    for first in range(0, count, SHARD):
        corners = [divmod(number % across**2, across) for number in range(first, min(first + SHARD, count))]
        cut = [land[:, y * SIZE : (y + 1) * SIZE, x * SIZE : (x + 1) * SIZE] for y, x in corners]
        pictures = np.stack([(factors * one).astype(np.uint16) for one in cut])
        rows, whole = slice(first, first + len(cut)), slice(None)
        write_shard(store.array("reflectance"), (rows, whole, whole, whole, whole), pictures)
        crops = np.stack([(one[7] // 400 % CLASSES).astype(np.uint8) for one in cut])
        write_shard(store.array("crop"), (rows, whole, whole), crops)


CONTESTANTS: dict[str, Callable[[Recipe, Team, Task], float]] = {"limit": limit, "furrow": furrow, "plain": plain}

if __name__ == "__main__":
    main()
