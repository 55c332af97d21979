"""map: cube and checkpoint to the crop map, one tile at a time, by actors pinned to GPUs or CPU cores."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from shapely.geometry.base import BaseGeometry

from catalogs import crops, cube
from catalogs.bands import BANDS
from catalogs.cube import read_cube
from catalogs.errors import BadInput
from catalogs.grid import Grid, Tile, Window
from catalogs.region_mask import outside_region
from catalogs.root import Root
from catalogs.stores import Store, spatial_coordinates, write_shard
from catalogs.taxonomy import IGNORE
from cluster.actors import Slots, each_on_actors
from cluster.progress import Progress
from cluster.session import ray_session
from models.architectures import settings_of
from models.card import Card
from models.exactness import be_exact
from models.predictor import Predictor, check_fits, load_predictor
from pipelines.checkpoints import read_checkpoint
from pipelines.devices import gpus_per_worker, workers_that_fit
from pipelines.outcomes import Outcomes
from pipelines.plan import Plan
from pipelines.stored import ITEM, check_whole, identity_of, units_of

ARRAYS = ("crop", "confidence")


@dataclass(frozen=True)
class Mapping:
    """Everything a worker needs to map any tile."""

    root: Root
    grid: Grid
    region: BaseGeometry
    checkpoint: str
    halo: int | None
    """Pixels; None for what the network asks for."""
    learned: Root | None = None
    """Where the checkpoint lies, if not in the root."""


def make_map(plan: Plan, progress: Progress) -> dict[str, Any]:
    """Map the tiles that are not mapped yet."""
    state, card = read_checkpoint(plan.checkpoint_root, plan.project.checkpoint)
    check_cube(plan, card)
    check_classes(plan, card)
    load_predictor(state, card)  # what does not fit together is told here, before a store is begun
    plan.check_memory(plan.bytes_to_map_with(settings_of(card)))
    store = Store(plan.root, crops.MAP)
    if store.description() is None:
        plan.root.remove(ITEM)  # what it describes is about to be made anew
    store.begin(
        crops.map_layouts(plan.grid, plan.taxonomy),
        spatial_coordinates(plan.grid),
        describe_map(plan, card),
        {"title": f"Crop map of {plan.project.region.name}", "Conventions": "CF-1.11"},
    )
    missing = set(store.missing(units_of(plan, crops.MAP)))
    todo = [tile for tile in plan.tiles if str(tile) in missing]
    outcomes = Outcomes(store)
    with progress.stage("map", len(plan.tiles), "tiles", already=len(plan.tiles) - len(todo)) as bar:
        if todo:
            with ray_session(plan.project.compute.address, plan.slots) as ray:
                gpus = gpus_per_worker(ray, plan)
                actors = workers_that_fit(ray, plan.workers, gpus, autoscales=bool(plan.project.compute.address))
                slots = Slots(actors, gpus=gpus, lease=_lease(len(todo), actors))
                job = replace(mapping_of(plan, plan.project.checkpoint), learned=plan.checkpoint_root)
                start = partial(start_mapping, job, on_gpu=gpus > 0)
                for tile, outcome in each_on_actors(ray, start, todo, slots):
                    outcomes.add(str(tile), outcome)
                    bar.advance()
    outcomes.check()
    store.sweep()
    return {"map": plan.root.path(crops.MAP), "tiles": len(plan.tiles), "weights_sha256": card.weights_sha256}


def mapping_of(plan: Plan, checkpoint: str) -> Mapping:
    halo = plan.project.map.halo
    return Mapping(plan.root, plan.grid, plan.region, checkpoint, halo if isinstance(halo, int) else None)


def start_mapping(job: Mapping, on_gpu: bool = False) -> Callable[[Tile], dict[str, Any]]:
    """Load the network once; the returned function maps, writes and commits one tile."""
    import torch

    be_exact()
    if on_gpu and not torch.cuda.is_available():
        raise RuntimeError("Ray gave this worker a GPU and PyTorch sees none: install PyTorch's CUDA build there")
    if not on_gpu:
        torch.set_num_threads(1)  # one thread an actor, one actor a core: faster and far steadier than sharing cores
    state, card = read_checkpoint(job.learned or job.root, job.checkpoint)
    predictor = load_predictor(state, card, "cuda" if on_gpu else "cpu")
    return partial(map_tile, job, predictor)


def map_tile(job: Mapping, predictor: Predictor, tile: Tile) -> dict[str, Any]:
    began = time.monotonic()
    pixels = predict_tile(job, predictor, tile)
    store = Store(job.root, crops.MAP)
    window = job.grid.window(tile)
    digests = [write_shard(store.array(name), window.slices, layer) for name, layer in zip(ARRAYS, pixels, strict=True)]
    counts = np.bincount(pixels[0].ravel(), minlength=256)
    record = {
        "digests": digests,
        "classes": {str(value): int(counts[value]) for value in np.flatnonzero(counts)},
        "weights_sha256": predictor.card.weights_sha256,
        "seconds": round(time.monotonic() - began, 3),
    }
    store.ledger.commit(str(tile), record)
    return record


def predict_tile(job: Mapping, predictor: Predictor, tile: Tile) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Crop and confidence of a tile; ground outside the region is no data.

    Each window is seen with its halo and only its core is kept: with statistics fixed at inference a pixel's class
    depends on its own surroundings alone, so there is nothing to blend and no seam to hide.
    """
    whole = job.grid.window(tile)
    halo = predictor.halo if job.halo is None else job.halo
    store = Store(job.root, cube.NAME)
    crop = np.full((whole.height, whole.width), IGNORE, np.uint8)
    confidence = crop.copy()
    outside = outside_region(job.region, job.grid, whole)
    for core in cores_of(whole, predictor.window):
        here = Window(core.y - whole.y, core.x - whole.x, core.height, core.width).slices
        if not outside[here].all():
            seen = predictor.predict(read_cube(store, core.grown(halo)))
            inner = slice(halo, halo + core.height), slice(halo, halo + core.width)
            crop[here], confidence[here] = (layer[inner] for layer in seen)
    crop[outside] = confidence[outside] = IGNORE
    return crop, confidence


def check_cube(plan: Plan, card: Card) -> None:
    """Refuse a cube that the network does not fit, or that has holes in place of tiles."""
    check_whole(plan, cube.NAME)
    check_fits(card, BANDS, plan.period_names)


def check_classes(plan: Plan, card: Card) -> None:
    """Refuse a network that speaks of other classes, or of the same in another order."""
    names = plan.taxonomy.names
    if tuple(card.classes[number] for number in range(len(card.classes))) != names:
        told = ", ".join(card.classes.values())
        why = f"its classes are {told[:200]}, and maps are made of {', '.join(names)}."
        raise BadInput(f"checkpoint {card.name}", why, "Give a checkpoint that was trained with these classes.")


def describe_map(plan: Plan, card: Card) -> dict[str, Any]:
    return {
        "store": "map",
        "grid": plan.grid_description,
        "cube": identity_of(plan.root, cube.NAME, "ingest"),
        "checkpoint": {"name": card.name, "weights_sha256": card.weights_sha256},
        "halo": plan.project.map.halo,
        "classes": plan.taxonomy.identity,
    }


def cores_of(whole: Window, side: int) -> Iterator[Window]:
    for y in range(whole.y, whole.y + whole.height, side):
        for x in range(whole.x, whole.x + whole.width, side):
            height = min(side, whole.y + whole.height - y)
            yield Window(y, x, height, min(side, whole.x + whole.width - x))


def _lease(tiles: int, workers: int) -> int:
    """Up to eight tiles at once, fewer where there are few, so that all actors end together."""
    return max(1, min(8, tiles // (4 * workers)))
