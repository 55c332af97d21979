"""The training loop: one network from its first weights to its checkpoint, resumable after every epoch."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from catalogs.root import Root
from catalogs.taxonomy import IGNORE
from cluster.training import Team
from models.architectures import build
from models.augmentation import Augmentation, augment
from models.card import Card
from models.checkpoint import decode_training_state, encode, encode_training_state
from models.exactness import be_exact
from models.losses import class_weights, segmentation_loss
from models.metrics import Confusion, confusion, score
from models.network import Network, start_from_frequencies
from models.normalisation import NO_DATA, normalise
from pipelines.patch_reading import Pair, PatchReader, batches, shuffled
from pipelines.project.settings import Training

WARM_UP = 0.05
"""Share of all steps in which the learning rate rises to its highest."""

State = dict[str, Tensor]
Shown = tuple[Tensor, Tensor, Tensor]
"""What a network is called with: pixels (B, T, C, Y, X), where they were seen (B, T, Y, X), and when (B, T)."""

# Axis legend: B patch, T period, C band, K class, Y row, X column.


@dataclass(frozen=True)
class Recipe:
    """Everything that decides the weights of one network."""

    root: Root
    card: Card
    training: Training
    train: tuple[int, ...]
    validation: tuple[int, ...]
    class_pixels: tuple[int, ...]
    also: tuple[Root, ...] = ()
    """Other roots whose patches are among the numbers."""

    @property
    def folder(self) -> str:
        return f"checkpoints/{self.card.name}"

    @property
    def state_key(self) -> str:
        return f"{self.folder}/training-state.safetensors"

    @property
    def steps(self) -> int:
        return self.training.epochs * self.steps_an_epoch

    @property
    def steps_an_epoch(self) -> int:
        return max(len(self.train) // self.training.batch, 1)


def train_all(recipes: Sequence[Recipe], team: Team) -> None:
    """One network after the other on the same workers: starting them costs more than a small training."""
    for recipe in recipes:
        train(recipe, team)


def train(recipe: Recipe, team: Team) -> None:
    training, device = recipe.training, team.device
    be_exact()
    torch.manual_seed(training.seed)
    network = build(recipe.card).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    start_from_frequencies(network, recipe.class_pixels)
    network.to(device)
    optimizer = torch.optim.AdamW(_groups(network, training.weight_decay), lr=training.learning_rate)
    history, best = _resume(recipe, network, optimizer)
    model = team.share(network)
    weights = class_weights(recipe.class_pixels).to(device)
    reader = PatchReader(recipe.root, *recipe.also)
    for epoch in range(len(history), training.epochs):
        model.train()
        losses = []
        order = shuffled(recipe.train, training.seed, epoch)
        mine = list(batches(order, training.batch, team.rank, team.size))
        stream = reader.stream([member for members in mine for member in members])
        for step, members in enumerate(mine):
            shown, truth_BYX = _batch(recipe, stream, members, epoch)
            _set_rate(optimizer, training.learning_rate, recipe.steps_an_epoch * epoch + step, recipe.steps)
            loss = segmentation_loss(
                model(*(part.to(device) for part in shown)), truth_BYX.to(device), weights, training.dice_weight
            )
            optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimizer.step()
            losses.append(loss.detach())
        mean_loss = team.total(torch.stack(losses).mean()).item() / team.size
        team.share_buffers(network)
        found = score(_validate(recipe, network, reader, team))
        history.append({"epoch": epoch + 1, "loss": mean_loss, "validation_miou": found.mean_iou})
        if not math.isfinite(mean_loss):
            raise FloatingPointError(f"the loss of {recipe.card.name} is {mean_loss} after epoch {epoch + 1}")
        if found.mean_iou >= max((entry["validation_miou"] for entry in history[:-1]), default=0.0):
            best = _copied(network)
        if team.rank == 0:
            _save_state(recipe, network, best, optimizer, history)
            team.post({"name": recipe.card.name, **history[-1]})
    if team.rank == 0:
        _finish(recipe, best, history, team)


def _groups(network: torch.nn.Module, decay: float) -> list[dict[str, Any]]:
    """Weight decay for the kernels, none for norms and biases."""
    kernels = [p for p in network.parameters() if p.ndim > 1]
    others = [p for p in network.parameters() if p.ndim <= 1]
    return [{"params": kernels, "weight_decay": decay}, {"params": others, "weight_decay": 0.0}]


def _set_rate(optimizer: torch.optim.Optimizer, highest: float, step: int, steps: int) -> None:
    """A rise, then half a cosine to zero; a function of the step alone, so that a resumed run has the same."""
    rise = max(WARM_UP * steps, 1)
    fall = 0.5 * (1 + math.cos(math.pi * min((step - rise) / max(steps - rise, 1), 1)))
    for group in optimizer.param_groups:
        group["lr"] = highest * (min((step + 1) / rise, 1) if step < rise else fall)


def _batch(recipe: Recipe, stream: Iterator[Pair], members: Sequence[int], epoch: int) -> tuple[Shown, Tensor]:
    """Each patch varied by chance that only seed, epoch and patch decide: the same on any number of workers."""
    pictures, truths = [], []
    for member in members:
        picture_TCYX, truth = next(stream)
        rng = np.random.default_rng([recipe.training.seed, epoch, member])
        varied, turned = augment(picture_TCYX[list(recipe.card.period_index)], truth, Augmentation(), rng)
        pictures.append(varied)
        truths.append(torch.tensor(turned))  # a copy: the next patch is read into the same memory
    return _shown(recipe, np.stack(pictures)), torch.stack(truths)


def _shown(recipe: Recipe, used_BTCYX: NDArray[Any]) -> Shown:
    """What a network is called with, from stored counts."""
    seen_BTYX = torch.from_numpy((used_BTCYX != NO_DATA).any(axis=2))
    when_BT = torch.tensor(recipe.card.used_middles, dtype=torch.float32).expand(len(used_BTCYX), -1)
    return normalise(used_BTCYX, recipe.card.normalisation), seen_BTYX, when_BT


@torch.inference_mode()
def _validate(recipe: Recipe, network: Network, reader: PatchReader, team: Team) -> Confusion:
    network.eval()
    classes = len(recipe.card.classes)
    found = Confusion.empty(classes)
    for picture_TCYX, truth in reader.stream(recipe.validation[team.rank :: team.size]):
        used = picture_TCYX[list(recipe.card.period_index)]
        shown = (part.to(team.device) for part in _shown(recipe, used[None]))
        guess = network(*shown).argmax(dim=1)[0].to(torch.uint8).cpu().numpy()
        seen = (used != NO_DATA).any(axis=(0, 1))
        found += confusion(np.where(seen, truth, np.uint8(IGNORE)), guess, classes)
    matrix = team.total(torch.from_numpy(found.matrix).to(team.device)).cpu().numpy()
    return Confusion(matrix, found.unmapped)


def _resume(recipe: Recipe, network: Network, optimizer: torch.optim.Optimizer) -> tuple[list[dict[str, Any]], State]:
    """Go on after the last whole epoch of this very training, if there is one."""
    if not recipe.root.exists(recipe.state_key):
        return [], _copied(network)
    tensors, slots, meta = decode_training_state(recipe.root.read(recipe.state_key))
    if meta["identity"] != recipe.card.training_identity:
        return [], _copied(network)
    network.load_state_dict({key.removeprefix("now."): t for key, t in tensors.items() if key.startswith("now.")})
    optimizer.load_state_dict(slots)
    best = {key.removeprefix("best."): t for key, t in tensors.items() if key.startswith("best.")}
    return list(meta["history"]), best


def _save_state(
    recipe: Recipe, network: Network, best: State, optimizer: torch.optim.Optimizer, history: list[dict[str, Any]]
) -> None:
    now = {f"now.{key}": value for key, value in _copied(network).items()}
    tensors = now | {f"best.{key}": value for key, value in best.items()}
    meta = {"identity": recipe.card.training_identity, "history": history}
    recipe.root.write(recipe.state_key, encode_training_state(tensors, optimizer.state_dict(), meta))


def _finish(recipe: Recipe, best: State, history: list[dict[str, Any]], team: Team) -> None:
    """The weights, then the card: what has a card is a checkpoint."""
    chosen = max(history, key=lambda entry: (entry["validation_miou"], entry["epoch"]))
    notes = recipe.card.training | {"workers": team.size, "device": team.device.type, "history": history}
    scores = {"validation_miou": chosen["validation_miou"], "epoch": chosen["epoch"]}
    for name, data in encode(best, replace(recipe.card, training=notes, scores=scores)).items():
        recipe.root.write(f"{recipe.folder}/{name}", data)
    recipe.root.remove(recipe.state_key)


def _copied(network: Network) -> State:
    return {key: value.detach().cpu().clone() for key, value in network.state_dict().items()}
