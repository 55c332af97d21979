"""What a worker does: one model learns without the parcels of one fold, and names the crop of each of their pixels."""

import json
import time
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from catalogs import cube
from catalogs.cube import read_cube
from catalogs.grid import Window
from catalogs.stores import Store
from catalogs.taxonomy import IGNORE
from cluster.training import alone
from models.architectures import FORESTS
from models.exactness import be_exact
from models.network import parameter_count
from models.predictor import NetworkPredictor, Predictor, load_predictor
from pipelines.checkpoints import card_in, read_checkpoint
from pipelines.crossfolding.forest import fit_on_parcels
from pipelines.crossfolding.ground import Fold, Ground, ground_of
from pipelines.crossfolding.windows import FOLDER, labels_of
from pipelines.plan import Plan
from pipelines.predicting import cores_of
from pipelines.recipe import Recipe
from pipelines.training_loop import train

SIDE = 128
"""Pixels of a side that are mapped at once, about: parcels lie here and there."""


@dataclass(frozen=True)
class Task:
    """A model in a fold."""

    model: str
    fold: Fold
    recipe: Recipe

    @property
    def key(self) -> str:
        """Of its record, which is written when all else is done."""
        return f"{FOLDER}/scores/{self.model}-{self.fold.name}.json"

    @property
    def is_trained(self) -> bool:
        card = card_in(self.recipe.root, self.recipe.card.name)
        return card is not None and card.training_identity == self.recipe.card.training_identity

    def __str__(self) -> str:
        return f"{self.model} in fold {self.fold.name}"


def work(plan: Plan, task: Task) -> None:
    """On one core: places so small are learned in seconds, and there are many of these trainings."""
    import torch

    torch.set_num_threads(1)
    be_exact()
    ground, began = ground_of(plan), time.monotonic()
    if not task.is_trained:
        learn(plan, ground, task)
    if task.fold.left_out:
        record = score_fold(plan, ground, task) | {"seconds": round(time.monotonic() - began, 1)}
        plan.root.write(task.key, (json.dumps(record) + "\n").encode())
        for folder in (task.recipe.folder, task.recipe.notes):
            task.recipe.root.remove(folder)


def learn(plan: Plan, ground: Ground, task: Task) -> None:
    if task.recipe.card.architecture in FORESTS:
        fit_on_parcels(plan, task.recipe, labels_of(plan, ground, task.fold), ground.parcel_YX)
    else:
        train(task.recipe, alone())


def score_fold(plan: Plan, ground: Ground, task: Task) -> dict[str, Any]:
    """How many pixels of each left-out parcel were given which class."""
    state, card = read_checkpoint(task.recipe.root, task.recipe.card.name)
    predictor = load_predictor(state, card)
    there_YX = np.isin(ground.parcel_YX, np.array(task.fold.left_out, np.uint32)) & (ground.crop_YX != IGNORE)
    found_YX, classes = answer(plan, predictor, there_YX), len(plan.taxonomy.names)
    rows = [_row(found_YX[there_YX & (ground.parcel_YX == parcel)], classes) for parcel in task.fold.left_out]
    learned = np.unique(labels_of(plan, ground, task.fold))
    return {
        "identity": task.recipe.card.training_identity,
        "parcels": {str(parcel): row for parcel, row in zip(task.fold.left_out, rows, strict=True)},
        "learned": [int(number) for number in learned if number != IGNORE],
        "sees": len(card.period_index),
        "parameters": parameter_count(predictor.network) if isinstance(predictor, NetworkPredictor) else None,
        "numbers": int(sum(tensor.numel() for tensor in state.values())),
    }


def answer(plan: Plan, predictor: Predictor, there_YX: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """What `map` would write there: each window with its halo, on multiples of the stride."""
    source, halo = Store(plan.root, cube.NAME), predictor.halo
    found_YX = np.full(there_YX.shape, IGNORE, np.uint8)
    for core in cores_of(Window(0, 0, *there_YX.shape), max(SIDE // predictor.stride, 1) * predictor.stride):
        if there_YX[core.slices].any():
            found_YX[core.slices] = predictor.predict(read_cube(source, core.grown(halo)), halo=halo).crop
    return found_YX


def _row(found_N: NDArray[np.uint8], classes: int) -> list[int]:
    """Pixels by the class that was found, and last those without an answer."""
    counts = np.bincount(found_N, minlength=IGNORE + 1)
    return [*counts[:classes].tolist(), int(counts[IGNORE])]
