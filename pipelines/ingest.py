"""ingest: scenes of a STAC catalogue to the cube store, one period of one tile at a time."""

import time
from collections import Counter
from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from catalogs import cube
from catalogs.bands import BANDS, CLEAR_SCL
from catalogs.compositing import clear_pixels, median_composite
from catalogs.cube import CubeUnit
from catalogs.errors import BadInput
from catalogs.grid import Grid
from catalogs.reading import UnreadableScene, read_classes, read_counts, reflectance
from catalogs.root import Root
from catalogs.scenes import Scene, SceneList
from catalogs.stores import Store, write_shard
from cluster.progress import Progress
from cluster.tasks import dask_workers, each
from pipelines.outcomes import Outcomes
from pipelines.plan import Plan
from pipelines.scene_search import catalogue_folder, find_scenes
from pipelines.stored import units_of


@dataclass(frozen=True)
class Composition:
    """Everything a worker needs to compose one unit."""

    root: Root
    grid: Grid
    unit: CubeUnit
    scenes: tuple[Scene, ...]
    folder: Path | None
    """Where a static catalogue's relative links start."""
    strict: bool
    """Whether a scene that cannot be read ends the run."""


def ingest(plan: Plan, progress: Progress) -> dict[str, Any]:
    """Fill the cube; what was composed before stays as it is."""
    scenes = find_scenes(plan, progress)
    plan.check_memory(plan.ingest_bytes(scenes))
    store = Store(plan.root, cube.NAME)
    store.begin(
        cube.cube_layouts(plan.grid, len(plan.periods)),
        cube.cube_coordinates(plan.grid, plan.periods),
        describe_cube(plan, scenes),
        {"title": f"Sentinel-2 cube of {plan.project.region.name}"},
    )
    units = list(cube.cube_units(plan.tiles, plan.periods))
    missing = set(store.missing(units_of(plan, cube.NAME)))
    outcomes = Outcomes(store)
    with progress.stage("ingest", len(units), "tile periods", already=len(units) - len(missing)) as bar:
        if missing:
            with dask_workers(plan.workers) as workers:
                for composition, outcome in each(workers, compose, compositions(plan, scenes, missing)):
                    outcomes.add(composition.unit.name, outcome)
                    bar.advance()
    outcomes.check()
    store.sweep()
    lost = unreadable_scenes(store, units)
    for scene, where in sorted(lost.items()):
        progress.say(f"ingest: {scene} could not be read in {where} tile periods; the other scenes were used")
    return {"scenes": len(scenes.scenes), "unreadable": dict(lost), "units": len(units)}


def describe_cube(plan: Plan, scenes: SceneList) -> dict[str, Any]:
    return {
        "store": "cube",
        "grid": plan.grid_description,
        "periods": [str(period) for period in plan.periods],
        "bands": list(BANDS),
        "scenes": scenes.identity,
        "composite": "median of clear observations",
    }


def compose(composition: Composition) -> dict[str, Any]:
    """Compose, write and commit one unit. A scene that cannot be read is left out here and named in the record."""
    began = time.monotonic()
    planes, clear, used, hidden, lost = [], [], [], [], []
    grid, unit = composition.grid, composition.unit
    window = grid.window(unit.tile)
    for scene in composition.scenes:
        try:
            classes = read_classes(scene, composition.folder, grid, window)
            if not np.isin(classes, CLEAR_SCL).any():  # nothing of it would be used
                hidden.append(scene.id)
                continue
            counts = read_counts(scene, composition.folder, grid, window)
        except UnreadableScene as error:
            if composition.strict:
                raise _stopped_by(scene, error) from error
            lost.append({"scene": scene.id, "reason": str(error)})
            continue
        used.append(scene.id)
        planes.append(reflectance(counts, scene.offset))
        clear.append(clear_pixels(planes[-1], classes))
    store = Store(composition.root, cube.NAME)
    digests, observed = _write(store, unit, grid, planes, clear)
    record = {"scenes": used, "hidden": hidden, "unreadable": lost, "digests": digests, "observed": observed}
    store.ledger.commit(unit.name, record | {"seconds": round(time.monotonic() - began, 3)})
    return record


def unreadable_scenes(store: Store, units: Sequence[CubeUnit]) -> Counter[str]:
    """Scene -> in how many units it was lost."""
    return Counter(lost["scene"] for unit in units for lost in store.ledger.record(unit.name)["unreadable"])


def compositions(plan: Plan, scenes: SceneList, missing: Container[str]) -> Iterator[Composition]:
    """What is to be composed, made as workers ask for it: a country has more than a driver should hold."""
    strict = plan.project.imagery.bad_scene == "stop"
    by_period = [scenes.during(period) for period in plan.periods]
    folder = catalogue_folder(plan)
    for tile in plan.tiles:
        ground = plan.ground_lonlat(tile)
        for unit in cube.cube_units([tile], plan.periods):
            if unit.name in missing:
                seen = by_period[unit.period].within(ground)
                yield Composition(plan.root, plan.grid, unit, seen, folder, strict)


def _stopped_by(scene: Scene, error: UnreadableScene) -> BadInput:
    return BadInput(
        f"scene {scene.id}",
        f"cannot be read ({error}).",
        'Mend or remove it, or write bad_scene = "skip" in [imagery].',
    )


def _write(store: Store, unit: CubeUnit, grid: Grid, planes: list[Any], clear: list[Any]) -> tuple[list[str], float]:
    side = grid.side
    if planes:
        picture, count = median_composite(planes, clear)
    else:
        picture, count = np.zeros((len(BANDS), side, side), np.uint16), np.zeros((side, side), np.uint8)
    y, x = grid.window(unit.tile).slices
    digests = [
        write_shard(store.array("reflectance"), (unit.period, slice(None), y, x), picture),
        write_shard(store.array("observations"), (unit.period, y, x), count),
    ]
    return digests, round(float((count > 0).mean()), 4)
