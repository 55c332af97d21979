"""Scenes as one lazy array: the only place that knows stackstac."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

import dask
import dask.array as da
import numpy as np
from affine import Affine
from dask.core import flatten
from numpy.typing import NDArray
from pyproj import CRS
from rasterio.enums import Resampling
from rasterio.windows import Window as Pixels
from stackstac.prepare import ASSET_TABLE_DT
from stackstac.raster_spec import RasterSpec
from stackstac.to_dask import items_to_dask

from catalogs.files import Target, read_window
from catalogs.grid import Grid, Window
from catalogs.scenes import Scene
from catalogs.stac.access import Access


@dataclass(frozen=True)
class Scenery:
    """Scenes of one period, to be read on windows of a grid."""

    scenes: tuple[Scene, ...]
    access: Access
    grid: Grid
    resampling: str
    """For bands that have to be warped, `bilinear` or `nearest`; classes are always the nearest."""

    def bands(self, names: Sequence[str], window: Window, together: Sequence[int] | int = 1) -> da.Array:
        """Lazy counts (scene, band, y, x) with the offset still in them, so many bands of a scene in each chunk."""
        return self._stack(names, window, Resampling[self.resampling], together)

    def classes(self, window: Window) -> list[NDArray[Any]]:
        """Scene classification (y, x) of each scene; ground without a picture is class 0, no data."""
        return [classes[0, 0] for classes in blocks(self._stack(["SCL"], window, Resampling.nearest, 1))]

    def _stack(
        self, names: Sequence[str], window: Window, resampling: Resampling, together: Sequence[int] | int
    ) -> da.Array:
        """What `stackstac.stack` makes when it has read what items say of their place: here all are on the window.

        They claim to lie there in the grid's own CRS; where their pixels are, the reader finds out.
        """
        bounds = self.grid.bounds(window)
        unscaled = 1.0, 0.0  # stackstac knows no `raster:` fields of STAC 1.1; radiometry.py decides
        assets = [[(scene.hrefs[name], bounds, unscaled) for name in names] for scene in self.scenes]
        lazy: da.Array = items_to_dask(
            np.array(assets, ASSET_TABLE_DT),
            RasterSpec(_epsg(self.grid.crs), bounds, (self.grid.resolution, self.grid.resolution)),
            chunksize=(1, together, window.height, window.width),
            resampling=resampling,
            dtype=np.dtype("uint16"),
            fill_value=np.uint16(0),
            rescale=False,
            reader=partial(BlockReader, access=self.access),
        )
        return lazy


@cache
def _epsg(crs: str) -> int:
    """Asking for it takes as long as reading a block."""
    epsg = CRS.from_user_input(crs).to_epsg()
    assert epsg is not None
    return epsg


def blocks(lazy: da.Array) -> list[NDArray[Any]]:
    """The chunks of an array, to be written to; of the whole array Dask would make one copy more."""
    read = dask.get(lazy.dask, list(flatten(lazy.__dask_keys__())))
    return [np.require(block, requirements="W") for block in read]  # stackstac has one pixel stand for an empty block


class BlockReader:
    """stackstac's reader protocol: its own opens each file anew and decodes what tiles share for each of them."""

    def __init__(self, *, url: str, spec: Any, resampling: Resampling, access: Access, **_: Any) -> None:
        self.href, self.spec, self.resampling, self.access = url, spec, resampling, access

    def read(self, window: Pixels, **_: Any) -> NDArray[Any]:
        transform = self.spec.transform @ Affine.translation(window.col_off, window.row_off)
        target = Target(self.spec.epsg, transform, (int(window.height), int(window.width)))
        return read_window(self.href, self.access, target, self.resampling)

    def close(self) -> None:
        """Files stay open for the next window."""


def reflectance(counts: NDArray[Any], offset: int, out: NDArray[np.uint16] | None = None) -> NDArray[np.uint16]:
    """Counts of ground with data to reflectance x 10000, at least 1, since 0 means no data."""
    least = np.full(counts.shape[-1:], offset + 1, np.uint16)  # a row: numpy is slower with one number
    lifted: NDArray[np.uint16] = np.maximum(counts, least, out=out)
    if offset:
        lifted -= np.uint16(offset)
    return lifted
