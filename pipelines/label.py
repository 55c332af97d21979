"""label: parcel declarations to the label store, one tile at a time, on the cube's grid."""

import hashlib
import time
from collections import Counter
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from shapely.geometry.base import BaseGeometry

from catalogs import crops
from catalogs.errors import BadInput
from catalogs.grid import Grid, Tile
from catalogs.parcels import any_parcel, read_parcels, source_info
from catalogs.rasterise import rasterise
from catalogs.region import outside_region
from catalogs.root import Root
from catalogs.stores import Store, spatial_coordinates, write_shard
from catalogs.taxonomy import BACKGROUND, IGNORE, ten_crops
from cluster.items import item_workers
from cluster.progress import Progress
from pipelines.download import local_copy
from pipelines.outcomes import Outcomes
from pipelines.plan import Plan
from pipelines.stored import units_of


@dataclass(frozen=True)
class Labelling:
    """Everything a worker needs to label any tile."""

    root: Root
    grid: Grid
    file: Path
    region: BaseGeometry
    outside: int
    """The class of ground in no parcel."""


def label(plan: Plan, progress: Progress) -> dict[str, Any]:
    """Fill the label store; tiles labelled before stay as they are."""
    file = local_copy(plan, progress)
    check_parcels(plan, file)
    store = Store(plan.root, crops.LABELS)
    store.begin(
        crops.label_layouts(plan.grid, ten_crops()),
        spatial_coordinates(plan.grid),
        describe_labels(plan, file),
        {"title": f"Declared crops of {plan.project.region.name}"},
    )
    missing = set(store.missing(units_of(plan, crops.LABELS)))
    todo = [tile for tile in plan.tiles if str(tile) in missing]
    job = Labelling(plan.root, plan.grid, file, plan.region, _outside(plan))
    outcomes = Outcomes(store)
    with progress.stage("label", len(plan.tiles), "tiles", already=len(plan.tiles) - len(todo)) as bar:
        if todo:
            with item_workers(plan.project.compute.address, plan.workers) as each:
                for tile, outcome in each(partial(label_tile, job), todo):
                    outcomes.add(str(tile), outcome)
                    bar.advance()
    outcomes.check()
    store.sweep()
    counts = parcel_counts(store, plan)
    progress.say("label: " + ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in counts.items() if count))
    return {"tiles": len(plan.tiles), "parcels_met": counts}


def label_tile(job: Labelling, tile: Tile) -> dict[str, Any]:
    """Read the parcels of a tile, burn them, write and commit."""
    began = time.monotonic()
    window = job.grid.window(tile)
    parcels = read_parcels(job.file, job.grid.bounds(window), job.grid.crs, ten_crops())
    crop, parcel = rasterise(parcels, job.grid, window, job.outside)
    abroad = outside_region(job.region, job.grid, window)
    crop[abroad], parcel[abroad] = IGNORE, 0  # other countries' fields are not declared here: nothing is known of them
    store = Store(job.root, crops.LABELS)
    digests = [
        write_shard(store.array("crop"), window.slices, crop),
        write_shard(store.array("parcel"), window.slices, parcel),
    ]
    record = {"parcels": dict(parcels.counts), "digests": digests}
    store.ledger.commit(str(tile), record | {"seconds": round(time.monotonic() - began, 3)})
    return record


def check_parcels(plan: Plan, file: Path) -> None:
    """Refuse a file that holds nothing for the region before a store is begun."""
    source = source_info(file)
    if not any_parcel(file, plan.region.bounds, plan.grid.crs):
        raise BadInput(
            f"parcel file {file}",
            f"has no parcel in the region (it holds {source.count} in {source.crs}, within "
            f"{', '.join(f'{edge:.0f}' for edge in source.bounds)}).",
            "Check [labels] file and the region.",
        )


def describe_labels(plan: Plan, file: Path) -> dict[str, Any]:
    with file.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    return {
        "store": "labels",
        "grid": plan.grid_description,
        "parcels": {"name": file.name, "sha256": digest},
        "taxonomy": ten_crops().identity,
        "outside": plan.project.labels.outside,
    }


def parcel_counts(store: Store, plan: Plan) -> Counter[str]:
    """What reading met, summed over tiles: a parcel on a border counts in each tile that it touches."""
    total: Counter[str] = Counter()
    for tile in plan.tiles:
        total.update(store.ledger.record(str(tile))["parcels"])
    return total


def _outside(plan: Plan) -> int:
    return {"background": BACKGROUND, "ignore": IGNORE}[plan.project.labels.outside]
