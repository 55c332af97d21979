"""A few units of a run done beside it, to learn what the rest will take; nothing of them is kept."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from itertools import takewhile
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from catalogs import crops, cube
from catalogs.cube import CubeUnit
from catalogs.grid import Tile
from catalogs.root import Root
from catalogs.scenes import SceneList
from catalogs.stores import Store
from cluster.items import item_workers
from cluster.progress import Progress
from pipelines.compose import Composition, compose
from pipelines.ingest import compositions
from pipelines.leases import EDGE, cost
from pipelines.outcomes import result_of
from pipelines.pace import tile_seconds
from pipelines.plan import Plan

if TYPE_CHECKING:
    from models.network import NetworkSettings
    from pipelines.predicting import Mapping

Item = TypeVar("Item")

PLACE = "probe"
"""In the root, so that what is measured is the store that the run will write to."""

PATIENCE = 120.0
"""Seconds after which no more readings are begun."""


FAILED = "a probe failed, as the run would"


@dataclass(frozen=True)
class Sample:
    """What some units of a stage took: seconds of one worker, and the sizes by which they differ."""

    seconds: list[float]
    sizes: list[float]
    bytes_of_one: float
    """In the store."""


@contextmanager
def scratch(plan: Plan) -> Iterator[Root]:
    """A place for probes, empty at first and gone at the end."""
    plan.root.remove(PLACE)  # of a probe that was killed
    try:
        yield Root(plan.root.path(PLACE))
    finally:
        plan.root.remove(PLACE)


def _cube(plan: Plan, beside: Root) -> Store:
    store, layouts = Store(beside, cube.NAME), cube.cube_layouts(plan.grid, len(plan.periods), PLACE)
    store.begin(layouts, cube.cube_coordinates(plan.grid, plan.periods), {})
    return store


def size_of(scenes: int) -> int:
    """Of a tile period: scenes to read, and the composite to write."""
    return scenes + 1


def probe_ingest(plan: Plan, scenes: SceneList, beside: Root, count: int, progress: Progress) -> Sample:
    """Some compositions drawn by lot; the first of each worker warms it up and does not count."""
    store, drawn = _cube(plan, beside), _in_any_order(_drawn(plan, scenes, beside, count + plan.workers))
    seconds, sizes, began = [], [], time.monotonic()
    todo = takewhile(lambda _: time.monotonic() - began < PATIENCE, drawn)
    workers = item_workers(plan.project.compute.address, plan.workers)
    with progress.stage("probe", len(drawn), "readings") as bar, workers as each:
        for composition, outcome in each(compose, todo):
            bar.advance()
            records = [result_of(one, FAILED) for one in result_of(outcome, FAILED).values()]
            seconds.append(sum(float(record["seconds"]) for record in records))
            sizes.append(float(sum(size_of(len(portion.scenes)) for portion in composition.portions)))
    units = len(store.ledger.done())
    return _sample(seconds, sizes, plan.workers, stored_bytes(beside, cube.NAME, cube.ARRAYS) / units)


def probe_map(plan: Plan, beside: Root, left: int, count: int, progress: Progress) -> Sample:
    """Some tiles, with the project's checkpoint or, before there is one, with its network untrained: what they tell of
    those that are left.

    Whole tiles of the cube are used where there are any, and otherwise one period of some, which stands for all.
    """
    from models.architectures import settings_of  # here, because they bring torch with them
    from pipelines.map import mapping_of
    from pipelines.mapping import start_mapping
    from pipelines.network_actors import mapping_places, on_mapping_actors
    from pipelines.untrained import checkpoint_or_twin

    places = mapping_places(plan)
    probabilities = plan.project.map.probabilities
    Store(beside, crops.MAP).begin(
        crops.map_layouts(plan.grid, plan.taxonomy, probabilities),
        crops.map_coordinates(plan.grid, plan.taxonomy, probabilities),
        {},
    )
    tiles, ground = _tiles_to_map(plan, beside, count + places.actors)
    learned, card = checkpoint_or_twin(plan, beside)
    job = replace(mapping_of(plan, plan.project.checkpoint), root=beside, learned=learned, ground=ground)
    job = replace(job, probabilities=probabilities, places=places)
    share = _against_lone(plan, job, settings_of(card), left)
    seconds = []
    with progress.stage("probe", len(tiles), "tiles") as bar:
        for _, outcome in on_mapping_actors(plan, partial(start_mapping, job), [[tile] for tile in tiles], places):
            bar.advance()
            seconds.append(tile_seconds(result_of(outcome, FAILED)) * share)
    written = stored_bytes(beside, crops.MAP, crops.map_arrays(probabilities))
    return _sample(seconds, [1.0] * len(seconds), places.actors, written / len(tiles))


def _against_lone(plan: Plan, job: "Mapping", settings: "NetworkSettings", left: int) -> float:
    """What a tile takes in the run, of what one took that was seen alone, where tiles flow past a core together.

    Around a probe in a cube of its own there is mostly nothing to be decoded, and that is half of what an edge costs.
    """
    from pipelines.map import seen_together

    if not settings.flow or job.places.gpus:
        return 1.0
    of_run = plan.grid.side, job.halo_or(settings.halo), left / job.places.actors
    alone = cost((1, 1), *of_run, EDGE / 2 if job.cube_root == job.root else EDGE)
    return cost(seen_together(plan, settings, job.places, left), *of_run) / alone


def stored_bytes(root: Root, store: str, arrays: Sequence[str]) -> int:
    """Of the pixels alone."""
    return sum(root.size(f"{store}/{array}/c") for array in arrays)


def _sample(seconds: list[float], sizes: list[float], workers: int, bytes_of_one: float) -> Sample:
    warm = max(min(workers, len(seconds) - 2), 0)
    return Sample(seconds[warm:], sizes[warm:], bytes_of_one)


def _drawn(plan: Plan, scenes: SceneList, beside: Root, count: int) -> list[Composition]:
    """Some groups of tiles, each in one period."""
    periods, groups = len(plan.periods), plan.groups
    chosen = _some(range(periods * len(groups)), count)
    names = {CubeUnit(i % periods, tile).name for i in chosen for tile in groups[i // periods]}
    return [replace(one, root=beside) for one in compositions(plan, scenes, names)]


def _tiles_to_map(plan: Plan, beside: Root, count: int) -> tuple[list[Tile], Root]:
    """Tiles, and the root whose cube holds all their periods."""
    real = Store(plan.cube_root, cube.NAME)
    done = real.ledger.done()
    whole = [tile for tile in plan.tiles if all(name in done for name in _names(plan, tile))]
    if whole:
        return _some(whole, count), plan.cube_root
    store = _cube(plan, beside)
    source = plan.cube_root if done else beside
    done = done or store.ledger.done()
    seen = [tile for tile in plan.tiles if any(name in done for name in _names(plan, tile))]
    chosen = _some(seen, count)
    for tile in chosen:
        period = next(i for i, name in enumerate(_names(plan, tile)) if name in done)
        _repeat(plan, source, beside, CubeUnit(period, tile))
    return chosen, beside


def _names(plan: Plan, tile: Tile) -> list[str]:
    return [CubeUnit(period, tile).name for period in range(len(plan.periods))]


def _repeat(plan: Plan, source: Root, beside: Root, unit: CubeUnit) -> None:
    """Let a composite stand for all periods of its tile."""
    objects = [(key, source.read(f"{cube.NAME}/{key}")) for key in unit.objects(plan.grid)]
    for period in range(len(plan.periods)):
        for target, (_, data) in zip(CubeUnit(period, unit.tile).objects(plan.grid), objects, strict=True):
            beside.write(f"{cube.NAME}/{target}", data)


def _some(items: Sequence[Item], count: int) -> list[Item]:
    chosen = np.random.default_rng(0).choice(len(items), min(count, len(items)), replace=False)
    return [items[int(i)] for i in chosen]


def _in_any_order(items: Sequence[Item]) -> list[Item]:
    return _some(items, len(items))
