"""A real place in Flanders in 2018: its images as published, and moved to where they belong."""

from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import geopandas
import made_scenes as made
import numpy as np
import pytest
import rasterio
import shapely
from affine import Affine

from catalogs.bands import BANDS, CLEAR_SCL, NATIVE_RESOLUTION
from catalogs.files import Target
from pipelines.plan import Plan, make_plan
from pipelines.project import parse_project

Pixels = Mapping[str, np.ndarray]

BELGIUM = Path(__file__).parents[2] / "shared" / "data" / "belgium-2018"

MARKS = [
    pytest.mark.skipif(not BELGIUM.exists(), reason="the place in Flanders is not here"),
    pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning"),  # a NetCDF that says it in words
]

EPSG, LEFT, TOP, SIDE = 32631, 501360, 5629680, 64
"""Where the place lies; pixels of 10 m."""

CORNER = 391 * 1280, 4399 * 1280
"""Of the lattice's tile that its north-western corner lies in."""

ROW, COLUMN = (CORNER[1] - TOP) // 10, (LEFT - CORNER[0]) // 10
"""Pixels of a cube that begins at that corner, from there to the place."""

HERE = slice(ROW, ROW + SIDE), slice(COLUMN, COLUMN + SIDE)

DATES = sorted(path.stem for path in BELGIUM.glob("s2/*.tif"))

OWN = Target(EPSG, Affine(10, 0, LEFT, 0, -10, TOP), (SIDE, SIDE))


@cache
def published(band: str) -> np.ndarray:
    """All dates of a band of the NetCDF (date, y, x), north first, which GDAL turns over where it sees no CRS."""
    metres = NATIVE_RESOLUTION[band]
    (file,) = BELGIUM.glob(f"S2_L2A_{metres}m_*.nc")
    with rasterio.Env(GDAL_NETCDF_BOTTOMUP="NO"), rasterio.open(f"netcdf:{file}:{band}") as raster:
        counts = raster.read()
        assert raster.tags()[f"{band}#bounds"] == f"({LEFT}, {TOP - 640}, {LEFT + 640}, {TOP})"
    return counts


def image(date: str) -> np.ndarray:
    with rasterio.open(BELGIUM / "s2" / f"{date}.tif") as raster:
        assert raster.descriptions == BANDS
        return raster.read()


def classes(date: str) -> np.ndarray:
    with rasterio.open(BELGIUM / "scl" / f"{date}.tif") as raster:
        return raster.read(1)


def native(date: str) -> dict[str, np.ndarray]:
    """One date in pixels of each band's own size, as a catalogue has it."""
    layers = dict(zip((*BANDS, "SCL"), [*image(date), classes(date)], strict=True))
    return {band: counts[:: NATIVE_RESOLUTION[band] // 10, :: NATIVE_RESOLUTION[band] // 10]
            for band, counts in layers.items()}  # fmt: skip


def native_as_published(date: str) -> dict[str, np.ndarray]:
    """The same as published, one native pixel too far south."""
    place = DATES.index(date)
    return {band: published(band)[place] for band in BANDS} | {"SCL": native(date)["SCL"]}


def item(folder: Path, date: str, pixels: Pixels, when: str, east: int = 0) -> dict[str, Any]:
    """A scene of a catalogue that holds these pixels, there or so many metres further east."""
    files = made.write_pixels(folder / date, pixels, LEFT + east, TOP, EPSG)
    ground = made.ground_of_pixels(pixels, LEFT + east, TOP, EPSG)
    about: dict[str, Any] = {"proj:epsg": EPSG, "grid:code": "MGRS-31UDS"}
    return made.plain_item(date, files, ground, when, **about)


PROJECT = """
[region]
name = "Flanders"
boundary = "region.gpkg"
crs = "EPSG:{epsg}"
tile = 128

[season]
start = 2018-04-01
end = 2018-10-31

[imagery]
provider = "local"
catalog = "{catalog}"

{tables}
[store]
root = "root"

[compute]
workers = {workers}
"""

LABELS = """
[labels]
source = "national"
file = "{parcels}"
country = "BE_VLG"
code_column = "croptype"
name_column = "croptype_name"
mapping = "crops.csv"
"""

CROPS = {1200: 1, 2130: 0, 5100: 7, 7900: 0, 9120: 10}
"""The legend of the place to ours: maize, cabbages, potatoes, other leguminous crops, permanent grass."""


def laid_out(
    folder: Path, pixels: Callable[[str], Pixels], tables: str = LABELS, east: int = 0, workers: int = 1
) -> Plan:
    """A run of the season of 2018 on scenes that hold these pixels of each clear date, there or some metres east."""
    season = [date for date in DATES if "201804" <= date < "201811"]
    clear = [date for date in season if np.isin(classes(date), CLEAR_SCL).mean() > 0.95]
    items = [item(folder, date, pixels(date), f"{date[:4]}-{date[4:6]}-{date[6:8]}T10:56:00Z", east) for date in clear]
    square = shapely.box(LEFT + east, TOP - 10 * SIDE, LEFT + east + 10 * SIDE, TOP)
    geopandas.GeoSeries([square], crs=EPSG).to_file(folder / "region.gpkg")
    (folder / "crops.csv").write_text("\n".join(["code,class", *(f"{code},{crop}" for code, crop in CROPS.items())]))
    tables = tables.format(parcels=BELGIUM / "parcels_from_raster.gpkg")
    catalog = made.static_catalogue(folder, items)
    text = PROJECT.format(epsg=EPSG, catalog=catalog, tables=tables, workers=workers)
    (folder / "project.toml").write_text(text)
    return make_plan(parse_project(text, folder / "project.toml"))
