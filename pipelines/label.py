"""label: the parcel table to the label store, one tile at a time, on the cube's grid."""

import time
from dataclasses import dataclass
from functools import partial
from typing import Any

from shapely.geometry.base import BaseGeometry

from catalogs import crops
from catalogs.burnt_parcels import tell
from catalogs.grid import Grid, Tile
from catalogs.parcels.table import read_parcels
from catalogs.rasterise import Rule, rasterise
from catalogs.region import outside_region
from catalogs.root import Root
from catalogs.stores import Store, spatial_coordinates, write_shard
from catalogs.taxonomy import BACKGROUND, IGNORE
from cluster.items import item_workers
from cluster.progress import Progress
from pipelines.harmonise import harmonise
from pipelines.label_plan import describe_labels, rule_of
from pipelines.outcomes import Outcomes
from pipelines.plan import Plan
from pipelines.stored import units_of


@dataclass(frozen=True)
class Labelling:
    """Everything a worker needs to label any tile."""

    root: Root
    grid: Grid
    region: BaseGeometry
    outside: int
    """The class of ground in no parcel."""
    rule: Rule


def label(plan: Plan, progress: Progress) -> dict[str, Any]:
    """Harmonise, audit, burn, audit again; parts and tiles that were made before stay as they are."""
    from pipelines.audit import audit_labels, audit_parcels, check_fit

    records = harmonise(plan, progress)
    check_fit(plan, audit_parcels(plan, records, progress))
    burn(plan, progress)
    return {"tiles": len(plan.tiles), **audit_labels(plan, progress)}


def burn(plan: Plan, progress: Progress) -> None:
    """Fill the label store from the parcel table."""
    store = Store(plan.root, crops.LABELS)
    store.begin(
        crops.label_layouts(plan.grid, plan.taxonomy),
        spatial_coordinates(plan.grid),
        describe_labels(plan),
        {"title": f"Declared crops of {plan.project.region.name}"},
    )
    missing = set(store.missing(units_of(plan, crops.LABELS)))
    todo = [tile for tile in plan.tiles if str(tile) in missing]
    job = Labelling(plan.root, plan.grid, plan.region, _outside(plan), rule_of(plan))
    outcomes = Outcomes(store)
    with progress.stage("label", len(plan.tiles), "tiles", already=len(plan.tiles) - len(todo)) as bar:
        if todo:
            with item_workers(plan.project.compute.address, plan.workers) as each:
                for tile, outcome in each(partial(label_tile, job), todo):
                    outcomes.add(str(tile), outcome)
                    bar.advance()
    outcomes.check()
    store.sweep()


def label_tile(job: Labelling, tile: Tile) -> dict[str, Any]:
    """Read the parcels of a tile, burn them, write and commit."""
    began = time.monotonic()
    window = job.grid.window(tile)
    bounds = job.grid.bounds(window)
    parcels = read_parcels(job.root, bounds, job.grid.crs)
    crop, parcel = rasterise(parcels, job.grid, window, job.outside, job.rule)
    abroad = outside_region(job.region, job.grid, window)
    if abroad.any():
        crop[abroad], parcel[abroad] = IGNORE, 0  # other countries' fields are not declared here: none are known
    store = Store(job.root, crops.LABELS)
    arrays = store.arrays("crop", "parcel")
    digests = [write_shard(array, window.slices, layer) for array, layer in zip(arrays, (crop, parcel), strict=True)]
    record = {"digests": digests, **tell(parcels, parcel, bounds, job.grid.resolution)}
    store.ledger.commit(str(tile), record | {"seconds": round(time.monotonic() - began, 3)})
    return record


def _outside(plan: Plan) -> int:
    return {"background": BACKGROUND, "ignore": IGNORE}[plan.project.labels.outside]
