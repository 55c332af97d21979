"""A cube that is ready to be mapped, and workers of `map` that are killed or paused at chosen points, once each."""

import io
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import torch

from catalogs import cube
from catalogs.bands import BANDS
from catalogs.crops import LABELS, MAP, label_layouts
from catalogs.crossings import tiles_of
from catalogs.ledger import Ledger
from catalogs.root import Root
from catalogs.scenes import SceneList
from catalogs.stores import Store, spatial_coordinates, write_shard
from catalogs.taxonomy import ten_crops
from cluster.progress import LineProgress, Progress
from models.card import Card
from models.checkpoint import encode
from models.normalisation import Normalisation
from models.swift import Swift, SwiftSettings
from pipelines import cli, mapping
from pipelines import map as verb
from pipelines.checkpoints import read_checkpoint
from pipelines.map import begin_map, make_map, mapping_into
from pipelines.mapping import Mapper, start_mapping
from pipelines.plan import Plan, make_plan
from pipelines.project import load_project
from pipelines.stored import units_of

HOUSE = Path(__file__).parents[1]
PLACES = os.pathsep.join([str(HOUSE / "tests"), str(HOUSE)])
"""Where processes that are started find the tests and what they test."""

PROJECT = """
[region]
name = "Nowhere"
bbox = [14.0, 48.0, 14.06, 48.05]
crs = "EPSG:3035"
tile = 128

[season]
start = 2021-04-01
end = 2021-07-31

[imagery]
provider = "local"
catalog = "catalog.json"
periods = 2

[labels]
source = "none"
country = "AT"

[model]
architecture = "swift"
settings = {{widths = [8, 16, 24], moments = 4}}

[store]
root = "{root}"

[compute]
workers = {workers}
"""


def write_cube(folder: Path, root: str, workers: int = 2, more: str = "") -> Path:
    """A project whose cube is noise over fields, with clouds; and a network that nobody trained. Gives its file."""
    path = folder / "project.toml"
    path.write_text(PROJECT.format(root=root, workers=workers) + more)
    plan = make_plan(load_project(path))
    write_pixels(plan)
    for name, data in checkpoint(plan).items():
        plan.root.write(f"checkpoints/season/{name}", data)
    return path


def write_pixels(plan: Plan) -> None:
    rng, grid = np.random.default_rng(4), plan.grid
    store = Store(plan.root, cube.NAME)
    layouts = cube.cube_layouts(grid, len(plan.periods), "made up")
    store.begin(layouts, spatial_coordinates(grid), {"store": "cube", "grid": plan.grid_description})
    coarse = rng.integers(200, 6000, (len(plan.periods), len(BANDS), grid.shape[0] // 8, grid.shape[1] // 8))
    pixels = coarse.repeat(8, axis=2).repeat(8, axis=3) + rng.integers(-150, 150, (*coarse.shape[:2], *grid.shape))
    pixels = pixels.clip(1, 15_000).astype(np.uint16)
    pixels[:, :, 60:90, 100:300] = 0  # clouds that hid the ground all season
    for unit in cube.cube_units(plan.tiles, plan.periods):
        y, x = grid.window(unit.tile).slices
        here = pixels[unit.period, :, y, x]
        digests = [
            write_shard(store.array("reflectance"), (unit.period, slice(None), y, x), here),
            write_shard(store.array("observations"), (unit.period, y, x), observed(here, 3 + unit.period)),
        ]
        store.ledger.commit(unit.name, {"digests": digests, "scenes": []})


def observed(pixels: np.ndarray, most: int) -> np.ndarray:
    """From 1 to `most` clear observations where there is ground to be seen."""
    return np.where(pixels[0] > 0, 1 + pixels[1] % most, 0).astype(np.uint8)


def checkpoint(plan: Plan) -> dict[str, bytes]:
    torch.manual_seed(5)
    settings = SwiftSettings(bands=len(BANDS), periods=len(plan.periods), widths=(8, 16, 24), moments=4)
    network = Swift(settings)
    for layer in network.modules():
        if isinstance(layer, torch.nn.BatchNorm2d):
            layer.running_mean.normal_(0, 0.2)
            layer.running_var.uniform_(0.5, 2)
    card = Card(
        name="season",
        architecture="swift",
        settings=settings.as_dict(),
        bands=BANDS,
        periods=plan.period_names,
        middles=plan.middles,
        period_index=tuple(range(len(plan.periods))),
        classes=dict(enumerate(ten_crops().names)),
        normalisation=Normalisation((2000.0,) * len(BANDS), (1500.0,) * len(BANDS)),
        training_identity="none",
    )
    return encode(network.state_dict(), card)


def write_labels(plan: Plan) -> None:
    """What `publish` asks for beside a map: labels, here of nothing, the scores and the scenes."""
    store = Store(plan.root, LABELS)
    layouts = label_layouts(plan.grid, plan.taxonomy)
    store.begin(layouts, spatial_coordinates(plan.grid), {"store": "labels", "grid": plan.grid_description})
    for tile in plan.tiles:
        where = plan.grid.window(tile).slices
        nothing = {name: np.full((plan.grid.side,) * 2, layout.fill, layout.dtype) for name, layout in layouts.items()}
        digests = [write_shard(store.array(name), where, block) for name, block in nothing.items()]
        store.ledger.commit(str(tile), {"digests": digests})
    scores = {"checkpoint": "season", "split": "test", "blocks": 0, "pixels": 0, "margin": 0, "unmapped_pixels": 0}
    plan.root.write("report/scores.json", json.dumps(scores | {"season": None, "single_date": None}).encode())
    plan.root.write("scenes.json", SceneList((), ()).encode({}))


def mapper_of(plan: Plan, progress: Progress | None = None) -> Mapper:
    """A worker of a map that is begun."""
    _, described = begin_map(plan, read_checkpoint(plan.root, "season")[1], progress or LineProgress(io.StringIO()))
    return start_mapping(mapping_into(plan, described))


def map_here(plan: Plan, progress: Progress | None = None) -> None:
    """What `map` does, without a cluster, tile by tile."""
    work, todo = mapper_of(plan, progress), Store(plan.root, MAP).to_do(units_of(plan, MAP))
    for tile in plan.tiles:
        if str(tile) in todo:
            work.alone(tile)


def bytes_of(root: Root) -> dict[str, bytes]:
    """Every object of the map by its key."""
    return {key: root.read(key) for key in root.keys(MAP)}


POINTS = ("reading", "computing", "before the record", "after the record", "after all")


KILLING = threading.Lock()
"""Of two threads of an actor that are to kill its raylet only one does."""


@dataclass(frozen=True)
class Disturbance:
    """What happens to whom when a tile, by its number in the plan, comes to a point for the first time."""

    point: str
    tile: int
    victim: str = "actor"
    """`actor` and `raylet` are killed where the tile is, `driver` by its process; of a private cluster `gcs`, which
    knows all of it, `head`, that and the raylet, or the whole `machine`, its workers too. `pause` stops the actor."""


@dataclass(frozen=True)
class Disturbing:
    """What a worker needs to be disturbed. Marks are files in a folder: what has happened, and does not again."""

    folder: str
    units: tuple[str, ...]
    disturbances: tuple[Disturbance, ...]
    pids: dict[str, int]

    def mark(self, disturbance: Disturbance, what: str = "happened") -> Path:
        name = f"{what}-{disturbance.victim}-{disturbance.point}-{disturbance.tile}".replace(" ", "_")
        return Path(self.folder) / name

    def at(self, point: str, unit: str) -> None:
        for disturbance in self.disturbances:
            if disturbance.point == point and self.units[disturbance.tile] == unit:
                self._disturb(disturbance)

    def _is_first(self, disturbance: Disturbance) -> bool:
        try:
            self.mark(disturbance).touch(exist_ok=False)
        except FileExistsError:
            return False
        return True

    def _disturb(self, disturbance: Disturbance) -> None:
        if disturbance.victim == "pause":
            if self._is_first(disturbance):
                self.mark(disturbance, "paused").write_text(str(os.getpid()))
                os.kill(os.getpid(), signal.SIGSTOP)
            return
        with KILLING:
            if self.mark(disturbance).exists():
                return
            victims = self._victims(disturbance.victim)
            if victims and not self._is_first(disturbance):
                return
            for victim in victims:
                os.kill(victim, signal.SIGKILL)
            while os.getppid() in victims:
                time.sleep(0.01)
        signal.pause()  # what was killed is not this process: it is not to win a tile by that

    def _victims(self, named: str) -> list[int]:
        """Numbers of processes; none for an actor whose raylet was killed before, and which has yet to notice: so what
        happens to it happens to whoever comes to that tile next."""
        if named in self.pids | {"actor": 0}:
            return [self.pids.get(named, os.getpid())]
        raylet = psutil.Process(os.getppid())
        if raylet.name() != "raylet":
            return []
        servers = [one.pid for one in raylet.parent().children() if one.name() == "gcs_server"]
        workers = [one.pid for one in raylet.children(recursive=True) if one.pid != os.getpid()]
        return {
            "raylet": [raylet.pid],
            "gcs": servers,
            "head": [*servers, raylet.pid],
            "machine": [*servers, raylet.pid, *workers, os.getpid()],
        }[named]

    def wake(self, unit: str) -> None:
        """Who has done a paused worker's tile wakes it, and waits until it has tried to commit what it had in hand."""
        for disturbance in self.disturbances:
            paused, late = self.mark(disturbance, "paused"), self.mark(disturbance, "late")
            if disturbance.victim == "pause" and self.units[disturbance.tile] == unit and paused.exists():
                if int(paused.read_text()) == os.getpid():
                    late.touch()
                    continue
                os.kill(int(paused.read_text()), signal.SIGCONT)
                wait_for(late)


def wait_for(path: Path) -> None:
    wait_until(path.exists, f"{path.name} did not come")


def wait_until(is_so: Callable[[], bool], otherwise: str, seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < end, otherwise
        time.sleep(0.02)


def start_disturbed(disturbing: Disturbing, job: Any, on_gpu: bool = False) -> Callable[[Any], list[Any]]:
    """The real worker, whose steps are called with disturbances before and after them."""
    predict, create = mapping.predict_ground, Ledger.create

    def predicting(job: Any, predictor: Any, window: Any, *more: Any) -> Any:
        units = [*map(str, tiles_of(job.grid, window))]
        for unit in units:
            disturbing.at("reading", unit)
        return predict(job, Disturbed(predictor, disturbing, units), window, *more)

    def committing(ledger: Ledger, unit: str, record: Any) -> bool:
        disturbing.at("before the record", unit)
        created = create(ledger, unit, record)
        disturbing.at("after the record", unit)
        return created

    mapping.predict_ground, Ledger.create = predicting, committing  # type: ignore[assignment, method-assign]
    return partial(disturbed, disturbing, start_mapping(job, on_gpu))


class Disturbed:
    """A predictor that looks at some tiles."""

    def __init__(self, predictor: Any, disturbing: Disturbing, units: list[str]) -> None:
        self._predictor, self._disturbing, self._units = predictor, disturbing, units

    def __getattr__(self, name: str) -> Any:
        return getattr(self._predictor, name)

    def predict(self, *given: Any) -> Any:
        for unit in self._units:
            self._disturbing.at("computing", unit)
        return self._predictor.predict(*given)


def disturbed(disturbing: Disturbing, mapper: Mapper, tiles: list[Any]) -> list[Any]:
    records = mapper(tiles)
    for tile in tiles:
        disturbing.at("after all", str(tile))
        disturbing.wake(str(tile))
    return records


def map_disturbed(project: Path, disturbances: tuple[Disturbance, ...], head: int = 0) -> Disturbing:
    """The verb, in this process."""
    plan = make_plan(load_project(project))
    units = tuple(map(str, plan.tiles))
    disturbing = Disturbing(str(project.parent), units, disturbances, {"driver": os.getpid(), "head": head})
    verb.start_mapping = partial(start_disturbed, disturbing)
    try:
        make_map(plan, LineProgress(sys.stderr))
    finally:
        verb.start_mapping = start_mapping
    return disturbing


def main() -> None:
    map_disturbed(Path(sys.argv[1]), tuple(Disturbance(*given) for given in json.loads(sys.argv[2])))


def command() -> None:
    """`furrow map PROJECT`, disturbed: further words are POINT/TILE/VICTIM."""
    project, *given = sys.argv[1:]
    named = [one.split("/") for one in given]
    disturbances = tuple(Disturbance(point, int(tile), victim) for point, tile, victim in named)
    units = tuple(map(str, make_plan(load_project(Path(project))).tiles))
    disturbing = Disturbing(str(Path(project).parent), units, disturbances, {})
    verb.start_mapping = partial(start_disturbed, disturbing)
    sys.argv = ["furrow", "map", project]
    cli.main()
