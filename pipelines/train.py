"""train: patches to checkpoints, on one worker or many; also the single-date network that shows what a season adds."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from catalogs import patch_store
from catalogs.bands import BANDS
from catalogs.description import differences, identity
from catalogs.errors import BadInput
from catalogs.patches import TRAIN, VALIDATION
from catalogs.taxonomy import IGNORE
from cluster.progress import Bar, Progress
from cluster.session import ray_session
from cluster.training import train_on_workers
from models.card import Card
from models.separability import rank_periods
from pipelines.checkpoints import card_in, read_checkpoint
from pipelines.devices import check_training_fits, training_gpus
from pipelines.patch_reading import PatchReader
from pipelines.patch_sources import normalisation_of, origins_of, patch_sources
from pipelines.plan import Plan
from pipelines.project.settings import SINGLE_DATE
from pipelines.stored import identity_of
from pipelines.training_loop import Recipe, train_all

SAMPLE = 200
"""Pixels taken from each patch to find the best single date: neighbours tell little that is new."""


MOST = 320
"""Patches of a split that are looked at for it."""


def train(plan: Plan, progress: Progress) -> dict[str, Any]:
    """Train what has not been trained yet; a training that was interrupted goes on after its last whole epoch."""
    recipes = make_recipes(plan)
    todo = [recipe for recipe in recipes if not _is_done(recipe)]
    epochs = plan.project.training.epochs
    with progress.stage("train", epochs * len(recipes), "epochs", epochs * (len(recipes) - len(todo))) as bar:
        if todo:
            with ray_session(plan.project.compute.address, plan.slots) as ray:
                gpus = training_gpus(ray, plan)
                check_training_fits(ray, plan, gpus)
                train_on_workers(ray, train_all, todo, plan.project.training.workers, gpus, _Epochs(bar).show)
    cards = {recipe.card.name: read_checkpoint(plan.root, recipe.card.name)[1] for recipe in recipes}
    for name, card in cards.items():
        progress.say(f"train: {name} reached mIoU {card.scores['validation_miou']:.3f} on the validation blocks")
    return {"checkpoints": {name: card.scores for name, card in cards.items()}}


class _Epochs:
    """Shows each epoch of each network once, whether it was resumed or done again after a worker died."""

    def __init__(self, bar: Bar) -> None:
        self.bar = bar
        self.done: dict[str, int] = {}

    def show(self, post: Mapping[str, Any]) -> None:
        name, epoch = post["name"], post["epoch"]
        new = epoch - self.done.get(name, 0)
        if new > 0:
            self.done[name] = epoch
            self.bar.advance(new, f"{name}: loss {post['loss']:.3f}, mIoU {post['validation_miou']:.3f}")


def make_recipes(plan: Plan) -> list[Recipe]:
    """The project's network and, where it is to be compared, the same on the single best date."""
    training, model = plan.project.training, plan.project.model
    recipe = _recipe(plan)
    periods = len(plan.periods)
    every, best = tuple(range(periods)), (_best_period(recipe),) if _wants_single_date(plan) else ()
    recipes = [_named(recipe, model.name, every if model.dates == "all" else best)]
    if training.compare_single_date:
        recipes.append(_named(recipe, SINGLE_DATE, best))
    return recipes


def _recipe(plan: Plan) -> Recipe:
    """What the networks share."""
    sources = patch_sources(plan)
    names = plan.taxonomy.names
    members = {split: tuple(n for source in sources for n in source.numbers(split)) for split in (TRAIN, VALIDATION)}
    also = {"also": [source.identity for source in sources[1:]], "origins": origins_of(sources)}
    card = Card(
        name=plan.project.model.name,
        architecture=plan.project.model.architecture,
        settings=plan.model.as_dict(),
        bands=BANDS,
        periods=plan.period_names,
        middles=plan.middles,
        period_index=tuple(range(len(plan.periods))),
        classes=dict(enumerate(names)),
        normalisation=normalisation_of(sources),
        training_identity="",
        training={"region": plan.project.region.name, "patches": len(members[TRAIN])} | (also if sources[1:] else {}),
    )
    return Recipe(
        root=plan.root,
        card=card,
        training=plan.project.training,
        train=members[TRAIN],
        validation=members[VALIDATION],
        class_pixels=tuple(np.sum([source.class_pixels(names) for source in sources], axis=0).tolist()),
        also=tuple(source.root for source in sources[1:]),
    )


def _named(recipe: Recipe, name: str, period_index: tuple[int, ...]) -> Recipe:
    settings = recipe.card.settings | {"periods": len(period_index)}
    # How many work on it is no part of what is trained: it may change between two halves of a training.
    settings_of_training = recipe.training.model_dump(mode="json", exclude={"compare_single_date", "workers", "also"})
    decides = {
        "patches": identity_of(recipe.root, patch_store.NAME, "patch"),
        "settings": settings,
        "period_index": list(period_index),
        "training": settings_of_training,
    }
    if "also" in recipe.card.training:
        decides["also"] = recipe.card.training["also"]
    notes = recipe.card.training | settings_of_training | {"planned": decides}
    card = replace(recipe.card, name=name, settings=settings, period_index=period_index, training=notes)
    return replace(recipe, card=replace(card, training_identity=identity(decides)))


def _is_done(recipe: Recipe) -> bool:
    """Whether it is trained; a checkpoint of that name that was trained differently is not overwritten."""
    card = card_in(recipe.root, recipe.card.name)
    if card is None:
        return False
    if card.training_identity != recipe.card.training_identity:
        lines = differences(card.training.get("planned", {}), recipe.card.training["planned"])
        raise BadInput(
            f"checkpoint {recipe.root.path(recipe.folder)}",
            f"was trained differently ({'; '.join(lines[:5])}).".replace("the store has", "it has"),
            "Change the project back, or give another [model] name, or remove that checkpoint.",
        )
    return True


def _wants_single_date(plan: Plan) -> bool:
    return plan.project.training.compare_single_date or plan.project.model.dates == "best"


def _best_period(recipe: Recipe) -> int:
    """The period by which a linear rule, fitted to training pixels, best tells the validation pixels apart."""
    fitted, other = (_pixels(recipe, _some(members)) for members in (recipe.train, recipe.validation))
    ranks = rank_periods(*fitted, *other)
    return int(np.argmax(ranks))


def _some(members: tuple[int, ...]) -> tuple[int, ...]:
    """Up to MOST of them, evenly through a store whose order is random."""
    return members[:: -(-len(members) // MOST)]


def _pixels(recipe: Recipe, members: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    reader, rng = PatchReader(recipe.root, *recipe.also), np.random.default_rng(recipe.training.seed)
    series, crops = [], []
    for picture_TCYX, crop in reader.stream(members):
        y, x = np.nonzero(crop != IGNORE)
        drawn = rng.choice(len(y), min(SAMPLE, len(y)), replace=False)
        series.append(picture_TCYX[:, :, y[drawn], x[drawn]].transpose(2, 0, 1))
        crops.append(crop[y[drawn], x[drawn]])
    return np.concatenate(series), np.concatenate(crops)
