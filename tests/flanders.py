"""A real place in Flanders in 2018: its images as published, and moved to where they belong."""

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import made_scenes as made
import numpy as np
import pytest
import rasterio
from affine import Affine

from catalogs.bands import BANDS, NATIVE_RESOLUTION
from catalogs.files import Target

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


def item(folder: Path, date: str, pixels: Mapping[str, np.ndarray], when: str) -> dict[str, Any]:
    """A scene of a catalogue that holds these pixels."""
    files = made.write_pixels(folder / date, pixels, LEFT, TOP, EPSG)
    ground = made.ground_of_pixels(pixels, LEFT, TOP, EPSG)
    about: dict[str, Any] = {"proj:epsg": EPSG, "grid:code": "MGRS-31UDS"}
    return made.plain_item(date, files, ground, when, **about)
