"""A made-up place of two dozen small parcels that can be learned: a cube and labels, without any scene."""

import json
from pathlib import Path

import numpy as np
import shapely
from made_fields import LEFT, TOML, TOP

from catalogs import crops, cube
from catalogs.bands import BANDS
from catalogs.cube import cube_units
from catalogs.stores import Store, spatial_coordinates, write_shard
from catalogs.taxonomy import IGNORE
from pipelines.plan import Plan, make_plan
from pipelines.project import parse_project

SIDE, FIELD, GAP = 128, 12, 4
CLASSES = (1, 1, 1, 2, 2, 10, 0, 1, 2, 2, 10, 10, 1, 2, 10, 0, 0, 1, 7, 1)
"""Of parcels 1 to 20; of class 7 there is one."""

TABLES = """
[crossfold]
models = ["forest-spectral"]
folds = 4
windows = 16
[model]
architecture = "unet"
settings = {widths = [4, 8]}
[training]
epochs = 1
batch = 8
"""


def raster(side: int = SIDE) -> tuple[np.ndarray, np.ndarray]:
    """Crop and parcel: fields in rows of five, with gaps and a hole that nobody labelled."""
    crop, parcel = np.full((side, side), IGNORE, np.uint8), np.zeros((side, side), np.uint32)
    for number, kind in enumerate(CLASSES, 1):
        y, x = (24 + (FIELD + GAP) * place for place in divmod(number - 1, 5))
        crop[y : y + FIELD, x : x + FIELD + GAP], parcel[y : y + FIELD, x : x + FIELD + GAP] = kind, number
    crop[30:33, 30:60] = IGNORE
    return crop, parcel


def lay_square(folder: Path, tables: str) -> Plan:
    crs = {"type": "name", "properties": {"name": "urn:ogc:def:crs:EPSG::3035"}}
    square = json.loads(shapely.to_geojson(shapely.box(LEFT, TOP - 10 * SIDE, LEFT + 10 * SIDE, TOP)))
    feature = {"type": "Feature", "properties": {}, "geometry": square}
    folder.mkdir(exist_ok=True, parents=True)
    outline = {"type": "FeatureCollection", "crs": crs, "features": [feature]}
    (folder / "boundary.geojson").write_text(json.dumps(outline))
    text = TOML.format(tile=SIDE, patches=tables, root="root", workers=1)
    (folder / "project.toml").write_text(text)
    return make_plan(parse_project(text, folder / "project.toml"))


def place(folder: Path, tables: str = TABLES) -> Plan:
    """Each class reflects in its own way, under noise; a strip was never seen."""
    plan = lay_square(folder, tables)
    rng, (crop, parcel) = np.random.default_rng(1), raster()
    labels, pixels = Store(plan.root, crops.LABELS), Store(plan.root, cube.NAME)
    about = {"grid": plan.grid_description}
    labels.begin(crops.label_layouts(plan.grid, plan.taxonomy), spatial_coordinates(plan.grid), {"store": "l", **about})
    layouts = cube.cube_layouts(plan.grid, len(plan.periods), "median")
    pixels.begin(layouts, cube.cube_coordinates(plan.grid, plan.periods), {"store": "cube", **about})
    (tile,) = plan.tiles
    here = plan.grid.window(tile).slices
    for name, layer in (("crop", crop), ("parcel", parcel)):
        write_shard(labels.array(name), here, layer)
    labels.ledger.commit(str(tile), {})
    spectra = rng.integers(400, 4000, (256, len(plan.periods), len(BANDS)))
    for unit in cube_units(plan.tiles, plan.periods):
        picture = spectra[crop, unit.period].transpose(2, 0, 1) + rng.normal(0, 400, (len(BANDS), *crop.shape))
        picture = picture.clip(1, 10_000).astype(np.uint16)
        picture[:, 24:26] = 0
        write_shard(pixels.array("reflectance"), (unit.period, slice(None), *here), picture)
        write_shard(pixels.array("observations"), (unit.period, *here), (picture[0] > 0).astype(np.uint8))
        pixels.ledger.commit(unit.name, {})
    return plan
