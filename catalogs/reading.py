"""Scenes as one lazy array: the only place that knows stackstac."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import dask.array as da
import numpy as np
import stackstac
from affine import Affine
from numpy.typing import NDArray
from pyproj import CRS
from rasterio.enums import Resampling
from rasterio.windows import Window as Pixels

from catalogs.files import Target, read_window
from catalogs.grid import Bounds, Grid, Window
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

    def bands(self, names: Sequence[str], window: Window, together: int = 1) -> da.Array:
        """Lazy counts (scene, band, y, x) with the offset still in them, so many bands of a scene in each chunk."""
        return self._stack(names, window, Resampling[self.resampling], together)

    def classes(self, window: Window) -> NDArray[Any]:
        """Scene classification (scene, y, x); ground without a picture is class 0, no data."""
        classes = self._stack(["SCL"], window, Resampling.nearest)[:, 0]
        found: NDArray[Any] = classes.compute(scheduler="synchronous")
        return found

    def _stack(self, names: Sequence[str], window: Window, resampling: Resampling, together: int = 1) -> da.Array:
        bounds, epsg = self.grid.bounds(window), CRS.from_user_input(self.grid.crs).to_epsg()
        assert epsg is not None
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # stackstac trips over newer numpy and pandas in ways that change nothing
            stack = stackstac.stack(
                [_as_stackstac_likes(scene, names, epsg, bounds) for scene in self.scenes],
                assets=list(names),
                epsg=epsg,
                resolution=self.grid.resolution,
                bounds=bounds,
                snap_bounds=False,
                resampling=resampling,
                chunksize=(1, together, window.height, window.width),
                dtype=np.dtype("uint16"),
                fill_value=np.uint16(0),
                rescale=False,  # it knows no `raster:` fields of STAC 1.1; radiometry.py decides
                properties=False,
                band_coords=False,
                sortby_date=False,
                errors_as_nodata=(),  # its default turns a missing file into no data without a word
                reader=partial(BlockReader, access=self.access),
            )
        return stack.data


def _as_stackstac_likes(scene: Scene, names: Sequence[str], epsg: int, bounds: Bounds) -> dict[str, object]:
    """An item that claims to lie on the window in the grid's own CRS: where its pixels are, the reader finds out."""
    return {
        "type": "Feature",
        "stac_version": "1.0.0",
        "id": scene.id,
        "geometry": None,
        "properties": {"datetime": scene.moment, "proj:epsg": epsg, "proj:bbox": bounds},
        "assets": {name: {"href": scene.hrefs[name], "type": "image/tiff"} for name in names},
        "links": [],
    }


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


def reflectance(counts: NDArray[Any], offset: int) -> NDArray[np.uint16]:
    """Counts of ground with data to reflectance x 10000, at least 1, since 0 means no data."""
    lifted: NDArray[np.uint16] = np.maximum(counts, np.uint16(offset + 1)) - np.uint16(offset)
    return lifted
