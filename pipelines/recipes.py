"""What a project is to train: its network and, to show what a season adds, the same on a single date."""

from dataclasses import asdict, replace

import numpy as np

from catalogs import patch_store
from catalogs.bands import BANDS
from catalogs.description import identity
from catalogs.errors import BadInput
from catalogs.patches import TRAIN
from catalogs.taxonomy import IGNORE
from models.augmentation import Augmentation
from models.batch_loss import LossSettings
from models.card import Card
from models.separability import rank_periods
from pipelines.outside_files import decided_by, outside_files
from pipelines.patch_reading import PatchReader
from pipelines.patch_sources import normalisation_of, origins_of, patch_sources, watched_patches
from pipelines.plan import Plan
from pipelines.project.learning import SINGLE_DATE
from pipelines.recipe import Recipe
from pipelines.stored import identity_of

NO_PART = {"compare_single_date", "workers", "also", "save_minutes"}
"""Keys of [training] that are no part of what is trained: they may change between two halves of a training."""

SAMPLE = 200
"""Pixels taken from each patch to find the best single date: neighbours tell little that is new."""


MOST = 320
"""Patches of a split that are looked at for it."""


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
    names, project = plan.taxonomy.names, plan.project
    members = tuple(number for source in sources for number in source.numbers(TRAIN))
    watched = watched_patches(sources, project.training.stop_on)
    outside = outside_files(plan)
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
        training={"region": project.region.name, "patches": len(members), **outside.notes}
        | (also if sources[1:] else {}),
    )
    recipe = Recipe(
        root=plan.root,
        card=card,
        training=project.training,
        train=members,
        validation=watched,
        class_pixels=tuple(np.sum([source.class_pixels(names) for source in sources], axis=0).tolist()),
        also=tuple(source.root for source in sources[1:]),
        loss=LossSettings(**project.loss.model_dump(exclude={"class_weights"})),
        class_weights=project.loss.class_weights,
        augmentation=Augmentation(**project.augmentation.model_dump()),
        encoder=outside.encoder,
        structure=outside.structure,
    )
    check_enough(recipe)
    return recipe


def check_enough(recipe: Recipe) -> None:
    """A step needs a whole batch, and something in it to learn."""
    batch, patches = recipe.training.batch, len(recipe.train)
    if batch > patches:
        given, why = f"[training] batch = {batch}", f"there are only {patches} patches to train on."
        raise BadInput(given, why, f"Write at most {patches}, or map a larger region, or smaller [patches].")
    if not any(recipe.class_pixels):
        given = f"the {patches} patches to train on"
        raise BadInput(given, "have no labelled pixel.", "Check [labels]: `furrow audit` says where each crop went.")


def _named(recipe: Recipe, name: str, period_index: tuple[int, ...]) -> Recipe:
    settings = recipe.card.settings | {"periods": len(period_index)}
    if len(period_index) == 1 and "best_period" in settings:
        settings["best_period"] = 0  # it counts the periods that the network is shown
    settings_of_training = recipe.training.model_dump(mode="json", exclude=NO_PART)
    decides = {
        "patches": identity_of(recipe.root, patch_store.NAME, "patch"),
        "architecture": recipe.card.architecture,
        "settings": settings,
        "period_index": list(period_index),
        "training": settings_of_training,
        "loss": asdict(recipe.loss) | {"class_weights": recipe.class_weights},
        "augmentation": asdict(recipe.augmentation),
        **decided_by(recipe.card.training),
    }
    if "also" in recipe.card.training:
        decides["also"] = recipe.card.training["also"]
    notes = recipe.card.training | settings_of_training | {"planned": decides}
    card = replace(recipe.card, name=name, settings=settings, period_index=period_index, training=notes)
    return replace(recipe, card=replace(card, training_identity=identity(decides)))


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
