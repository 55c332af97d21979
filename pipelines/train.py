"""train: patches to checkpoints, on one worker or many, each with a report."""

from collections.abc import Sequence
from typing import Any

from catalogs.description import differences
from catalogs.errors import BadInput
from cluster.progress import Progress
from cluster.session import ray_session
from cluster.training import train_on_workers
from models.architectures import FORESTS
from models.errors import Misfit
from pipelines.checkpoints import card_in, read_checkpoint
from pipelines.devices import check_training_fits, training_gpus
from pipelines.forest_training import fit, fit_patches
from pipelines.live_training import LiveTraining
from pipelines.plan import Plan
from pipelines.project.learning import VALIDATION
from pipelines.recipe import Recipe
from pipelines.recipes import make_recipes
from pipelines.training_loop import train_all
from pipelines.training_report import lacks_report, write_training_report

FINAL = (BadInput, Misfit, MemoryError, ArithmeticError, AssertionError, TypeError, ValueError)
"""Errors that would only come again if training were started again."""


def train(plan: Plan, progress: Progress) -> dict[str, Any]:
    """Train what has not been trained yet; a training that was interrupted goes on where it was written down last."""
    recipes = make_recipes(plan)
    train_recipes(plan, recipes, progress)
    cards = {recipe.card.name: read_checkpoint(plan.root, recipe.card.name)[1] for recipe in recipes}
    for name, card in cards.items():
        progress.say(f"train: {name} reached mIoU {card.scores['validation_miou']:.3f} on the {_watched(plan)}")
    return {"checkpoints": {name: card.scores for name, card in cards.items()}}


def train_recipes(plan: Plan, recipes: Sequence[Recipe], progress: Progress) -> None:
    """Forests are fitted here, networks are trained on workers."""
    forests = [recipe for recipe in recipes if recipe.card.architecture in FORESTS]
    networks = [recipe for recipe in recipes if recipe not in forests]
    if forests:
        _fit(plan, forests, progress)
    if networks:
        _train(plan, networks, progress)


def _fit(plan: Plan, recipes: Sequence[Recipe], progress: Progress) -> None:
    todo = [recipe for recipe in recipes if not is_done(recipe)]
    patches, left = (sum(fit_patches(recipe) for recipe in some) for some in (recipes, todo))
    with progress.stage("fit", patches, "patches", patches - left) as bar:
        for recipe in todo:
            fit(recipe, plan.workers, bar)


def _train(plan: Plan, recipes: Sequence[Recipe], progress: Progress) -> None:
    todo = [recipe for recipe in recipes if not is_done(recipe)]
    steps, left = (sum(recipe.steps for recipe in some) for some in (recipes, todo))
    with progress.stage("train", steps, "steps", steps - left) as bar:
        if todo:
            live = LiveTraining(bar, progress.say)
            with ray_session(plan.project.compute.address, plan.slots) as ray:
                gpus = training_gpus(ray, plan)
                check_training_fits(ray, plan, gpus)
                train_on_workers(ray, train_all, todo, plan.project.training.workers, gpus, live.show, FINAL)
            live.end(todo)
    for recipe in recipes:
        if recipe in todo or lacks_report(recipe):
            progress.say(f"train: report of {recipe.card.name} in {write_training_report(plan, recipe)}")


def _watched(plan: Plan) -> str:
    stop_on = plan.project.training.stop_on
    return "validation blocks" if stop_on == VALIDATION else f"patches of {stop_on}"


def is_done(recipe: Recipe) -> bool:
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
