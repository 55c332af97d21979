"""Scenes of one period on windows of a grid."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pyproj import CRS
from rasterio.enums import Resampling

from catalogs.files import Target, read_window
from catalogs.grid import Grid, Window
from catalogs.scenes import Scene
from catalogs.stac.access import Access


@dataclass(frozen=True)
class Scenery:
    """How scenes come to a grid."""

    access: Access
    grid: Grid
    resampling: str
    """For bands that have to be warped, `bilinear` or `nearest`; classes are always the nearest."""

    def bands(self, scene: Scene, names: Sequence[str], window: Window, out: NDArray[np.uint16]) -> None:
        """Counts (band, y, x), with the offset still in them, straight into place."""
        for name, plane in zip(names, out, strict=True):
            self._read(scene, name, window, Resampling[self.resampling], plane)

    def classes(self, scene: Scene, window: Window) -> NDArray[np.uint8]:
        """Scene classification (y, x); ground without a picture is class 0, no data."""
        classes = np.empty((window.height, window.width), np.uint8)
        self._read(scene, "SCL", window, Resampling.nearest, classes)
        return classes

    def _read(self, scene: Scene, name: str, window: Window, resampling: Resampling, out: NDArray[Any]) -> None:
        shape = window.height, window.width
        target = Target(_epsg(self.grid.crs), self.grid.transform_of(window), shape)
        read_window(scene.hrefs[name], self.access, target, resampling, out)


@cache
def _epsg(crs: str) -> int:
    """Asking for it takes as long as reading a block."""
    epsg = CRS.from_user_input(crs).to_epsg()
    assert epsg is not None
    return epsg


def reflectance(counts: NDArray[Any], offset: int, out: NDArray[np.uint16] | None = None) -> NDArray[np.uint16]:
    """Counts of ground with data to reflectance x 10000, at least 1, since 0 means no data."""
    least = np.full(counts.shape[-1:], offset + 1, np.uint16)  # a row: numpy is slower with one number
    lifted: NDArray[np.uint16] = np.maximum(counts, least, out=out)
    if offset:
        lifted -= np.uint16(offset)
    return lifted
