"""How far a training has come, written down so that it goes on with the same steps after any kill."""

import time
from dataclasses import dataclass, field
from math import isfinite
from typing import Any

import torch
from torch import Tensor, nn

from cluster.training import Team
from models.checkpoint import State, decode_training_state, encode_training_state
from models.errors import Misfit
from pipelines.learner import Learner
from pipelines.recipe import Recipe

SLOTS = ("training-state-0.safetensors", "training-state-1.safetensors")
"""Written in turn: whatever happens to one, the other holds what was right before it."""

Lines = list[dict[str, Any]]


@dataclass
class Standing:
    """Where a training is. All else follows from the recipe: batches, chance and rate are functions of the step."""

    best: State
    """The weights of the best epoch so far."""
    losses: Tensor
    """The sum over the steps of the epoch that is not finished."""
    step: int = 0
    history: Lines = field(default_factory=list)
    metrics: Lines = field(default_factory=list)
    confusion: list[list[int]] = field(default_factory=list)
    """Of the best epoch."""

    def count(self, loss: Tensor) -> None:
        self.losses += loss
        self.step += 1

    def mean_loss(self, recipe: Recipe) -> float:
        """Of the steps of this epoch; what is no number is told, before it is written down or becomes a checkpoint."""
        done = self.step - len(self.history) * recipe.steps_an_epoch
        mean = float(self.losses) / max(done, 1)
        if not isfinite(mean):
            where = f"step {self.step} (epoch {len(self.history) + 1})"
            raise Misfit(
                f"the loss of {recipe.card.name}",
                f"is no number any more at {where}; what was good before is kept in {recipe.root.path(recipe.folder)}.",
                "Write a smaller [training] learning_rate or clip, a longer warm_up, or precision = 'fp32'.",
            )
        return mean


@dataclass
class Keeper:
    """Writes a standing down, on the first worker, every so many minutes and whenever it is told to."""

    recipe: Recipe
    learner: Learner
    slot: int = 0
    saved: float = field(default_factory=time.monotonic)

    def is_due(self) -> bool:
        return time.monotonic() - self.saved >= 60 * self.recipe.training.save_minutes

    def save(self, standing: Standing) -> None:
        standing.mean_loss(self.recipe)
        data = _encoded(self.recipe, self.learner, standing)
        self.recipe.root.write(f"{self.recipe.folder}/{SLOTS[self.slot]}", data)
        self.slot, self.saved = 1 - self.slot, time.monotonic()

    def forget(self) -> None:
        for name in SLOTS:
            self.recipe.root.remove(f"{self.recipe.folder}/{name}")


def resume(recipe: Recipe, learner: Learner, team: Team) -> tuple[Standing, Keeper]:
    """Where this very training was last written down, or its beginning: the same on all workers."""
    keeper = Keeper(recipe, learner)
    data = None
    if team.rank == 0:
        data, keeper.slot = _newest(recipe, team)
    data = team.of_first(data)
    standing = Standing(copied(learner.network), torch.zeros((), dtype=torch.float64, device=team.device))
    if data is not None:
        _restore(data, learner, standing)
    return standing, keeper


def copied(network: nn.Module) -> State:
    return {key: value.detach().cpu().clone() for key, value in network.state_dict().items()}


def _newest(recipe: Recipe, team: Team) -> tuple[bytes | None, int]:
    """The furthest state that is whole and of this training, and which slot is to be written next."""
    best: tuple[int, bytes | None, int] = (-1, None, 0)
    for slot, name in enumerate(SLOTS):
        key = f"{recipe.folder}/{name}"
        if not recipe.root.exists(key):
            continue
        data = recipe.root.read(key)
        try:
            meta = decode_training_state(data)[2]
        except Misfit as misfit:
            team.post({"say": f"train: {recipe.root.path(key)} is of no use ({misfit.why}) and is left out"})
            continue
        if meta["identity"] == recipe.card.training_identity and meta["step"] > best[0]:
            best = (meta["step"], data, 1 - slot)
    if best[1] is not None:
        team.post({"say": f"train: {recipe.card.name} goes on after step {best[0]} of {recipe.steps}"})
    return best[1], best[2]


def _encoded(recipe: Recipe, learner: Learner, standing: Standing) -> bytes:
    tensors = {f"now.{key}": value for key, value in learner.network.state_dict().items()}
    if learner.averaged:
        tensors |= {f"average.{key}": value for key, value in learner.averaged.network.state_dict().items()}
    tensors |= {f"best.{key}": value for key, value in standing.best.items()}
    meta = {
        "identity": recipe.card.training_identity,
        "step": standing.step,
        "losses": float(standing.losses),
        "history": standing.history,
        "metrics": standing.metrics,
        "confusion": standing.confusion,
    }
    return encode_training_state(tensors, learner.optimizer.state_dict(), meta)


def _restore(data: bytes, learner: Learner, standing: Standing) -> None:
    tensors, slots, meta = decode_training_state(data)

    def those_of(kind: str) -> State:
        return {key.removeprefix(kind): value for key, value in tensors.items() if key.startswith(kind)}

    learner.network.load_state_dict(those_of("now."))
    if learner.averaged:
        learner.averaged.network.load_state_dict(those_of("average."))
    learner.optimizer.load_state_dict(slots)
    _lay_like_parameters(learner.optimizer)
    standing.best = those_of("best.")
    standing.losses.fill_(meta["losses"])
    standing.step, standing.history, standing.metrics = meta["step"], meta["history"], meta["metrics"]
    standing.confusion = meta["confusion"]


def _lay_like_parameters(optimizer: torch.optim.Optimizer) -> None:
    """Files hold plain order; in another one than its parameter's, the optimiser would take its slow way."""
    for parameter, slots in optimizer.state.items():
        for name, value in slots.items():
            if value.shape == parameter.shape:
                slots[name] = torch.empty_like(parameter).copy_(value)
