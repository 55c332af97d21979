"""A made-up square of fields in a root of its own: a cube and labels to choose patches from, without any scene."""

import json
from pathlib import Path

import numpy as np
import shapely

from catalogs import crops, cube
from catalogs.cube import cube_units
from catalogs.grid import Window
from catalogs.region_mask import outside_region
from catalogs.stores import Store, spatial_coordinates, write_shard
from catalogs.taxonomy import IGNORE
from pipelines.plan import Plan, make_plan
from pipelines.project import parse_project

TOML = """
[region]
name = "Fields <b>of</b> chance"
boundary = "boundary.geojson"
crs = "EPSG:3035"
tile = {tile}
[season]
start = 2021-03-01
end = 2021-04-30
[labels]
file = "parcels.gpkg"
country = "BE_VLG"
[patches]
size = 128
block = 256
{patches}
[store]
root = "{root}"
[compute]
workers = {workers}
"""
LEFT, TOP = 4_608_000, 2_816_000
RARE = 7
"""A class that only three blocks have."""


def lay_plan(
    folder: Path, side: int = 1024, tile: int = 256, patches: str = "", root: str = "root", workers: int = 1
) -> Plan:
    """A region of `side` pixels but for a wedge of its lower right corner."""
    right, bottom = LEFT + side * 10, TOP - side * 10
    wedge = shapely.Polygon([(right, bottom), (right, bottom + 3000), (right - 3000, bottom)])
    shape = json.loads(shapely.to_geojson(shapely.box(LEFT, bottom, right, TOP) - wedge))
    crs = {"type": "name", "properties": {"name": "urn:ogc:def:crs:EPSG::3035"}}
    feature = {"type": "Feature", "properties": {}, "geometry": shape}
    folder.mkdir(exist_ok=True, parents=True)
    (folder / "boundary.geojson").write_text(
        json.dumps({"type": "FeatureCollection", "crs": crs, "features": [feature]})
    )
    text = TOML.format(tile=tile, patches=patches, root=root, workers=workers)
    (folder / "project.toml").write_text(text)
    return make_plan(parse_project(text, folder / "project.toml"))


def fields(side: int, seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Class and parcel of each pixel: fields of 40 x 56 pixels, a fifth of which have a second part somewhere else."""
    rng = np.random.default_rng(seed)
    rows, columns = -(-side // 40), -(-side // 56)
    ids = np.arange(1, rows * columns + 1, dtype=np.uint32).reshape(rows, columns)
    far = rng.random(ids.shape) < 0.2
    ids[far] = rng.permutation(ids[far])
    ids[rng.random(ids.shape) < 0.1] = 0
    kinds = rng.choice([1, 2, 3, 4, 5], ids.size + 1, p=[0.55, 0.2, 0.15, 0.07, 0.03]).astype(np.uint8)
    kinds[0] = IGNORE
    parcel = ids.repeat(40, axis=0).repeat(56, axis=1)[:side, :side]
    crop = kinds[parcel]
    for y, x in ((70, 70), (330, 70), (70, 330)):
        crop[y : y + 30, x : x + 30] = np.where(parcel[y : y + 30, x : x + 30] > 0, RARE, IGNORE)
    return crop, parcel


def fill(plan: Plan, seed: int = 1) -> Plan:
    """Write cube and labels as their verbs would."""
    rng = np.random.default_rng(seed)
    height, width = plan.grid.shape
    crop, parcel = fields(max(height, width), seed)
    abroad = outside_region(plan.region, plan.grid, Window(0, 0, height, width))
    crop[abroad], parcel[abroad] = IGNORE, 0
    clear = rng.integers(0, 3, (len(plan.periods), height // 64, width // 64)).repeat(64, 1).repeat(64, 2)
    labels, pixels = Store(plan.root, crops.LABELS), Store(plan.root, cube.NAME)
    about = {"grid": plan.grid_description}
    labels.begin(crops.label_layouts(plan.grid, plan.taxonomy), spatial_coordinates(plan.grid), {"store": "l", **about})
    layouts = cube.cube_layouts(plan.grid, len(plan.periods), "median")
    pixels.begin(layouts, cube.cube_coordinates(plan.grid, plan.periods), {"store": "cube", **about})
    for tile in plan.tiles:
        y, x = plan.grid.window(tile).slices
        write_shard(labels.array("crop"), (y, x), crop[y, x])
        write_shard(labels.array("parcel"), (y, x), parcel[y, x])
        labels.ledger.commit(str(tile), {})
    for unit in cube_units(plan.tiles, plan.periods):
        y, x = plan.grid.window(unit.tile).slices
        seen = clear[unit.period, y, x].astype(np.uint8)
        picture = rng.integers(1, 4000, (10, *seen.shape)).astype(np.uint16) * (seen > 0)
        write_shard(pixels.array("reflectance"), (unit.period, slice(None), y, x), picture)
        write_shard(pixels.array("observations"), (unit.period, y, x), seen)
        pixels.ledger.commit(unit.name, {})
    return plan
