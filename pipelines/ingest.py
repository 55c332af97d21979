"""ingest: scenes of a STAC catalogue to the cube store, one period of a few tiles at a time."""

from collections.abc import Container, Iterator
from itertools import takewhile
from math import ceil
from typing import Any

from catalogs import cube
from catalogs.bands import BANDS
from catalogs.compositing import single_date
from catalogs.cube import CubeUnit
from catalogs.failures import NoAnswer
from catalogs.scenes import Scene, SceneList
from catalogs.stores import Store
from cluster.items import item_workers
from cluster.progress import Bar, Progress
from pipelines.compose import Composition, Portion, Recipe, compose
from pipelines.ingest_report import write_ingest_report
from pipelines.offset_check import check_offsets, offset_decisions
from pipelines.outcomes import Outcomes
from pipelines.plan import Plan
from pipelines.scene_search import access_of, find_scenes
from pipelines.stored import units_of


def ingest(plan: Plan, progress: Progress) -> dict[str, Any]:
    """Fill the cube; what was composed before stays as it is."""
    found = find_scenes(plan, progress)
    plan.check_memory(plan.ingest_bytes(found))
    scenes = check_offsets(plan, found, progress)
    store = Store(plan.root, cube.NAME)
    store.begin(
        cube.cube_layouts(plan.grid, len(plan.periods), COMPOSITES[plan.project.imagery.composite]),
        cube.cube_coordinates(plan.grid, plan.periods),
        describe_cube(plan, scenes),
        {"title": f"Sentinel-2 cube of {plan.project.region.name}"},
    )
    units = list(cube.cube_units(plan.tiles, plan.periods))
    missing = set(store.missing(units_of(plan, cube.NAME)))
    outcomes = Outcomes(store)
    with progress.stage("ingest", len(units), "tile periods", already=len(units) - len(missing)) as bar:
        if missing and not _compose_all(plan, compositions(plan, scenes, missing), outcomes, bar):
            progress.say("ingest: nobody answers any more; what is left was not tried")
    store.sweep()
    report = write_ingest_report(plan, scenes, progress, offset_decisions(plan, found))  # also of what is not whole
    for scene, where in report["unreadable"].items():
        progress.say(f"ingest: {scene} could not be read in {where} tile periods; the other scenes were used")
    outcomes.check()
    return {"scenes": len(scenes.scenes), "units": len(units), **report}


SILENCES = 8
"""Groups in a row without an answer from a server, after which no more are asked for: each takes a minute and more."""

COMPOSITES = {
    "median": "median of clear observations",
    "best": "clear observation of the least cloudy scene",
    "single-date": "least cloudy scene of each Sentinel tile",
}


def _compose_all(plan: Plan, todo: Iterator[Composition], outcomes: Outcomes, bar: Bar) -> bool:
    """Whether all were tried."""
    silent = 0
    answered = takewhile(lambda _: silent < SILENCES, todo)
    with item_workers(plan.project.compute.address, plan.workers) as each:
        for composition, outcome in each(compose, answered):
            results = _by_unit(composition, outcome)
            for name, result in results.items():
                outcomes.add(name, result)
            bar.advance(len(results))
            silent = silent + 1 if any(isinstance(result, NoAnswer) for result in results.values()) else 0
    return silent < SILENCES


def _by_unit(composition: Composition, outcome: Any) -> dict[str, Any]:
    """Of each unit; an exception is that of all."""
    if isinstance(outcome, Exception):
        return {portion.unit.name: outcome for portion in composition.portions}
    return dict(outcome)


def describe_cube(plan: Plan, scenes: SceneList) -> dict[str, Any]:
    """What the pixels of a cube follow from."""
    imagery = plan.project.imagery
    return {
        "store": "cube",
        "grid": plan.grid_description,
        "periods": [str(period) for period in plan.periods],
        "bands": list(BANDS),
        "scenes": scenes.identity,
        "composite": COMPOSITES[imagery.composite],
        "cloud_margin": imagery.cloud_margin,
        "cirrus": imagery.cirrus,
        "haze": imagery.haze,
        "resampling": imagery.resampling,
        "bad_scene": imagery.bad_scene,
    }


def recipe_of(plan: Plan) -> Recipe:
    imagery = plan.project.imagery
    return Recipe(
        composite=imagery.composite,
        resampling=imagery.resampling,
        cloud_margin=ceil(imagery.cloud_margin / plan.grid.resolution),
        cirrus=imagery.cirrus == "keep",
        haze=imagery.haze,
    )


def compositions(plan: Plan, scenes: SceneList, missing: Container[str]) -> Iterator[Composition]:
    """What is to be composed, made as workers ask for it: a country has more than a driver should hold."""
    strict = plan.project.imagery.bad_scene == "stop"
    recipe, access = recipe_of(plan), access_of(plan)
    by_period = [scenes.during(period) for period in plan.periods]
    if recipe.composite == "single-date":
        by_period = [SceneList(single_date(found.scenes, _area), ()) for found in by_period]
    for tiles in plan.groups:
        grounds = {tile: plan.ground_lonlat(tile) for tile in tiles}
        for period, found in enumerate(by_period):
            units = [unit for unit in (CubeUnit(period, tile) for tile in tiles) if unit.name in missing]
            portions = tuple(Portion(unit, found.within(grounds[unit.tile])) for unit in units)
            if portions:
                yield Composition(plan.root, plan.grid, access, recipe, portions, strict)


def _area(scene: Scene) -> float:
    return float(scene.ground.area)
