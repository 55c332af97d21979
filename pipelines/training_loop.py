"""The training loop: one network from its first weights, or from where a training stopped, to its checkpoint."""

import json
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace

from cluster.training import Team
from models.checkpoint import encode
from models.exactness import be_exact
from models.metrics import score
from pipelines.best_epoch import best_entry, is_best, is_over
from pipelines.calibrating import calibrated
from pipelines.learner import make_learner
from pipelines.memory_limits import step_within_memory
from pipelines.patch_reading import PatchReader
from pipelines.recipe import Recipe
from pipelines.structure import make_targets
from pipelines.training_batches import in_steps, training_parts
from pipelines.training_metrics import Metrics
from pipelines.training_state import Standing, copied, resume
from pipelines.watching import watch

FIGURES = "figures.json"
"""What the report is made of, beside the checkpoint."""


def train_all(recipes: Sequence[Recipe], team: Team) -> None:
    """One network after the other on the same workers: starting them costs more than a small training."""
    for recipe in recipes:
        train(recipe, team)


def train(recipe: Recipe, team: Team) -> None:
    """Every worker runs this; all of them are in the same step, with the same weights."""
    be_exact()
    training, per_epoch = recipe.training, recipe.steps_an_epoch
    learner = make_learner(recipe, team)
    standing, keeper = resume(recipe, learner, team)
    metrics = Metrics(recipe, team, standing)
    reader, targets = PatchReader(recipe.root, *recipe.also), make_targets(recipe, team.device)
    while not is_over(standing.history, training.epochs, training.patience):
        epoch = len(standing.history)
        done = standing.step - epoch * per_epoch
        learner.network.train()
        coming = training_parts(recipe, reader, epoch, done, team.rank, team.size, team.device, targets)
        with closing(coming) as parts:
            for step_parts in in_steps(parts, training.accumulate):
                rate = learner.rate(standing.step)
                standing.count(step_within_memory(learner, step_parts, standing.step))
                metrics.step(rate)
                if team.rank == 0 and keeper.is_due():
                    keeper.save(standing)
        loss = standing.mean_loss(recipe)
        found = watch(recipe, learner.judged, reader, team)
        scores = score(found)
        standing.history.append({"epoch": epoch + 1, "loss": loss, "validation_miou": scores.mean_iou})
        standing.losses.zero_()
        if is_best(standing.history):
            standing.best, standing.confusion = copied(learner.judged), found.matrix.tolist()
        metrics.epoch(scores)
        if team.rank == 0:
            keeper.save(standing)
            metrics.write()
    metrics.close()
    if team.rank == 0:
        finish(recipe, standing, team)
        keeper.forget()


def finish(recipe: Recipe, standing: Standing, team: Team) -> None:
    """The weights, then the card: what has a card is a checkpoint."""
    chosen = best_entry(standing.history)
    notes = recipe.card.training | {"workers": team.size, "device": team.device.type, "history": standing.history}
    scores = {"validation_miou": chosen["validation_miou"], "epoch": chosen["epoch"]}
    scores |= calibrated(recipe, standing.best, team.device.type)
    figures = {"history": standing.history, "best": chosen, "confusion": standing.confusion}
    recipe.root.write(f"{recipe.notes}/{FIGURES}", (json.dumps(figures, indent=1) + "\n").encode())
    for name, data in encode(standing.best, replace(recipe.card, training=notes, scores=scores)).items():
        recipe.root.write(f"{recipe.folder}/{name}", data)
