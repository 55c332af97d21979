"""A tile labelled: what a worker does, in a file of its own so that it loads nothing else."""

import time
from dataclasses import dataclass
from typing import Any

from shapely.geometry.base import BaseGeometry

from catalogs import crops
from catalogs.burnt_parcels import tell
from catalogs.grid import Grid, Tile
from catalogs.parcels.table import read_parcels
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
    crops_of, parcels_of = store.arrays("crop", "parcel")
    digests = [write_shard(crops_of, window.slices, crop), write_shard(parcels_of, window.slices, parcel)]
    record = {"digests": digests, **tell(parcels, parcel, bounds, job.grid.resolution)}
    store.ledger.commit(str(tile), record | {"seconds": round(time.monotonic() - began, 3)})
    return record
