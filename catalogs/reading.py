"""Reading one scene's pixels on a grid window: the only place that knows stackstac."""

import re
import warnings
from pathlib import Path

import numpy as np
import rasterio
import stackstac
from numpy.typing import NDArray
from pyproj import CRS
from rasterio.enums import Resampling

from catalogs.bands import BANDS
from catalogs.grid import Grid, Window
from catalogs.scenes import Scene

GDAL_OPTIONS = {
    "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR",
    "CPL_VSIL_CURL_ALLOWED_EXTENSIONS": ".tif",
    "GDAL_HTTP_MAX_RETRY": "5",
    "GDAL_HTTP_RETRY_DELAY": "1",
    "GDAL_HTTP_TIMEOUT": "60",
    "GDAL_INGESTED_BYTES_AT_OPEN": "32768",
    "VSI_CACHE": "TRUE",
}


TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
"""How a TIFF begins. GDAL would follow a text of another format, named .tif, to any other file or address."""


NO_ANSWER = re.compile(r"CURL|HTTP response code: (429|5\d\d)|timed? ?out|resolve host|connection", re.IGNORECASE)
"""What GDAL says when the network or the server failed, and the file may be whole."""


class UnreadableScene(Exception):
    """A scene's file is truncated, missing or no raster: that scene is lost here, the others are not."""


class NoAnswer(Exception):
    """The network or the server failed: nothing is known of the scene, and the unit must be tried again."""


def read_counts(scene: Scene, folder: Path | None, grid: Grid, window: Window) -> np.ndarray:
    """Counts (band, y, x) with the offset still in them; 0 in all bands is no data.

    20 m bands come to the grid by bilinear interpolation between their pixel centres.
    """
    return _read(scene, BANDS, folder, grid, window, Resampling.bilinear)


def read_classes(scene: Scene, folder: Path | None, grid: Grid, window: Window) -> np.ndarray:
    """The scene classification (y, x), by nearest neighbour."""
    classes: np.ndarray = _read(scene, ("SCL",), folder, grid, window, Resampling.nearest)[0]
    return classes


def reflectance(counts: np.ndarray, offset: int) -> np.ndarray:
    """Counts (band, y, x) to reflectance x 10000, at least 1 where the scene has data, since 0 means no data.

    One band at 0 is dark ground that a catalogue's own offset has clipped; only all bands at 0 are no data.
    """
    lifted = np.maximum(counts, offset + 1) - np.uint16(offset)
    return np.where(has_data(counts), lifted, np.uint16(0)).astype(np.uint16)


def has_data(counts: np.ndarray) -> NDArray[np.bool_]:
    found: NDArray[np.bool_] = (counts != 0).any(axis=0)
    return found


def _read(
    scene: Scene, bands: tuple[str, ...], folder: Path | None, grid: Grid, window: Window, resampling: Resampling
) -> np.ndarray:
    try:
        return _stacked(scene, bands, folder, grid, window, resampling)
    except (RuntimeError, rasterio.errors.RasterioError, OSError) as error:
        cause = _first_cause(error)
        kind = NoAnswer if folder is None and NO_ANSWER.search(cause) else UnreadableScene
        raise kind(f"{scene.id}: {cause}") from error


def _stacked(
    scene: Scene, bands: tuple[str, ...], folder: Path | None, grid: Grid, window: Window, resampling: Resampling
) -> np.ndarray:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # stackstac trips over newer numpy and pandas in ways that change nothing
        stack = stackstac.stack(
            [_as_stackstac_likes(scene, bands, folder)],
            assets=list(bands),
            epsg=CRS.from_user_input(grid.crs).to_epsg(),
            resolution=grid.resolution,
            bounds=grid.bounds(window),
            snap_bounds=False,
            resampling=resampling,
            chunksize=max(window.height, window.width),
            dtype=np.dtype("uint16"),
            fill_value=np.uint16(0),
            rescale=False,  # it knows no `raster:` fields of STAC 1.1; radiometry.py decides
            properties=False,
            band_coords=False,
            errors_as_nodata=(),  # its default turns a missing file into no data without a word
            gdal_env=stackstac.DEFAULT_GDAL_ENV.updated(always=GDAL_OPTIONS),
        )
        if not stack.sizes["time"]:  # stackstac leaves out what only touches the window
            return np.zeros((len(bands), window.height, window.width), np.uint16)
        pixels: np.ndarray = stack.data[0].compute(scheduler="synchronous")
    return pixels


def _as_stackstac_likes(scene: Scene, bands: tuple[str, ...], folder: Path | None) -> dict[str, object]:
    """A plain item with `proj:epsg`, the only projection field stackstac knows."""
    west, south, east, north = scene.ground.bounds
    assets = {band: {"href": _location(scene.hrefs[band], folder), "type": "image/tiff"} for band in bands}
    return {
        "type": "Feature",
        "stac_version": "1.0.0",
        "id": scene.id,
        "bbox": [west, south, east, north],
        "geometry": scene.footprint,
        "properties": {"datetime": scene.moment, "proj:epsg": scene.epsg},
        "assets": assets,
        "links": [],
    }


def _location(href: str, folder: Path | None) -> str:
    if folder is None:
        return href
    with (folder / href).open("rb") as file:
        if file.read(4) not in TIFF:
            raise UnreadableScene(f"{href} is not a TIFF")
    return str(folder / href)


def _first_cause(error: BaseException) -> str:
    while error.__cause__ is not None:
        error = error.__cause__
    return f"{type(error).__name__}: {error}".splitlines()[0]
