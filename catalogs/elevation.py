"""Elevation from one GeoTIFF, on squares of ground in any coordinate system."""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import file_digest

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.enums import Resampling
from rasterio.errors import RasterioError
from rasterio.transform import from_bounds
from rasterio.warp import reproject

from catalogs.errors import BadInput

REMEDY = "Give a GeoTIFF of metres above sea level, such as Copernicus DEM."


@dataclass(frozen=True)
class Square:
    """Ground to be looked at: west, south, east, north in its CRS, and pixels on a side."""

    crs: str
    bounds: tuple[float, float, float, float]
    pixels: int


def read_elevation(path: str, squares: Sequence[Square]) -> NDArray[np.float32]:
    """Metres (square, y, x) of squares of one size, bilinear; NaN in voids and beyond the file."""
    found = np.full((len(squares), squares[0].pixels, squares[0].pixels), np.nan, np.float32)
    with _opened(path) as dataset:
        for square, plane in zip(squares, found, strict=True):
            reproject(
                rasterio.band(dataset, 1), plane, src_nodata=dataset.nodata, dst_nodata=math.nan, dst_crs=square.crs,
                dst_transform=from_bounds(*square.bounds, square.pixels, square.pixels), resampling=Resampling.bilinear,
            )  # fmt: skip
    return found


def digest_of(path: str) -> str:
    """SHA-256 of the file, which must be a raster that lies somewhere."""
    with _opened(path), open(path, "rb") as file:
        return file_digest(file, "sha256").hexdigest()


@contextmanager
def _opened(path: str) -> Iterator[rasterio.DatasetReader]:
    """Opened anew for each use: a dataset must not be shared between threads, and opening it takes a millisecond."""
    try:
        with rasterio.open(path, driver="GTiff", sharing=False) as dataset:
            if dataset.crs is None:
                raise BadInput(f"elevation {path}", "does not say where it lies (it has no CRS).", REMEDY)
            yield dataset
    except (RasterioError, OSError) as error:
        raise BadInput(f"elevation {path}", f"cannot be read ({error}).", REMEDY) from error
