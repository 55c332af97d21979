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
from catalogs.renewal import changed_inputs
from catalogs.scenes import Scene, SceneList
from catalogs.stores import Store
from cluster.items import item_workers
from cluster.progress import Bar, Progress
from pipelines.compose import Composition, Portion, Recipe, compose
from pipelines.ingest_report import write_ingest_report
from pipelines.offset_check import check_offsets, offset_decisions
from pipelines.outcomes import Outcomes
from pipelines.plan import Plan
from pipelines.renewal import renew
from pipelines.scene_search import access_of, find_scenes
from pipelines.stored import units_of


def ingest(plan: Plan, progress: Progress, search_again: bool = False) -> dict[str, Any]:
    """Fill the cube; what was composed before of the same scenes stays as it is."""
    found = find_scenes(plan, progress, search_again)
    plan.check_memory(plan.ingest_bytes(found))
    scenes = check_offsets(plan, found, progress)
    store = Store(plan.root, cube.NAME)
    take_back_changed(plan, store, scenes, progress)
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


def take_back_changed(plan: Plan, store: Store, scenes: SceneList, progress: Progress) -> None:
    """Let what was composed of other scenes than the list now has there be composed anew."""
    described = describe_cube(plan, scenes)
    if not changed_inputs(store, described, INPUTS):
        return
    by_period, wanted = scenes_by_period(plan, scenes), dict[str, str]()
    for tile in plan.tiles:
        ground = plan.ground_lonlat(tile)
        wanted |= {CubeUnit(n, tile).name: made_of(found.within(ground)) for n, found in enumerate(by_period)}
    told = "tile periods", "scenes have changed"
    units = units_of(plan, cube.NAME)
    renew(store, described, units, lambda unit, record: record.get("made_of") == wanted[unit], progress, told)


INPUTS = ("scenes",)
"""What of a cube's description may change after it was begun."""

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
    by_period = scenes_by_period(plan, scenes)
    for tiles in plan.groups:
        grounds = {tile: plan.ground_lonlat(tile) for tile in tiles}
        for period, found in enumerate(by_period):
            units = [unit for unit in (CubeUnit(period, tile) for tile in tiles) if unit.name in missing]
            portions = tuple(portion(unit, found.within(grounds[unit.tile])) for unit in units)
            if portions:
                yield Composition(plan.root, plan.grid, access, recipe, portions, strict)


def scenes_by_period(plan: Plan, scenes: SceneList) -> list[SceneList]:
    """Those that each period is composed of."""
    by_period = [scenes.during(period) for period in plan.periods]
    if plan.project.imagery.composite == "single-date":
        by_period = [SceneList(single_date(found.scenes, _area), ()) for found in by_period]
    return by_period


def portion(unit: CubeUnit, scenes: tuple[Scene, ...]) -> Portion:
    return Portion(unit, scenes, made_of(scenes))


def made_of(scenes: tuple[Scene, ...]) -> str:
    """For the record of a unit: which scenes lie over it, whether they show something of it or not."""
    return SceneList(scenes, ()).identity


def _area(scene: Scene) -> float:
    return float(scene.ground.area)
