"""Writes one array as a cloud-optimised GeoTIFF."""

import os

import numpy as np
import rasterio
import rasterio.shutil
from affine import Affine
from rasterio.io import MemoryFile

BLOCK = 256


def write_cog(path: str, pixels: np.ndarray, epsg: int, transform: Affine, averaged: bool) -> None:
    """Whole or absent. Zero is no data; `averaged` says how overviews are made: else the nearest pixel."""
    height, width = pixels.shape
    profile = {
        "driver": "GTiff",
        "height": height,
        "width": width,
        "count": 1,
        "dtype": pixels.dtype,
        "crs": f"EPSG:{epsg}",
        "transform": transform,
        "nodata": 0,
    }
    partial = f"{path}.part"
    with MemoryFile() as memory:
        with memory.open(**profile) as raster:
            raster.write(pixels, 1)
        with memory.open() as raster:
            rasterio.shutil.copy(raster, partial, driver="COG", **_options(height, width, averaged))
    os.replace(partial, path)


def _options(height: int, width: int, averaged: bool) -> dict[str, str | int]:
    return {
        "COMPRESS": "DEFLATE",
        "PREDICTOR": "YES",
        "LEVEL": 1,
        "BLOCKSIZE": BLOCK,
        "OVERVIEWS": "IGNORE_EXISTING",
        "OVERVIEW_COUNT": _overviews(max(height, width)),
        "OVERVIEW_RESAMPLING": "AVERAGE" if averaged else "NEAREST",
    }


def _overviews(side: int) -> int:
    """Halved until it fits in one block, at least once."""
    return max(int(np.ceil(np.log2(side / BLOCK))), 1)
