"""crossfold: scores by leaving parcels out, for places too small for blocks of space, with a checkpoint of all."""

import json
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from catalogs import crops, cube
from catalogs.errors import BadInput
from cluster.items import item_workers
from cluster.progress import Progress
from models.architectures import FORESTS
from models.card import Card
from models.checkpoint import CARD, WEIGHTS, encode
from models.errors import Misfit
from pipelines.checkpoints import card_in, read_checkpoint
from pipelines.compare import BEST, check_models
from pipelines.crossfolding.ground import ALL, Fold, Ground, ground_of
from pipelines.crossfolding.scoring import Task, work
from pipelines.crossfolding.table import TABLE, line_of, write_table
from pipelines.crossfolding.windows import cut_windows, fold_plan
from pipelines.outcomes import Unfinished
from pipelines.plan import Plan
from pipelines.recipes import make_recipes
from pipelines.stored import check_whole
from pipelines.train import is_done


def crossfold(plan: Plan, progress: Progress) -> dict[str, Any]:
    """Train and score what is not scored yet, write the table, and train `[model]` on all parcels."""
    models = models_of(plan)
    check_models(plan, "crossfold", models)
    check_whole(plan, cube.NAME, crops.LABELS)
    ground = ground_of(plan)
    _say_ground(plan, ground, progress)
    for fold in ground.folds:
        cut_windows(plan, ground, fold)
    *tasks, last = tasks_of(plan, ground, models)
    done_before = is_done(replace(last.recipe, root=plan.root))  # refuses to replace another training's checkpoint
    todo = [task for task in tasks if not _is_scored(plan, task)] + ([] if done_before or last.is_trained else [last])
    with progress.stage("crossfold", len(tasks) + 1, "trainings", len(tasks) + 1 - len(todo)) as bar:
        for task, outcome in _worked(plan, todo):
            _check(task, outcome)
            bar.advance()
    records = {model: [_read(plan, task) for task in tasks if task.model == model] for model in models}
    table = write_table(plan, ground, records)
    for row in table["models"]:
        progress.say(f"crossfold: {line_of(row, table['classes'])}")
    _keep(plan, last, table)
    progress.say(f"crossfold: {plan.root.path(last.recipe.folder)} is trained on all {len(ground.parcel_P)} parcels")
    return {"table": plan.root.path(TABLE), "checkpoint": last.recipe.card.name, "models": table["models"]}


def models_of(plan: Plan) -> tuple[str, ...]:
    """Those that are asked for, and the project's own, whose checkpoint needs a score too."""
    return tuple(dict.fromkeys((*plan.project.crossfold.models, own_model(plan))))


def own_model(plan: Plan) -> str:
    model = plan.project.model
    return model.architecture + (BEST if model.dates == "best" else "")


def tasks_of(plan: Plan, ground: Ground, models: Sequence[str]) -> list[Task]:
    """Each model in each fold, what takes longest first; last the project's own on all parcels."""
    *scored, whole = ground.folds
    slow_first = sorted(models, key=lambda model: model.removesuffix(BEST) in FORESTS)
    tasks = [task_of(plan, fold, model, model) for model in slow_first for fold in scored]
    return [*tasks, task_of(plan, whole, own_model(plan), plan.project.model.name)]


def task_of(plan: Plan, fold: Fold, model: str, name: str) -> Task:
    (recipe,) = make_recipes(fold_plan(plan, fold, model, name))
    return Task(model, fold, recipe)


def _worked(plan: Plan, todo: list[Task]) -> Any:
    if todo:
        with item_workers(plan.project.compute.address, plan.workers) as each:
            yield from each(partial(work, plan), todo)


def _check(task: Task, outcome: object) -> None:
    if isinstance(outcome, BadInput | Misfit):
        raise outcome
    if isinstance(outcome, Exception):
        raise Unfinished(f"{task} failed: {type(outcome).__name__}: {outcome}") from outcome


def _is_scored(plan: Plan, task: Task) -> bool:
    return plan.root.exists(task.key) and _read(plan, task)["identity"] == task.recipe.card.training_identity


def _read(plan: Plan, task: Task) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(plan.root.read(task.key))
    return found


def _keep(plan: Plan, task: Task, table: dict[str, Any]) -> None:
    """As an ordinary checkpoint of the run, with what leaving parcels out says of networks trained like it."""
    assert task.fold.name == ALL
    root = task.recipe.root if task.is_trained else plan.root
    state, card = read_checkpoint(root, task.recipe.card.name)
    files = encode(state, replace(card, scores={"crossfold": scores_of(table, task.model)}))
    kept = card_in(plan.root, card.name)
    if kept is None:
        plan.root.write(f"{task.recipe.folder}/{WEIGHTS}", files[WEIGHTS])
    if kept != Card.from_json(files[CARD]):
        plan.root.write(f"{task.recipe.folder}/{CARD}", files[CARD])


def scores_of(table: dict[str, Any], model: str) -> dict[str, Any]:
    """Numbers never without what they were counted on."""
    (row,) = [row for row in table["models"] if row["name"] == model]
    names = (
        "parcels",
        "pixels",
        "mean_iou",
        "scored_iou",
        "pixel_accuracy",
        "mean_class_accuracy",
        "by_parcel",
        "classes",
    )
    return {"folds": table["folds"], "never_left_out": table["never_left_out"], **{name: row[name] for name in names}}


def _say_ground(plan: Plan, ground: Ground, progress: Progress) -> None:
    names, scored = plan.taxonomy.names, int(ground.scored_P.sum())
    progress.say(f"crossfold: {scored} parcels are left out in turn, in {len(ground.folds) - 1} folds")
    for number in ground.only_ones:
        progress.say(f"crossfold: {names[number]} has one parcel: it is always learned and never scored")
