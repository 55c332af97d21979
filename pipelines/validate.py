"""validate: the crop map against the declared crops of held-out blocks, and against the network on a single date."""

import json
from typing import Any

import numpy as np
from numpy.typing import NDArray

from catalogs import crops
from catalogs.description import identity
from catalogs.grid import Tile, Window
from catalogs.patch_store import NAME as PATCHES
from catalogs.patch_store import Patch, read_index
from catalogs.patches import TEST
from catalogs.stores import Store
from catalogs.taxonomy import IGNORE
from cluster.progress import Bar, Progress
from models.metrics import Confusion, confusion, score
from models.predictor import load_predictor
from models.seams import SeamCount, count_changes
from pipelines.checkpoints import card_in, read_checkpoint
from pipelines.held_out import held_out_patches, scored_pixels
from pipelines.map import mapping_of
from pipelines.plan import Plan
from pipelines.predicting import predict_ground
from pipelines.project.learning import SINGLE_DATE
from pipelines.stored import SCORES, check_whole, identity_of


def validate(plan: Plan, progress: Progress) -> dict[str, Any]:
    """Score the map and write report/scores.json, unless the same map and labels have been scored already."""
    check_whole(plan, crops.MAP, crops.LABELS)
    subject = describe_scores(plan)
    if plan.root.exists(SCORES):
        scored: dict[str, Any] = json.loads(plan.root.read(SCORES))
        if scored.get("identity") == identity(subject):
            progress.say(f"validate: done before, {_headline(scored)}")
            return scored
    scores = {"identity": identity(subject), **_score(plan, progress)}
    plan.root.write(SCORES, json.dumps(scores, indent=1).encode())
    progress.say(f"validate: {_headline(scores)}")
    return scores


def describe_scores(plan: Plan) -> dict[str, Any]:
    single = card_in(plan.root, SINGLE_DATE) if plan.project.training.compare_single_date else None
    return {
        "map": identity_of(plan.root, crops.MAP, "map"),
        "patches": identity_of(plan.root, PATCHES, "patch"),
        "labels": identity_of(plan.root, crops.LABELS, "label"),
        "single_date": single and single.weights_sha256,
    }


def _score(plan: Plan, progress: Progress) -> dict[str, Any]:
    index = read_index(plan.root)
    by_tile = held_out_patches(plan)
    compares = plan.project.training.compare_single_date
    with progress.stage("validate", (2 if compares else 1) * len(by_tile) + len(plan.tiles), "tiles") as bar:
        season = _season(plan, by_tile, bar)
        single = _single_date(plan, by_tile, bar) if compares else None
        seams = _seams(plan, bar)
    names = plan.taxonomy.names
    return {
        "checkpoint": plan.project.checkpoint,
        "split": TEST,
        "blocks": int(index[index["split"] == TEST]["block"].nunique()),
        "patches": sum(map(len, by_tile.values())),
        "pixels": int(season.matrix.sum()),
        "unmapped_pixels": int(season.unmapped.sum()),
        "margin": plan.project.patches.margin,
        "classes": list(names),
        "season": score(season).as_dict(names),
        "single_date": single,
        "confusion": season.matrix.tolist(),
        "seams": seams.as_dict(),
    }


def _season(plan: Plan, by_tile: dict[Tile, list[Patch]], bar: Bar) -> Confusion:
    mapped = Store(plan.root, crops.MAP)
    total = Confusion.empty(len(plan.taxonomy.names))
    for tile, patches in by_tile.items():
        total += _tile_confusion(plan, tile, patches, mapped.read("crop", plan.grid.window(tile).slices))
        bar.advance()
    return total


def _single_date(plan: Plan, by_tile: dict[Tile, list[Patch]], bar: Bar) -> dict[str, Any]:
    """The same pixels, mapped in memory by the network that sees one period."""
    state, card = read_checkpoint(plan.root, SINGLE_DATE)
    predictor, job = load_predictor(state, card), mapping_of(plan, SINGLE_DATE)
    total = Confusion.empty(len(plan.taxonomy.names))
    for tile, patches in by_tile.items():
        total += _tile_confusion(plan, tile, patches, predict_ground(job, predictor, plan.grid.window(tile)).crop)
        bar.advance()
    return {"period": str(plan.periods[card.period_index[0]]), **score(total).as_dict(plan.taxonomy.names)}


def _tile_confusion(plan: Plan, tile: Tile, patches: list[Patch], mapped: NDArray[np.uint8]) -> Confusion:
    whole = plan.grid.window(tile)
    labels = Store(plan.root, crops.LABELS).read("crop", whole.slices)
    truth = np.where(scored_pixels(plan, whole, patches), labels, np.uint8(IGNORE))
    return confusion(truth, mapped, len(plan.taxonomy.names))


def _seams(plan: Plan, bar: Bar) -> SeamCount:
    """How often the crop changes across tile borders, against lines inside tiles."""
    mapped = Store(plan.root, crops.MAP)
    total = SeamCount()
    for tile in plan.tiles:
        window = plan.grid.window(tile)
        reach = Window(window.y, window.x, window.height + 1, window.width + 1).clipped(plan.grid.shape)
        total += count_changes(mapped.read("crop", reach.slices), window.height, window.width)
        bar.advance()
    return total


def _headline(scores: dict[str, Any]) -> str:
    season, single = scores["season"], scores["single_date"]
    text = (
        f"mIoU {season['mean_iou']:.3f}, pixel accuracy {season['pixel_accuracy']:.3f} on {scores['blocks']} held-out"
    )
    text += f" blocks ({scores['pixels']} pixels)"
    return text + (f"; on the single date {single['period']} mIoU {single['mean_iou']:.3f}" if single else "")
