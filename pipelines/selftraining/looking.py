"""What an ensemble sees of a region: one tile at a time, all views at once, kept so that it is looked at only once."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from catalogs import cube
from catalogs.cube import read_cube
from catalogs.grid import Tile, Window
from catalogs.pseudo_stores import LOOKS, look_coordinates, look_layouts, look_objects, restored, stored
from catalogs.root import Root
from catalogs.stores import Store, write_shard
from cluster.progress import Progress
from models.consensus import Consensus, consensus
from models.ensemble import Ensemble, View, views_of
from models.field_votes import pieces_as_fields
from pipelines.network_actors import device_of, on_actors
from pipelines.outcomes import Outcomes
from pipelines.plan import Plan
from pipelines.predicting import cores_of
from pipelines.selftraining.ground import Ground
from pipelines.selftraining.stage import Stage
from pipelines.selftraining.teachers import Calibration, Teacher, load_ensemble
from pipelines.stored import Units

Values = NDArray[np.float64]

SAMPLED, SPARSE, CORNER = 400, 8, 256
"""Tiles that shares of classes are estimated from, every how many-th pixel, and of what square in each of them."""


@dataclass(frozen=True, eq=False)
class Looking:
    """Everything a worker needs to look at any tile."""

    root: Root
    """Of the stage."""
    cube_root: Root
    ground: Ground
    teachers: tuple[Teacher, ...]
    calibration: Calibration
    views: tuple[View, ...]
    target_K: Values
    """Shares of classes in the region."""


def looking_of(stage: Stage, ground: Ground, calibration: Calibration, target_K: Values) -> Looking:
    asked = stage.plan.project.selftrain
    views = views_of(asked.views, asked.shift)
    return Looking(stage.plan.root, stage.plan.cube_root, ground, stage.teachers, calibration, views, target_K)


def look(stage: Stage, job: Looking, description: dict[str, Any], progress: Progress) -> None:
    """Look at the tiles that have not been looked at yet."""
    plan, store = stage.plan, Store(stage.plan.root, LOOKS)
    title = {"title": f"What the teachers of stage {stage.name} see"}
    store.begin(look_layouts(plan.grid, plan.taxonomy), look_coordinates(plan.grid, plan.taxonomy), description, title)
    missing = set(store.missing(look_units(plan)))
    todo = [tile for tile in plan.tiles if str(tile) in missing]
    outcomes = Outcomes(store)
    with progress.stage("look", len(plan.tiles), "tiles", already=len(plan.tiles) - len(todo)) as bar:
        for tile, outcome in on_actors(plan, partial(start_looking, job), todo):
            outcomes.add(str(tile), outcome)
            bar.advance()
    outcomes.check()
    store.sweep()


def look_units(plan: Plan) -> Units:
    first = plan.grid.first
    return [(str(tile), look_objects(tile.row - first.row, tile.col - first.col)) for tile in plan.tiles]


def start_looking(job: Looking, on_gpu: bool = False) -> Callable[[Tile], dict[str, Any]]:
    ensemble = load_ensemble(job.teachers, job.calibration.temperatures, device_of(on_gpu))
    return partial(look_at_tile, job, ensemble)


def look_at_tile(job: Looking, ensemble: Ensemble, tile: Tile) -> dict[str, Any]:
    """Ground that is held out, or abroad, is not looked at: nothing that comes after can use it."""
    began = time.monotonic()
    whole = job.ground.grid.window(tile)
    barred = job.ground.outside(whole) | job.ground.is_held_out(whole)
    probability_KYX = np.zeros((len(job.target_K), whole.height, whole.width), np.uint16)
    agree_YX = np.zeros(barred.shape, np.uint8)
    for core, seen in windows_seen(job, ensemble, whole, barred):
        found = consensus(ensemble.looks(seen, job.views, job.calibration.source_K, job.target_K))
        here = core.seen_from(whole).slices
        probability_KYX[:, *here] = within(stored(found.mean_KYX), core, ensemble.halo)
        agree_YX[here] = within(found.agree_YX, core, ensemble.halo)
    probability_KYX[:, barred], agree_YX[barred] = 0, 0
    store = Store(job.root, LOOKS)
    arrays = store.arrays("probability", "agree")
    digests = [
        write_shard(arrays[0], (slice(None), *whole.slices), probability_KYX),
        write_shard(arrays[1], whole.slices, agree_YX),
    ]
    found = as_seen(probability_KYX, agree_YX)
    record = {
        "digests": digests,
        "seen": int(found.known_YX.sum()),
        "pieces": int(pieces_as_fields(found.crop_YX).max()),
        "seconds": round(time.monotonic() - began, 3),
    }
    store.ledger.commit(str(tile), record)
    return record


def as_seen(probability_KYX: NDArray[np.uint16], agree_YX: NDArray[np.uint8]) -> Consensus:
    known = np.asarray(probability_KYX.any(axis=0))
    return Consensus(restored(probability_KYX), (agree_YX > 0) & known, known)


def seen_in(root: Root, window: Window) -> Consensus:
    """What the ensemble saw, as it was kept."""
    probability, agree = Store(root, LOOKS).arrays("probability", "agree")
    return as_seen(np.asarray(probability[(slice(None), *window.slices)]), np.asarray(agree[window.slices]))


def windows_seen(
    job: Looking, ensemble: Ensemble, whole: Window, barred: NDArray[np.bool_]
) -> Iterator[tuple[Window, NDArray[np.uint16]]]:
    """Parts of a tile that are of use, each with the cube around it."""
    source = Store(job.cube_root, cube.NAME)
    for core in cores_of(whole, ensemble.window):
        if not barred[core.seen_from(whole).slices].all():
            yield core, read_cube(source, core.grown(ensemble.halo))


def within(x: NDArray[Any], core: Window, halo: int) -> NDArray[Any]:
    return x[..., halo : halo + core.height, halo : halo + core.width]


def start_sampling(job: Looking, on_gpu: bool = False) -> Callable[[Tile], Values]:
    ensemble = load_ensemble(job.teachers, job.calibration.temperatures, device_of(on_gpu))
    return partial(sample_tile, job, ensemble)


def sample_tile(job: Looking, ensemble: Ensemble, tile: Tile) -> Values:
    """Calibrated probabilities (pixel, class) of every few-th pixel of the square in the middle of a tile."""
    whole = job.ground.grid.window(tile)
    side = min(CORNER, job.ground.grid.side)
    start = (job.ground.grid.side - side) // 2 // ensemble.stride * ensemble.stride
    core = Window(whole.y + start, whole.x + start, side, side)
    seen = read_cube(Store(job.cube_root, cube.NAME), core.grown(ensemble.halo))
    p_KYX = within(ensemble.plain(seen), core, ensemble.halo)
    used = ~(job.ground.outside(core) | job.ground.is_held_out(core)) & (p_KYX.sum(axis=0) > 0)
    sparse = np.zeros_like(used)
    sparse[::SPARSE, ::SPARSE] = True
    return np.asarray(p_KYX[:, used & sparse].T)
