"""Furrow's own ingest as a contestant: the verb itself, on a grid that is the scenes' own, with its workers running."""

import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from ingest_task import Clock, Task, untimed
from speed_scenes import EPSG, day

from catalogs.scenes import Scene, SceneList
from cluster.kept import kept
from pipelines.ingest import ingest
from pipelines.plan import Plan, make_plan
from pipelines.project import parse_project
from pipelines.scene_search import SCENES, describe_search, find_scenes

STAGE = "ingest"
"""The stage of the verb that reads, composes and writes; searching before it and reporting after it do not count."""

PROJECT = """
[region]
name = "benchmark"
boundary = "{out}/ground.json"
crs = "EPSG:{epsg}"
tile = {tile}

[season]
start = {start}
end = {end}

[imagery]
{source}
periods = {periods}
max_cloud = 100
resampling = "nearest"

[labels]
file = "none.gpkg"
country = "AT"

[store]
root = "{out}/root"

[compute]
workers = {cores}
"""


class Stopwatch:
    """A Progress that shows nothing and starts the clock when the stage begins."""

    def __init__(self, clock: Clock, timed_stage: str = STAGE) -> None:
        self.clock, self.timed_stage = clock, timed_stage

    def stage(self, name: str, total: int, unit: str, already: int = 0) -> AbstractContextManager[Any]:
        return self._running(self.clock if name == self.timed_stage else untimed)

    @contextmanager
    def _running(self, clock: Clock) -> Iterator["Stopwatch"]:
        with clock():
            yield self

    def advance(self, count: int = 1, note: str = "") -> None: ...

    def say(self, text: str) -> None: ...

    def result(self, values: dict[str, Any]) -> None: ...


def furrow_to_zarr(tasks: list[Task], warm_up: Callable[[Task], Task], clock: Clock) -> None:
    """All tasks by the same workers, which have read something else before."""
    with kept():
        for task, counts in [(warm_up(tasks[0]), untimed), *((task, clock) for task in tasks)]:
            _ingest(task, counts)


def _ingest(task: Task, clock: Clock) -> None:
    plan = furrow_plan(task)
    ingest(_remote(task, plan) if task.url else plan, Stopwatch(clock))


def furrow_plan(task: Task) -> Plan:
    return _plan(task, f'provider = "local"\ncatalog = "{task.folder}/{task.weather}.json"')


def _plan(task: Task, source: str) -> Plan:
    out = Path(task.out)
    out.mkdir(parents=True, exist_ok=True)
    crs = {"type": "name", "properties": {"name": f"urn:ogc:def:crs:EPSG::{EPSG}"}}
    ground = task.land.square().buffer(-1, join_style="mitre")  # else rounding could reach the next tile
    feature = {"type": "Feature", "properties": {}, "geometry": ground.__geo_interface__}
    (out / "ground.json").write_text(json.dumps({"type": "FeatureCollection", "crs": crs, "features": [feature]}))
    text = PROJECT.format(
        out=out, epsg=EPSG, tile=task.land.tile, cores=task.cores, source=source,
        start=day(0)[:-2] + "01", end=day(task.land.dates - 1)[:-2] + "28",
        periods=1 if task.composite else '"month"',
    )  # fmt: skip
    return make_plan(parse_project(text, out / "project.toml"))


def _remote(task: Task, plan: Plan) -> Plan:
    """The same scenes with links to the server, frozen in the root as a search would leave them."""
    found = find_scenes(plan, Stopwatch(untimed))
    shutil.rmtree(plan.root.url)
    remote = _plan(task, 'provider = "earth-search"\nhosts = ["127.0.0.1"]')
    scenes = SceneList(tuple(_served(scene, str(task.url)) for scene in found.scenes), ())
    remote.root.write(SCENES, scenes.encode(describe_search(remote)))
    return remote


def _served(scene: Scene, url: str) -> Scene:
    return replace(scene, hrefs={band: f"{url}/{href}" for band, href in scene.hrefs.items()})
