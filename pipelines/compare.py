"""compare: several models on one project, with the same patches, splits, seed and epochs, and one table of them."""

import json
from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any

from catalogs import crops, cube
from catalogs.description import identity
from catalogs.errors import BadInput
from catalogs.patch_store import NAME as PATCHES
from cluster.progress import Progress
from models.architectures import SETTINGS
from pipelines.checkpoints import card_in
from pipelines.compare_page import TABLE, write_comparison
from pipelines.compare_scoring import Scoring, shares_of, start_scoring
from pipelines.held_out import held_out_patches
from pipelines.network_actors import on_actors
from pipelines.outcomes import Unfinished
from pipelines.plan import Plan
from pipelines.project.errors import nearest
from pipelines.project.learning import Model
from pipelines.recipes import make_recipes
from pipelines.stored import check_whole, identity_of
from pipelines.train import train_recipes

BEST = "-best"
"""At the end of a model's name: it sees the single best date."""


def compare(plan: Plan, progress: Progress) -> dict[str, Any]:
    """Train what is not trained yet, score what is not scored yet, and write the table."""
    check_models(plan, "compare", plan.project.compare.models)
    check_whole(plan, cube.NAME, crops.LABELS)
    patches = held_out_patches(plan)
    if not patches:
        raise BadInput("the patches", "have none for the test.", "Write a larger [patches] test_share, then `patch`.")
    plans = {name: plan_of(plan, name) for name in plan.project.compare.models}
    recipes = [recipe for each in plans.values() for recipe in make_recipes(each)]
    train_recipes(plan, recipes, progress)
    subjects = {name: subject_of(plan, checkpoint_of(name)) for name in plans}
    missing = [name for name, subject in subjects.items() if not _is_scored(plan, name, subject)]
    todo = [share for name in missing for share in shares_of(checkpoint_of(name), patches)]
    with progress.stage(
        "compare", len(plans) * len(patches), "tiles", (len(plans) - len(missing)) * len(patches)
    ) as bar:
        found: dict[str, list[Any]] = {checkpoint_of(name): [] for name in missing}
        for share, outcome in on_actors(plan, partial(start_scoring, Scoring(plan)), todo, most=1):
            if isinstance(outcome, Exception):
                raise Unfinished(f"{share.checkpoint} could not be scored on tile {share.tile}: {outcome}") from outcome
            found[share.checkpoint].append(outcome)
            bar.advance()
    for name in missing:
        _write(plan, name, {"identity": identity(subjects[name]), "tiles": found[checkpoint_of(name)]})
    table = write_comparison(plan, {name: _read(plan, name)["tiles"] for name in plans}, checkpoint_of)
    for line in table["lines"]:
        progress.say(f"compare: {line}")
    return {"table": plan.root.path(TABLE), "models": table["models"]}


def check_models(plan: Plan, table: str, models: Iterable[str]) -> None:
    for name in models:
        if name.removesuffix(BEST) not in SETTINGS:
            meant = nearest(name, SETTINGS)
            remedy = f"Did you mean '{meant}'?" if meant else f"Write some of: {', '.join(SETTINGS)}."
            raise BadInput(f"{plan.project.path}, {table}.models: '{name}'", "there is no such architecture.", remedy)


def plan_of(plan: Plan, name: str) -> Plan:
    """The same project with another model."""
    own, architecture = plan.project.model, name.removesuffix(BEST)
    model = own if architecture == own.architecture else Model(architecture=architecture)
    dates = "best" if name.endswith(BEST) else "all"
    model = model.model_copy(update={"dates": dates, "name": checkpoint_of(name)})
    training = plan.project.training.model_copy(update={"compare_single_date": False})
    return Plan(plan.project.model_copy(update={"model": model, "training": training}))


def checkpoint_of(name: str) -> str:
    return f"compare-{name}"


def subject_of(plan: Plan, checkpoint: str) -> Mapping[str, Any]:
    """What a model's scores follow from."""
    card = card_in(plan.root, checkpoint)
    assert card is not None  # it has just been trained
    return {
        "weights": card.weights_sha256,
        "cube": identity_of(plan.root, cube.NAME, "ingest"),
        "patches": identity_of(plan.root, PATCHES, "patch"),
        "labels": identity_of(plan.root, crops.LABELS, "label"),
    }


def _key(name: str) -> str:
    return f"compare/scores/{name}.json"


def _is_scored(plan: Plan, name: str, subject: Mapping[str, Any]) -> bool:
    return plan.root.exists(_key(name)) and _read(plan, name)["identity"] == identity(subject)


def _read(plan: Plan, name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(plan.root.read(_key(name)))
    return found


def _write(plan: Plan, name: str, values: Mapping[str, Any]) -> None:
    plan.root.write(_key(name), json.dumps(values).encode())
