"""Who answers queries of a map over HTTP: Furrow's reader, zarr-python on the same store, rasterio on the GeoTIFF."""

from collections.abc import Callable
from itertools import count
from typing import Any, Protocol

import numpy as np
import rasterio
import zarr
from numpy.typing import NDArray
from rasterio.features import geometry_mask
from rasterio.windows import Window as Part
from shapely.geometry.base import BaseGeometry

from catalogs.class_counts import counts_in
from catalogs.crops import MAP
from catalogs.grid import Grid, Window
from catalogs.map_reading import MapReader
from catalogs.root import Root

Pixels = NDArray[Any]


class Contestant(Protocol):
    """Opened once, then asked; each answers the same questions."""

    def __init__(self, url: str, grid: Grid) -> None: ...

    def window(self, window: Window) -> Pixels: ...

    def histogram(self, shape: BaseGeometry) -> Pixels: ...

    def overview(self, factor: int) -> Pixels: ...


class Furrow:
    """Indexes of shards are kept, chunks come together, areas are counted from the tiles' table."""

    def __init__(self, url: str, grid: Grid) -> None:
        self.root, self.grid = Root(url), grid
        self.reader = MapReader(self.root, MAP, "crop")

    def window(self, window: Window) -> Pixels:
        return self.reader.read(window)

    def histogram(self, shape: BaseGeometry) -> Pixels:
        return counts_in(self.root, self.grid, shape)[:-1]

    def overview(self, factor: int) -> Pixels:
        level = MapReader(self.root, f"{MAP}/{factor}", "crop")
        return level.read(Window(0, 0, *level.array.shape))


class ZarrPython:
    """What xarray does too, less its own work."""

    def __init__(self, url: str, grid: Grid) -> None:
        self.group, self.grid = zarr.open_group(Root(url).zarr(MAP), mode="r", zarr_format=3), grid
        self.crop: Any = self.group["crop"]

    def window(self, window: Window) -> Pixels:
        return np.asarray(self.crop[window.slices])

    def histogram(self, shape: BaseGeometry) -> Pixels:
        return counted(self.window, self.grid, shape)

    def overview(self, factor: int) -> Pixels:
        level: Any = self.group[f"{factor}/crop"]
        return np.asarray(level[:])


class Geotiff:
    """GDAL reads what it needs of the file by ranges, and remembers them by the file's address."""

    opened = count()

    def __init__(self, url: str, grid: Grid) -> None:
        self.file, self.grid = rasterio.open(f"/vsicurl/{url}/map.tif?{next(self.opened)}"), grid

    def window(self, window: Window) -> Pixels:
        pixels: Pixels = self.file.read(1, window=Part(window.x, window.y, window.width, window.height))
        return pixels

    def histogram(self, shape: BaseGeometry) -> Pixels:
        return counted(self.window, self.grid, shape)

    def overview(self, factor: int) -> Pixels:
        height, width = self.file.shape
        pixels: Pixels = self.file.read(1, out_shape=(height // factor, width // factor))
        return pixels


CONTESTANTS: dict[str, Callable[[str, Grid], Contestant]] = {
    "furrow": Furrow,
    "zarr-python": ZarrPython,
    "cog": Geotiff,
}


def counted(read: Callable[[Window], Pixels], grid: Grid, shape: BaseGeometry) -> Pixels:
    """Pixels by class of a shape, from all pixels of the rectangle around it."""
    left, bottom, right, top = shape.bounds
    step = grid.resolution
    y, x = int((grid.transform.f - top) // step), int((left - grid.transform.c) // step)
    window = Window(
        y, x, int((grid.transform.f - bottom) // step) + 1 - y, int((right - grid.transform.c) // step) + 1 - x
    )
    inside = geometry_mask([shape], (window.height, window.width), grid.transform_of(window), invert=True)
    return np.bincount(read(window)[inside], minlength=256)[:11]
