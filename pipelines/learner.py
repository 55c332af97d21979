"""What learns: a network, its optimiser, and how one step of all workers makes it better."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.modules.batchnorm import _BatchNorm

from cluster.training import Team
from models.architectures import NETWORKS, build
from models.averaging import Averaged
from models.batch_loss import BatchLoss, of_all
from models.batch_norm import share_statistics
from models.losses import class_weights
from models.network import Network, start_from_frequencies
from models.optimising import optimizer_of, set_rate
from models.schedules import rate
from pipelines.pretrained import give_encoder
from pipelines.recipe import Recipe
from pipelines.training_batches import Batch


@dataclass
class Learner:
    """One of them on each worker, all alike after every step."""

    recipe: Recipe
    team: Team
    network: Network
    model: Any
    """The network as it is called: compiled where that is asked for, its gradients averaged over the workers."""
    averaged: Averaged | None
    optimizer: torch.optim.Optimizer
    loss: BatchLoss

    @property
    def judged(self) -> Network:
        """The network that is validated and kept."""
        return self.averaged.network if self.averaged else self.network  # type: ignore[return-value]

    def rate(self, step: int) -> float:
        training = self.recipe.training
        return training.learning_rate * rate(step, self.recipe.steps, training.warm_up, training.schedule)

    def step(self, parts: Sequence[Batch], step: int) -> Tensor:
        """One step on the patches of all parts and all workers; their loss, which is the same on every worker."""
        set_rate(self.optimizer, self.rate(step))
        self.optimizer.zero_grad(set_to_none=True)
        total = self._total_of(parts, step) if len(parts) > 1 else None
        for place, part in enumerate(parts):
            with self.team.averages(self.model, now=place == len(parts) - 1):
                own = self._sums(self.model, part, step, place)
                everything = self.team.total(own.detach().clone()) if total is None else total
                loss = of_all(self.loss, own, everything)
                whole = loss * self.team.size  # what is averaged over the workers is to be added up
                whole.backward()  # type: ignore[no-untyped-call]
        if self.recipe.training.clip:
            torch.nn.utils.clip_grad_norm_(self.network.parameters(), self.recipe.training.clip)
        self.optimizer.step()
        if self.averaged:
            self.averaged.follow(self.network, step)
        return loss.detach()

    @torch.no_grad()
    def _total_of(self, parts: Sequence[Batch], step: int) -> Tensor:
        """What a step that comes in parts divides by is known only when each part has been looked at."""
        with statistics_kept(self.network):
            sums = [self._sums(self.network, part, step, place) for place, part in enumerate(parts)]
        total: Tensor = self.team.total(torch.stack(sums).sum(dim=0))
        return total

    def _sums(self, model: Any, part: Batch, step: int, place: int) -> Tensor:
        """Chance in the network, such as dropout, is a function of the step: a resumed training has the same."""
        here, training = part.to(self.team.device), self.recipe.training
        chance = np.random.SeedSequence([training.seed, step, place, self.team.rank])
        torch.manual_seed(int(chance.generate_state(1)[0]))
        with torch.autocast(self.team.device.type, torch.bfloat16, enabled=training.precision == "bf16"):
            answer = model(*here.shown)
        return self.loss.sums(answer, here.truth_BYX, here.shown, here.target_B1YX)


def make_learner(recipe: Recipe, team: Team) -> Learner:
    """With its first weights, which depend on the recipe's seed alone."""
    training = recipe.training
    torch.manual_seed(training.seed)
    network = first_network(recipe).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    start_from_frequencies(network, recipe.class_pixels)
    network.to(team.device)
    averaged = Averaged(network, training.ema) if training.ema else None
    if team.size > 1:
        share_statistics(network, team.total)
    weights = class_weights(recipe.class_pixels, recipe.class_weights).to(team.device)
    return Learner(
        recipe=recipe,
        team=team,
        network=network,
        model=team.share(torch.compile(network) if training.compile else network),
        averaged=averaged,
        optimizer=optimizer_of(network, training.learning_rate, training.weight_decay, training.betas),
        loss=NETWORKS[recipe.card.architecture].loss(recipe.loss, weights),
    )


def first_network(recipe: Recipe) -> Network:
    """Of chance, but for an encoder that is given official weights."""
    network = build(recipe.card)
    if recipe.encoder:
        encoder = network.get_submodule(NETWORKS[recipe.card.architecture].encoder)
        give_encoder(encoder, recipe.encoder.read())
    return network


@contextmanager
def statistics_kept(network: torch.nn.Module) -> Iterator[None]:
    """Within it, batches leave no trace in the running statistics of norms."""
    norms = [part for part in network.modules() if isinstance(part, _BatchNorm) and part.track_running_stats]
    for norm in norms:
        norm.track_running_stats = False
    try:
        yield
    finally:
        for norm in norms:
            norm.track_running_stats = True
