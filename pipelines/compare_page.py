"""The table of a comparison, as JSON and as a page: what each model costs and reaches, with intervals over blocks."""

import json
from collections.abc import Callable, Mapping, Sequence
from statistics import median
from typing import Any

import numpy as np

from models.card import Card
from models.intervals import intervals, paired_differences
from models.metrics import Confusion, score
from models.network import parameter_count
from models.predictor import NetworkPredictor, load_predictor
from pipelines.checkpoints import read_checkpoint
from pipelines.pages import template_shelf
from pipelines.plan import Plan
from pipelines.training_metrics import METRICS

TABLE = "compare/table.json"
PAGE = "compare/index.html"
VERSION = 1

SHOWN = ("mean_iou", "pixel_accuracy", "mean_class_accuracy")

Tiles = Sequence[Mapping[str, Any]]


def write_comparison(plan: Plan, scored: Mapping[str, Tiles], checkpoint_of: Callable[[str], str]) -> dict[str, Any]:
    """From the counts of all models, best first."""
    blocks = {name: blocks_of(tiles) for name, tiles in scored.items()}
    rows = [row_of(plan, name, checkpoint_of(name), scored[name], blocks[name]) for name in scored]
    rows.sort(key=lambda row: -row["mean_iou"]["value"])
    best = rows[0]["name"]
    for row in rows:
        against = paired_differences(list(blocks[row["name"]].values()), list(blocks[best].values()))
        row["behind_best"] = against["mean_iou"].as_dict()
    content = {
        "version": VERSION,
        "region": plan.project.region.name,
        "blocks": len(blocks[best]),
        "pixels": rows[0]["pixels"],
        "epochs": plan.project.training.epochs,
        "seed": plan.project.training.seed,
        "classes": list(plan.taxonomy.names),
        "models": rows,
    }
    plan.root.write(PAGE, render_page(plan, content))
    plan.root.write(TABLE, (json.dumps(content, indent=1, ensure_ascii=False) + "\n").encode())
    return content | {"lines": [line_of(row, content["blocks"]) for row in rows]}


def blocks_of(tiles: Tiles) -> dict[str, Confusion]:
    """Counts of each block, by name; a block may lie on several tiles."""
    found: dict[str, Confusion] = {}
    for tile in tiles:
        for name, (matrix, unmapped) in tile["blocks"].items():
            one = Confusion(np.array(matrix, np.int64), np.array(unmapped, np.int64))
            found[name] = found[name] + one if name in found else one
    return dict(sorted(found.items()))


def row_of(plan: Plan, name: str, checkpoint: str, tiles: Tiles, blocks: Mapping[str, Confusion]) -> dict[str, Any]:
    state, card = read_checkpoint(plan.root, checkpoint)
    predictor = load_predictor(state, card)
    total = sum(blocks.values(), Confusion.empty(len(plan.taxonomy.names)))
    found = score(total).as_dict(plan.taxonomy.names)
    between = intervals(list(blocks.values()))
    return {
        "name": name,
        "architecture": card.architecture,
        "sees": len(card.period_index),
        "parameters": parameter_count(predictor.network) if isinstance(predictor, NetworkPredictor) else None,
        "numbers": int(sum(tensor.numel() for tensor in state.values())),
        "training_seconds": round(training_seconds(plan, card), 1),
        "mpx_per_second": sum(tile["pixels"] for tile in tiles)
        / 1e6
        / max(sum(tile["seconds"] for tile in tiles), 1e-9),
        "pixels": found["pixels"],
        "validation_miou": card.scores["validation_miou"],
        **{key: between[key].as_dict() for key in SHOWN},
        "kappa": found["kappa"],
        "classes": {label: row["iou"] for label, row in found["classes"].items()},
        "weights_sha256": card.weights_sha256,
    }


def line_of(row: Mapping[str, Any], blocks: int) -> str:
    found = row["mean_iou"]
    span = f" ({found['low']:.3f} to {found['high']:.3f})" if found["low"] is not None else ""
    speed = f"{row['mpx_per_second']:.2f} Mpx/s a worker"
    return f"{row['name']}: mIoU {found['value']:.3f}{span} over {blocks} blocks, {speed}"


def render_page(plan: Plan, content: Mapping[str, Any]) -> bytes:
    titles = dict(zip(plan.taxonomy.names, plan.taxonomy.titles, strict=True))
    colours = dict(zip(plan.taxonomy.names, plan.taxonomy.colours, strict=True))
    page = (
        template_shelf()
        .get_template("compare_report.html")
        .render(
            content,
            titles=titles,
            colours=colours,
            device="GPU" if _on_gpu(plan) else "core",
            made_up=plan.root.exists("catalog/catalog.json"),
        )
    )
    return page.encode()


def _on_gpu(plan: Plan) -> bool:
    return plan.project.compute.gpus_per_worker not in ("auto", 0, 0.0)


def training_seconds(plan: Plan, card: Card) -> float:
    """Of learning alone, without starting workers and without validation; a stop in between does not count."""
    if "seconds" in card.training:
        return float(card.training["seconds"])
    lines = plan.root.read(f"training/{card.name}/{METRICS}").splitlines()
    speeds = [found for line in lines if (found := json.loads(line).get("patches_per_second"))]
    return float(len(card.training["history"]) * card.training["patches"] / median(speeds))
