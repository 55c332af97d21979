"""verify: the map read again, to prove that its pixels, the ledger and the plan agree."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from catalogs import crops, cube
from catalogs.grid import Grid, Tile
from catalogs.root import Root
from catalogs.shards import digest_of
from catalogs.stores import Store
from catalogs.taxonomy import IGNORE
from cluster.items import item_workers
from cluster.progress import Progress
from pipelines.map_inputs import Sight, plan_word
from pipelines.outcomes import Unfinished
from pipelines.plan import Plan
from pipelines.stored import hide_map, missing, units_of

SHOWN = 5


@dataclass(frozen=True)
class Verifying:
    """What a worker needs to verify any tile."""

    root: Root
    grid: Grid
    plan: str
    """What the store was planned from, in one word."""
    probabilities: bool
    """Whether the map has the probability of each class."""
    weights: str
    """SHA-256 of those of the network."""
    with_cube: bool
    """Whether the cube is still there, to be asked what it is."""


def verify(plan: Plan, progress: Progress, repair: bool = False) -> dict[str, Any]:
    """Raise if anything disagrees; with `repair`, take the records of such tiles back: `map` then makes them anew."""
    store = Store(plan.root, crops.MAP)
    described = store.description()
    if described is None:
        raise missing(plan.root, crops.MAP, "map")
    store.check(described["grid"], plan.grid_description)
    cube_is_there = Store(plan.root, cube.NAME).description() is not None
    weights = described["checkpoint"]["weights_sha256"]
    job = Verifying(plan.root, plan.grid, plan_word(described), plan.project.map.probabilities, weights, cube_is_there)
    wrong, valid = dict(strangers(plan, store)), 0
    workers = item_workers(plan.project.compute.address, plan.workers)
    with progress.stage("verify", len(plan.tiles), "tiles") as bar, workers as each:
        for tile, found in each(partial(verify_tile, job), plan.tiles):
            if isinstance(found, int):
                valid += found
            else:
                wrong[str(tile)] = found if isinstance(found, str) else f"cannot be read ({found})"
            bar.advance()
    if repair and wrong:
        hide_map(plan)
        objects = dict(units_of(plan, crops.MAP))
        store.take_back((unit, objects.get(unit, ())) for unit in wrong)
    if wrong:
        raise Unfinished(told(wrong, len(plan.tiles), repair))
    hectares = valid * plan.grid.resolution**2 / 10_000
    progress.say(f"verify: {len(plan.tiles)} tiles, {hectares:.0f} ha: pixels, ledger and plan agree")
    return {"tiles": len(plan.tiles), "hectares": hectares, "plan": job.plan}


def verify_tile(job: Verifying, tile: Tile) -> int | str:
    """How many pixels have a crop, or what is wrong."""
    store, unit = Store(job.root, crops.MAP), str(tile)
    record = store.ledger.found(unit)
    if record is None:
        return "has no commit record"
    if record.get("plan") != job.plan:
        return "was made for a map that was planned differently"
    if not _is_current(job, tile, record):
        return "was made of other scenes or by another network than the map's are now"
    keys = crops.map_objects(job.grid, tile, job.probabilities)
    if record.get("objects") != [*keys]:
        return "has a commit record of other objects"
    for key, digest in zip(keys, record["digests"], strict=True):
        try:
            data = job.root.read(f"{crops.MAP}/{key}")
        except FileNotFoundError:
            return f"lacks {key}"
        if digest_of([data]) != digest:
            return f"has other bytes in {key} than were committed"
    return _of_pixels(job, store, tile, record)


def _is_current(job: Verifying, tile: Tile, record: dict[str, Any]) -> bool:
    made_of = record["made_of"]
    sight = Sight(job.grid, made_of["halo"], made_of["periods"])
    same_network = record["weights_sha256"] == job.weights
    return same_network and (not job.with_cube or sight.read(job.root, tile) == made_of)


def _of_pixels(job: Verifying, store: Store, tile: Tile, record: dict[str, Any]) -> int | str:
    """What a reader sees, against what was counted when the tile was made."""
    here = job.grid.window(tile).slices
    crop, confidence, observations = (store.read(name, here) for name in crops.MAP_ARRAYS)
    counts = np.bincount(crop.ravel(), minlength=256)
    if {str(value): int(counts[value]) for value in np.flatnonzero(counts)} != record["classes"]:
        return "has other crops than were counted"
    if ((crop == IGNORE) != (confidence == IGNORE)).any():
        return "has a crop without a confidence, or the other way round"
    if ((crop == IGNORE) != (observations == IGNORE)).any():
        return "has a crop without a number of observations, or the other way round"
    if job.probabilities and (store.read(crops.PROBABILITY, (slice(None), *here)).max(axis=0) != confidence).any():
        return "has another confidence than the highest of its probabilities"
    return int(crop.size - counts[IGNORE])


def strangers(plan: Plan, store: Store) -> Iterator[tuple[str, str]]:
    """Records and objects of tiles that the plan does not have."""
    planned = {str(tile) for tile in plan.tiles}
    for unit in sorted(store.ledger.done() - planned):
        yield unit, "is no tile of the plan, and has a commit record"
    objects = {f"{crops.MAP}/{key}" for _, keys in units_of(plan, crops.MAP) for key in keys}
    for name in crops.map_arrays(plan.project.map.probabilities):
        for key in store.root.keys(f"{crops.MAP}/{name}/c"):
            if key not in objects:
                yield key, "belongs to no tile of the plan"


def told(wrong: dict[str, str], tiles: int, repair: bool) -> str:
    some = "; ".join(f"{unit} {why}" for unit, why in sorted(wrong.items())[:SHOWN])
    more = f"; and {len(wrong) - SHOWN} more" if len(wrong) > SHOWN else ""
    after = ". Their records are taken back" if repair else ""
    return f"{crops.MAP}: {len(wrong)} of {tiles} tiles do not agree: {some}{more}{after}"
