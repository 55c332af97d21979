"""One contestant of the labels benchmark in a process of its own, which is given: NAME CORES OUT FOLDER ...

Each folder holds parcels as labels_land.py writes them. Every contestant tells a digest of its whole raster of parcels.
"""

import hashlib
import json
import mmap
import os
import shutil
import sys
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import shapely
import zarr
from ingest_furrow import Stopwatch
from ingest_task import Clock, tell, timed, untimed
from labels_land import CRS, Land
from numpy.typing import NDArray

from catalogs import crops
from catalogs.grid import Grid, Window
from catalogs.parcels.table import Parcels
from catalogs.parcels.table_plan import TABLE_PLAN
from catalogs.rasterise import rasterise
from cluster.kept import kept
from pipelines.label import burn
from pipelines.plan import Plan, make_plan
from pipelines.project import parse_project

PROJECT = """
[region]
name = "benchmark"
boundary = "{out}/ground.json"
crs = "EPSG:3035"
tile = {tile}

[season]
start = 2021-03-01
end = 2021-10-31

[imagery]
provider = "local"
catalog = "none.json"

[labels]
file = "none.gpkg"
country = "AT"

[store]
root = "{out}/root"

[compute]
workers = {cores}
"""


@dataclass(frozen=True)
class Task:
    folder: Path
    land: Land
    out: Path
    cores: int


def main() -> None:
    warnings.simplefilter("ignore")
    name, cores, out, *folders = sys.argv[1:]
    tasks = [Task(Path(folder), _land(folder), Path(out), int(cores)) for folder in folders]
    with kept():
        for number, task in enumerate(tasks):  # the first is small, and only warms up
            CONTESTANTS[name](task, timed if number else untimed)


def _land(folder: str) -> Land:
    parcels, side = Path(folder).name.split("-on-")
    return Land(int(parcels), int(side))


def furrow(task: Task, clock: Clock) -> None:
    """The verb's own stage: read tiles of the table, burn, tell of overlaps, write the label store."""
    shutil.rmtree(task.out, ignore_errors=True)
    plan = _plan(task)
    shutil.copytree(task.folder / "root", plan.root.url)
    plan.root.write(TABLE_PLAN, b"{}")
    burn(plan, Stopwatch(clock, "label"))
    _tell_pixels(zarr.open_group(plan.root.zarr(crops.LABELS))["parcel"], task.land)


def _plan(task: Task) -> Plan:
    task.out.mkdir(parents=True)
    side = task.land.side * 10
    ring = [[0, 0], [side, 0], [side, -side], [0, -side], [0, 0]]
    crs = {"type": "name", "properties": {"name": f"urn:ogc:def:crs:{CRS.replace(':', '::')}"}}
    feature = {"type": "Feature", "properties": {}, "geometry": {"type": "Polygon", "coordinates": [ring]}}
    (task.out / "ground.json").write_text(json.dumps({"type": "FeatureCollection", "crs": crs, "features": [feature]}))
    text = PROJECT.format(out=task.out, tile=task.land.tile, cores=task.cores)
    return make_plan(parse_project(text, task.out / "project.toml"))


def rasterising_alone(task: Task, clock: Clock) -> None:
    """From outlines in memory to crop and parcel of all pixels: each process has every so many tiles of both."""
    frame = gpd.read_parquet(task.folder / "outlines.parquet")
    known = Parcels(CRS, frame.geometry.to_numpy(), frame.crop.to_numpy(), frame.parcel.to_numpy())
    del frame
    together = np.frombuffer(mmap.mmap(-1, 4 * np.prod(task.land.grid.shape)), np.uint32).reshape(task.land.grid.shape)
    with clock():
        assert len(known.tree) == len(known)  # built once, for all processes
        others = [_Forked(known, task, first, together) for first in range(1, task.cores)]
        own = _burnt_tiles(known, task, 0)
        for other in others:
            other.has_burnt()
    _put_together(own, task, 0, together)
    for other in others:
        other.has_ended()
    _tell_pixels(together, task.land)


class _Forked:
    """A process that burns its tiles, and puts them together with the others' when the clock has stopped."""

    def __init__(self, *given: Any) -> None:
        self._read, write = os.pipe()
        self._process = os.fork()
        if self._process:
            os.close(write)
            return
        try:
            *asked, together = given
            own = _burnt_tiles(*asked)
            os.write(write, b"!")
            _put_together(own, *asked[1:], together)
            os._exit(0)
        finally:
            os._exit(1)

    def has_burnt(self) -> None:
        assert os.read(self._read, 1)

    def has_ended(self) -> None:
        assert os.waitpid(self._process, 0)[1] == 0


def _own(task: Task, first: int) -> list[Window]:
    grid = task.land.grid
    return [grid.window(tile) for tile in list(grid.tiles())[first :: task.cores]]


def _burnt_tiles(known: Parcels, task: Task, first: int) -> NDArray[np.uint32]:
    """The parcels of the pixels of a process's tiles, one tile under the other; the crops are made, too."""
    grid, windows = task.land.grid, _own(task, first)
    shape = len(windows), grid.side, grid.side
    crop, pixels = np.empty(shape, np.uint8), np.empty(shape, np.uint32)
    for number, window in enumerate(windows):
        rasterise(_near(known, grid, window), grid, window, 255, into=(crop[number], pixels[number]))
    return pixels


def _put_together(own: NDArray[np.uint32], task: Task, first: int, together: NDArray[np.uint32]) -> None:
    for pixels, window in zip(own, _own(task, first), strict=True):
        together[window.slices] = pixels


def _near(known: Parcels, grid: Grid, window: Window) -> Parcels:
    """What a tile would read of the table."""
    some = np.sort(known.tree.query(shapely.box(*grid.bounds(window))))
    return Parcels(CRS, known.geometries[some], known.classes[some], known.ids[some])


def rasterio_whole(task: Task, clock: Clock) -> None:
    from rasterio.features import rasterize

    frame = gpd.read_parquet(task.folder / "outlines.parquet")
    window = task.land.window
    with clock():
        shapes = zip(frame.geometry, frame.parcel, strict=True)
        shape, transform = (window.height, window.width), task.land.grid.transform
        pixels = rasterize(shapes, shape, transform=transform, dtype="uint32")
    _tell_pixels(pixels, task.land)


def geocube(task: Task, clock: Clock) -> None:
    from geocube.api.core import make_geocube

    frame = gpd.read_parquet(task.folder / "outlines.parquet")
    side = task.land.side * 10
    ground = json.dumps({**shapely.box(0, -side, side, 0).__geo_interface__, "crs": {"properties": {"name": CRS}}})
    with clock():
        cube = make_geocube(frame, measurements=["parcel"], resolution=(-10, 10), geom=ground, fill=0)
        pixels = cube.parcel.to_numpy()
    _tell_pixels(pixels.astype(np.uint32), task.land)


def _tell_pixels(pixels: Any, land: Land) -> None:
    digest, height = hashlib.sha256(), 1024
    for top in range(0, land.side, height):  # a part at a time: this must not be what needs most memory
        digest.update(np.ascontiguousarray(pixels[top : min(top + height, land.side), : land.side], dtype="<u4").data)
    tell("pixels", **{land.name: digest.hexdigest()[:16]})


CONTESTANTS: dict[str, Callable[[Task, Clock], None]] = {
    "furrow": furrow,
    "furrow, rasterising alone": rasterising_alone,
    "rasterio": rasterio_whole,
    "geocube": geocube,
}
