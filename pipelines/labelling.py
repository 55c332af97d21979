"""A tile labelled: what a worker does, in a file of its own so that it loads nothing else."""

import time
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from shapely.geometry.base import BaseGeometry

from catalogs import crops
from catalogs.burnt_parcels import tell
from catalogs.grid import Grid, Tile
from catalogs.parcels.table import Parcels, read_parcels
from catalogs.parcels.table_plan import check_latest
from catalogs.rasterise import Rule, rasterise
from catalogs.region_mask import outside_region
from catalogs.root import Root
from catalogs.stores import Store, write_shard
from catalogs.taxonomy import IGNORE


@dataclass(frozen=True)
class Labelling:
    """Everything a worker needs to label any tile."""

    root: Root
    grid: Grid
    region: BaseGeometry
    outside: int
    """The class of ground in no parcel."""
    rule: Rule
    table: str = ""
    """What the parcel table is planned from, in one word: as long as it is, this job's tiles count."""


def label_tile(job: Labelling, tile: Tile) -> dict[str, Any]:
    """Read the parcels of a tile, burn them, write and commit."""
    began = time.monotonic()
    window = job.grid.window(tile)
    bounds, parcels = job.grid.bounds(window), parcels_of(job, tile)
    crop, parcel = rasterise(parcels, job.grid, window, job.outside, job.rule)
    abroad = outside_region(job.region, job.grid, window)
    if abroad.any():
        crop[abroad], parcel[abroad] = IGNORE, 0  # other countries' fields are not declared here: none are known
    check_latest(job.root, job.table)
    store = Store(job.root, crops.LABELS)
    crops_here, parcels_here = store.arrays("crop", "parcel")
    digests = [write_shard(crops_here, window.slices, crop), write_shard(parcels_here, window.slices, parcel)]
    record = {"digests": digests, "made_of": made_of(parcels), **tell(parcels, parcel, bounds, job.grid.resolution)}
    store.ledger.commit(str(tile), record | {"seconds": round(time.monotonic() - began, 3)})
    return record


def parcels_of(job: Labelling, tile: Tile) -> Parcels:
    """Those whose box meets the tile."""
    return read_parcels(job.root, job.grid.bounds(job.grid.window(tile)), job.grid.crs)


def made_of(parcels: Parcels) -> str:
    """For the record of a tile: its parcels, whether they have a pixel there or not."""
    digest = sha256()
    for part in (parcels.ids.tobytes(), parcels.classes.tobytes(), *parcels.wkb):
        digest.update(part)
    return digest.hexdigest()[:16]


def made_of_now(job: Labelling, tile: Tile) -> str:
    """What a tile would be made of, as the parcels are now."""
    return made_of(parcels_of(job, tile))
