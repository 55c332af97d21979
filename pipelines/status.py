"""status: what of a run is done, failed or missing, read from its ledger and its files."""

import json
from datetime import timedelta
from math import ceil
from statistics import fmean
from typing import Any

from catalogs import crops, cube, patch_store
from catalogs.patch_store import patch_shards, read_index
from catalogs.stores import Store
from cluster.progress import Progress
from pipelines.money import money
from pipelines.pace import sampled_records, tile_seconds
from pipelines.plan import Plan
from pipelines.stored import ITEM, SCORES, Units, units_of


def status(plan: Plan, progress: Progress) -> dict[str, Any]:
    """Counts for each store, the checkpoints that exist, and whether the map is published."""
    stores = {name: _standing(Store(plan.root, name), units) for name, units in _units(plan).items()}
    for name, found in stores.items():
        progress.say(f"{name:<14}" + (_said(found) if found else "not begun"))
    mapped = stores[crops.MAP]
    pace = pace_of(plan, mapped) if mapped and mapped["done"] else None
    if pace:
        progress.say(f"{'pace':<14}{_pace_said(plan, pace)}")
    names = [key.split("/")[1] for key in plan.root.keys("checkpoints") if key.endswith("card.json")]
    progress.say(f"{'checkpoints':<14}" + (", ".join(names) or "none"))
    scores = json.loads(plan.root.read(SCORES)) if plan.root.exists(SCORES) else None
    if scores:
        season = scores["season"]
        progress.say(f"{'scores':<14}mIoU {season['mean_iou']:.3f}, pixel accuracy {season['pixel_accuracy']:.3f}")
    published = plan.root.exists(ITEM)
    progress.say(f"{'published':<14}" + (plan.root.path(ITEM) if published else "no"))
    return {"stores": stores, "checkpoints": names, "published": published, "pace": pace}


def pace_of(plan: Plan, found: dict[str, Any]) -> dict[str, float] | None:
    """How fast tiles were mapped, by their records, and what time and money that makes of those missing."""
    records = sampled_records(Store(plan.root, crops.MAP).ledger)
    each = fmean(map(tile_seconds, records))
    if not each:
        return None
    workers = max(record.get("workers", plan.workers) for record in records)
    tile_km2 = (plan.grid.side * plan.grid.resolution / 1000) ** 2
    worker_seconds = (found["planned"] - found["done"]) * each
    pace = {
        "workers": workers,
        "km2_per_second": workers * tile_km2 / each,
        "seconds_left": worker_seconds / workers,
    }
    prices = plan.project.prices
    if prices.are_given:
        gpus = max(record.get("gpus", 0) for record in records)
        pace["cost_left"] = worker_seconds / 3600 * (prices.worker_hour + gpus * prices.gpu_hour)
    return pace


def _units(plan: Plan) -> dict[str, Units]:
    patches = len(read_index(plan.root)) if plan.root.exists(patch_store.INDEX) else 0
    return {
        cube.NAME: units_of(plan, cube.NAME),
        crops.LABELS: units_of(plan, crops.LABELS),
        patch_store.NAME: [(name, tuple(objects)) for name, objects in patch_shards(patches)],
        crops.MAP: units_of(plan, crops.MAP),
    }


def _standing(store: Store, units: list[tuple[str, tuple[str, ...]]]) -> dict[str, Any] | None:
    if store.description() is None:
        return None
    failed = store.ledger.failed()
    missing = len(store.missing(units))
    reasons = {unit: store.ledger.reason(unit) for unit in sorted(failed)[:5]}
    return {"planned": len(units), "done": len(units) - missing, "failed": len(failed), "reasons": reasons}


def _pace_said(plan: Plan, pace: dict[str, float]) -> str:
    text = f"{pace['km2_per_second']:.3g} km2 per second on {pace['workers']} workers"
    left = timedelta(seconds=ceil(pace["seconds_left"]))
    cost = f", {money(pace['cost_left'], plan.project.prices.currency)}" if "cost_left" in pace else ""
    return f"{text}, {left}{cost} left" if left else text


def _said(found: dict[str, Any]) -> str:
    text = f"{found['done']} of {found['planned']} done"
    if found["failed"]:
        text += f", {found['failed']} failed: " + "; ".join(f"{u} ({r[:100]})" for u, r in found["reasons"].items())
    return text
