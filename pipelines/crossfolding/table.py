"""The table of a cross-fitting, as JSON, as a page and as lines: each score with the parcels and pixels of it."""

import json
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.intervals import Interval, intervals
from models.metrics import Confusion, score
from models.parcel_scores import ParcelVotes, parcel_confusion
from pipelines.crossfolding.ground import Ground
from pipelines.crossfolding.windows import FOLDER
from pipelines.pages import template_shelf
from pipelines.plan import Plan

TABLE = f"{FOLDER}/table.json"
PAGE = f"{FOLDER}/index.html"
VERSION = 1

SHOWN = ("mean_iou", "pixel_accuracy", "mean_class_accuracy")

Records = Sequence[Mapping[str, Any]]
"""Of the folds of one model."""


def write_table(plan: Plan, ground: Ground, scored: Mapping[str, Records]) -> dict[str, Any]:
    """From what all models answered in all folds, best first."""
    rows = sorted((row_of(plan, ground, *one) for one in scored.items()), key=lambda row: -row["mean_iou"]["value"])
    asked, names = plan.project.crossfold, plan.taxonomy.names
    content = {
        "version": VERSION,
        "region": plan.project.region.name,
        "parcels": int(ground.scored_P.sum()),
        "pixels": int(ground.pixels_P[ground.scored_P].sum()),
        "folds": len(ground.folds) - 1,
        "margin": asked.margin,
        "seed": asked.seed,
        "classes": classes_of(plan, ground),
        "never_left_out": [names[number] for number in ground.only_ones],
        "commonest": commonest(plan, ground),
        "models": rows,
    }
    plan.root.write(PAGE, render_page(plan, content))
    plan.root.write(TABLE, (json.dumps(content, indent=1, ensure_ascii=False) + "\n").encode())
    return content


def row_of(plan: Plan, ground: Ground, name: str, records: Records) -> dict[str, Any]:
    votes = votes_of(ground, records)
    each = parcel_counts(votes)
    total = sum(each, Confusion.empty(len(plan.taxonomy.names)))
    found, between = score(total).as_dict(plan.taxonomy.names), intervals(each)
    of_scored = intervals(each, scorer=partial(scored_iou, np.unique(ground.class_P[ground.scored_P])))
    by_parcel = intervals([parcel_confusion(one) for one in split_parcels(votes)])["pixel_accuracy"]
    right = int(np.diag(parcel_confusion(votes).matrix).sum())
    return {
        "name": name,
        "sees": records[0]["sees"],
        "parameters": records[0]["parameters"],
        "numbers": records[-1]["numbers"],
        "parcels": len(each),
        "pixels": found["pixels"],
        "unmapped_pixels": int(total.unmapped.sum()),
        **{key: _plain(between[key]) for key in SHOWN},
        "scored_iou": _plain(of_scored["scored_iou"]),
        "by_parcel": _plain(by_parcel),
        "parcels_right": right,
        "kappa": found["kappa"],
        "classes": {key: found["classes"][key] for key in classes_of(plan, ground)},
        "confusion": total.matrix.tolist(),
        "not_learned": not_learned(plan, ground, records),
        "seconds": round(sum(record["seconds"] for record in records), 1),
    }


def scored_iou(classes: NDArray[np.int64], counted: Confusion) -> dict[str, float]:
    """The mean over classes with a scored parcel: of one that is never left out, the first pixel found by mistake takes
    the other mean down by a whole class."""
    known = score(counted).iou[classes]
    known = known[~np.isnan(known)]
    return {"scored_iou": float(known.mean()) if known.size else float("nan")}


def votes_of(ground: Ground, records: Records) -> ParcelVotes:
    """A row for each scored parcel, of whatever fold: all its pixels vote, for the smallest have no others."""
    rows = {int(parcel): row for record in records for parcel, row in record["parcels"].items()}
    here = ground.scored_P
    votes_PK = np.array([rows[int(parcel)] for parcel in ground.parcel_P[here]], np.int64)
    return ParcelVotes(ground.parcel_P[here], ground.class_P[here], ground.pixels_P[here], votes_PK[:, :-1])


def split_parcels(votes: ParcelVotes) -> list[ParcelVotes]:
    rows = [slice(place, place + 1) for place in range(len(votes.parcel_P))]
    return [ParcelVotes(*(getattr(votes, name)[row] for name in ParcelVotes.__dataclass_fields__)) for row in rows]


def parcel_counts(votes: ParcelVotes) -> list[Confusion]:
    """Pixels of each parcel; what its votes lack of its pixels was not mapped."""
    found = []
    for truth, pixels, row in zip(votes.truth_P, votes.pixels_P, votes.votes_PK, strict=True):
        one = Confusion.empty(len(row))
        one.matrix[truth], one.unmapped[truth] = row, pixels - row.sum()
        found.append(one)
    return found


def classes_of(plan: Plan, ground: Ground) -> dict[str, dict[str, int]]:
    """Classes that have a parcel: how many, and how many of them are scored."""
    return {
        plan.taxonomy.names[crop]: {
            "parcels": int((ground.class_P == crop).sum()),
            "scored": int((ground.scored_P & (ground.class_P == crop)).sum()),
            "pixels": int(ground.pixels_P[ground.class_P == crop].sum()),
        }
        for crop in np.unique(ground.class_P).tolist()
    }


def commonest(plan: Plan, ground: Ground) -> dict[str, Any]:
    """What naming one class everywhere would reach: the class with most of the scored pixels."""
    here = ground.scored_P
    pixels_K = np.bincount(ground.class_P[here], ground.pixels_P[here])
    crop = int(pixels_K.argmax())
    return {
        "class": plan.taxonomy.names[crop],
        "pixel_accuracy": float(pixels_K[crop] / pixels_K.sum()),
        "parcels_right": int((ground.class_P[here] == crop).sum()),
    }


def not_learned(plan: Plan, ground: Ground, records: Records) -> list[list[str]]:
    """Folds that leave a class without a label: the margin took what was left of it."""
    there = np.unique(ground.class_P).tolist()
    lost = [(fold.name, crop) for fold, record in zip(ground.folds, records, strict=False)
            for crop in there if crop not in record["learned"]]  # fmt: skip
    return [[fold, plan.taxonomy.names[crop]] for fold, crop in lost]


def line_of(row: Mapping[str, Any], classes: Mapping[str, Mapping[str, int]]) -> str:
    """One line that can be quoted alone."""
    shown = [
        ("mIoU", "mean_iou"),
        ("of scored classes alone", "scored_iou"),
        ("pixel accuracy", "pixel_accuracy"),
        ("mean class accuracy", "mean_class_accuracy"),
    ]
    scores = ", ".join(f"{title} {_said(row[key])}" for title, key in shown)
    each = ", ".join(
        f"{name} {row['classes'][name]['iou']:.3f} of {there['scored']}"
        for name, there in classes.items()
        if there["scored"] and row["classes"][name]["iou"] is not None
    )
    size = f"{row['parcels']} parcels, {row['pixels']} pixels"
    made_of = f"{row['parameters']:,} parameters" if row["parameters"] else f"{row['numbers']:,} numbers in its trees"
    return (
        f"{row['name']} ({made_of}): {scores}; IoU by class and parcels {each}; "
        f"{row['parcels_right']} parcels right; on {size}"
    )


def render_page(plan: Plan, content: Mapping[str, Any]) -> bytes:
    titles = dict(zip(plan.taxonomy.names, plan.taxonomy.titles, strict=True))
    colours = dict(zip(plan.taxonomy.names, plan.taxonomy.colours, strict=True))
    made_up = plan.root.exists("catalog/catalog.json")
    page = template_shelf().get_template("crossfold_report.html")
    return page.render(content, titles=titles, colours=colours, made_up=made_up).encode()


def _plain(found: Interval) -> dict[str, Any]:
    return {key: value for key, value in found.as_dict().items() if key != "blocks"}


def _said(found: Mapping[str, float | None]) -> str:
    span = f" ({found['low']:.3f} to {found['high']:.3f})" if found["low"] is not None else ""
    return f"{found['value']:.3f}{span}"
