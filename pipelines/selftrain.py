"""selftrain: a network for a region without declarations, taught by what networks of other regions surely see there."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from catalogs import crops, cube
from catalogs.description import identity
from catalogs.errors import BadInput
from catalogs.pseudo_stores import LOOKS
from catalogs.root import Root
from catalogs.stores import Store
from cluster.progress import Progress
from models.checkpoint import CARD, WEIGHTS
from models.self_training_guards import GuardSettings, Verdict, judge_rounds
from pipelines.patch import patch
from pipelines.plan import Plan
from pipelines.selftraining.choosing import accepted, choose
from pipelines.selftraining.ground import Ground, ground_of
from pipelines.selftraining.judging import Judged, judge, kept_round
from pipelines.selftraining.looking import look, looking_of
from pipelines.selftraining.report import LOG, PAGE, write_report
from pipelines.selftraining.shares import statistics_of, target_shares
from pipelines.selftraining.stage import FOLDER, Stage, stage_of, student_name
from pipelines.selftraining.teachers import Teacher, calibrate, cards_of, validation_patches
from pipelines.stored import check_whole, identity_of, units_of
from pipelines.train import train


def selftrain(plan: Plan, progress: Progress) -> dict[str, Any]:
    """Stage by stage: labels, patches, a student, and whether to go on; what was done before stays as it is."""
    teachers = _checked(plan)
    ground, shares_K = ground_of(plan), statistics_of(plan)
    judged = [judge(plan, f"{FOLDER}/teachers.json", teachers, ground, shares_K, progress)]
    stages: list[Stage] = []
    verdict = _verdict(plan, judged)
    while verdict.go_on and len(stages) < plan.project.selftrain.rounds:
        stage = stage_of(plan, len(stages), stages[-1:] and (stages[-1].student,) or teachers)
        label_stage(stage, ground, progress)
        patch(stage.plan, progress)
        train(stage.plan, progress)
        key = f"{FOLDER}/{stage.name}/student.json"
        judged.append(judge(plan, key, (stage.student,), ground, shares_K, progress))
        stages.append(stage)
        verdict = _verdict(plan, judged)
    return _finish(plan, stages, judged, verdict, progress)


def label_stage(stage: Stage, ground: Ground, progress: Progress) -> None:
    """The label store of a stage, from calibrated teachers to painted tiles."""
    store = Store(stage.plan.root, crops.LABELS)
    calibration = calibrate(stage.plan, "calibration.json", stage.teachers, progress)
    target_K = target_shares(stage, ground, calibration, progress)
    job = looking_of(stage, ground, calibration, target_K)
    seen = describe_looks(stage, ground) | {"calibration": calibration.as_dict(), "shares": target_K.tolist()}
    described = {
        "store": "pseudo-labels",
        "grid": stage.plan.grid_description,
        "looks": identity(seen),
        "settings": asdict(stage.settings),
        "taxonomy": stage.plan.taxonomy.identity,
        "fields": stage.plan.project.selftrain.fields,
        **ground.rule.describe(),
    }
    if store.description() is None or store.missing(units_of(stage.plan, crops.LABELS)):
        look(stage, job, seen, progress)
    choose(stage, ground, target_K, described, progress)
    found = accepted(stage)
    said = zip(stage.plan.taxonomy.names, found["labelled_pixels"], strict=True)
    progress.say(f"selftrain: labels of stage {stage.name}: " + ", ".join(f"{name} {count}" for name, count in said))
    if not sum(found["labelled_pixels"]):
        raise BadInput(
            f"[selftrain] teachers of stage {stage.name}",
            f"surely see nothing of {stage.plan.project.region.name}, so there is nothing to train on.",
            f"See {stage.plan.root.path('choice.json')} for the rules that rejected fields, or name other teachers.",
        )


def describe_looks(stage: Stage, ground: Ground) -> dict[str, Any]:
    asked = stage.plan.project.selftrain
    return {
        "store": LOOKS,
        "grid": stage.plan.grid_description,
        "cube": identity_of(stage.plan.cube_root, cube.NAME, "ingest"),
        "teachers": [card.weights_sha256 for card in cards_of(stage.plan, stage.teachers)],
        "views": asked.views,
        "shift": asked.shift,
        "held_out": {"block": ground.block, "blocks": sorted(map(list, ground.held_out))},
    }


def _checked(plan: Plan) -> tuple[Teacher, ...]:
    """The teachers; refuses at once what would be refused after hours."""
    asked = plan.project.selftrain
    for name, given in (("teachers", asked.teachers), ("source", asked.source)):
        if not given:
            remedy = f"Name one or more in [selftrain] {name}: docs/selftrain.md shows how."
            raise BadInput(f"[selftrain] {name} = []", "self-training needs it.", remedy)
    check_whole(plan, cube.NAME)
    teachers = tuple(Teacher(Root(place), name) for place, name in plan.project.teachers)
    cards_of(plan, teachers)
    plan.model  # noqa: B018  (what is wrong with [model] is told before the teachers look at the region)
    validation_patches([Root(root) for root in plan.project.sources])
    return teachers


def _verdict(plan: Plan, judged: Sequence[Judged]) -> Verdict:
    asked = plan.project.selftrain
    settings = GuardSettings(asked.tolerance, asked.most_drift, asked.least_left)
    return judge_rounds([one.round for one in judged], settings)


def _finish(
    plan: Plan, stages: Sequence[Stage], judged: Sequence[Judged], verdict: Verdict, progress: Progress
) -> dict[str, Any]:
    """The best student as a checkpoint of the run's root, the log and the page."""
    kept, name = kept_round(judged, verdict.best, verdict.go_on), student_name(plan)
    if kept:
        _copy_checkpoint(stages[kept - 1].student, plan.root, name)
        progress.say(f"selftrain: {name} is the student of stage {stages[kept - 1].name}")
    else:
        progress.say("selftrain: no student is kept; map with the teachers")
    log = {
        "region": plan.project.region.name,
        "kept": kept,
        "checkpoint": name if kept else None,
        "verdict": verdict.as_dict(),
        "classes": list(plan.taxonomy.names),
        "rounds": [one.as_dict() for one in judged],
        "stages": [{"name": stage.name, "settings": asdict(stage.settings), **accepted(stage)} for stage in stages],
    }
    write_report(plan, log)
    progress.say(f"selftrain: report in {plan.root.path(PAGE)}")
    return {"checkpoint": log["checkpoint"], "kept": kept, "log": plan.root.path(LOG)} | {"verdict": verdict.as_dict()}


def _copy_checkpoint(student: Teacher, root: Root, name: str) -> None:
    """The weights, then the card: what has a card is a checkpoint."""
    for file in (WEIGHTS, CARD):
        root.write(f"checkpoints/{name}/{file}", student.root.read(f"checkpoints/{student.name}/{file}"))


def read_log(root: Root) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(root.read(LOG))
    return found
