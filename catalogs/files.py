"""Windows of raster files on a grid: files stay open, and where the grid is a file's own, nothing is resampled."""

import os
import threading
from collections import OrderedDict
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from math import hypot
from typing import Any

import numpy as np
import rasterio
from affine import Affine
from numpy.typing import NDArray
from rasterio.enums import Resampling
from rasterio.vrt import WarpedVRT
from rasterio.windows import Window as Pixels

from catalogs.failures import NoAnswer, UnreadableFile, told_apart
from catalogs.plain_tiffs import DecodedBlocks, PlainTiff
from catalogs.stac.access import Access
from catalogs.stac.links import is_remote

BLOCK_CACHE = 256 * 1024**2
"""Bytes of decoded blocks that a worker keeps: those that neighbouring tiles share are decoded once."""

GDAL_OPTIONS = {
    "GDAL_CACHEMAX": BLOCK_CACHE,
    "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR",
    "GDAL_HTTP_CONNECTTIMEOUT": "20",
    "GDAL_HTTP_LOW_SPEED_LIMIT": "1000",  # bytes a second, for
    "GDAL_HTTP_LOW_SPEED_TIME": "30",  # seconds: then the server hangs
    "GDAL_HTTP_MAX_RETRY": "5",
    "GDAL_HTTP_MERGE_CONSECUTIVE_RANGES": "YES",
    "GDAL_HTTP_MULTIPLEX": "YES",
    "GDAL_HTTP_RETRY_DELAY": "1",
    "GDAL_HTTP_TIMEOUT": "60",
    "GDAL_INGESTED_BYTES_AT_OPEN": "32768",  # a COG's header and its tables of blocks in one request
    "GDAL_NUM_THREADS": "1",  # a worker has one core
}

ANEW = {
    "CPL_VSIL_CURL_NON_CACHED": "/vsicurl/:/vsis3/",  # where a connection was cut GDAL would believe the file to end
    "CPL_VSIL_CURL_USE_HEAD": "NO",  # GDAL says what became of this request only, so let it be one like the others
}
"""GDAL's options beside these, for a remote file that could not be read the first time."""

NO_MORE: Mapping[str, str] = {}

READ_ANEW = 3
"""Times that a remote file is read again before it counts as bad: its scene is lost then, though others go on."""

OPEN_FILES = 256
"""Datasets that a thread keeps open: those of a period's scenes over a few tiles."""

DRIVERS = {".jp2": "JP2OpenJPEG"}
"""By the end of a link, GTiff otherwise. Of other formats GDAL would follow a text to any other file or address."""

NEARLY_EXACT = 1e-5
"""Pixels by which a warped place may be wrong. GDAL's usual 0.125 makes other pixels of another window's."""


@dataclass(frozen=True)
class Target:
    """Pixels of a grid that are asked for."""

    epsg: int
    transform: Affine
    shape: tuple[int, int]


def read_window(
    href: str, access: Access, target: Target, resampling: Resampling, out: NDArray[Any] | None = None
) -> NDArray[Any]:
    """A file's pixels there, 0 where it has none: in memory of the caller's, or in new memory of the file's type."""
    try:
        return _read(href, access, target, resampling, out, NO_MORE)
    except (NoAnswer, UnreadableFile):
        if not is_remote(href):
            raise
    access.forget()  # an old link's signature may have expired since the file was opened
    return _read_anew(href, access, target, resampling, out)


def _read_anew(
    href: str, access: Access, target: Target, resampling: Resampling, out: NDArray[Any] | None
) -> NDArray[Any]:
    """From the server, with nothing of what was kept; `NoAnswer` at once where it has none, GDAL having insisted."""
    for _ in range(READ_ANEW - 1):
        open_files.forget(href, access)
        with suppress(UnreadableFile):
            return _read(href, access, target, resampling, out, ANEW)
    open_files.forget(href, access)
    return _read(href, access, target, resampling, out, ANEW)


def _read(
    href: str,
    access: Access,
    target: Target,
    resampling: Resampling,
    out: NDArray[Any] | None,
    options: Mapping[str, str],
) -> NDArray[Any]:
    with told_apart(href):
        file = open_files.get(href, access, options)
        pixels = np.empty(target.shape, file.dataset.dtypes[0]) if out is None else out
        lattice = file.lattice(target)
        if lattice and file.plain:  # GDAL is not asked, and to prepare it for a question takes time
            _copy(file, lattice, pixels)
            return pixels
        with _gdal(access, options):
            if lattice:
                _copy(file, lattice, pixels)
            else:
                _warp(file.dataset, target, resampling, pixels)
        return pixels


def _gdal(access: Access, options: Mapping[str, str]) -> rasterio.Env:
    return rasterio.Env(**gdal_options(), **access.options(), **options)


def open_raster(href: str, access: Access) -> rasterio.DatasetReader:
    driver = DRIVERS.get(href[-4:].lower(), "GTiff")
    return rasterio.open(access.location(href), driver=driver, sharing=False)


def gdal_options() -> dict[str, Any]:
    """GDAL's settings; of the network's, those in the environment count: who sets them knows it."""
    return {
        name: os.environ.get(name, value) if name.startswith("GDAL_HTTP_") else value
        for name, value in GDAL_OPTIONS.items()
    }


def _warp(dataset: rasterio.DatasetReader, target: Target, resampling: Resampling, pixels: NDArray[Any]) -> None:
    height, width = target.shape
    with WarpedVRT(
        dataset, crs=f"EPSG:{target.epsg}", transform=target.transform, height=height, width=width,
        resampling=resampling, src_nodata=0, nodata=0, tolerance=NEARLY_EXACT, **_scales(dataset, target),
    ) as view:  # fmt: skip
        view.read(1, out=pixels)


def _scales(dataset: rasterio.DatasetReader, target: Target) -> dict[str, float]:
    """How much larger the file's pixels are: GDAL would estimate it anew, and otherwise, for each window."""
    if not (dataset.crs and dataset.crs.is_projected):
        return {}
    own, step = dataset.transform, target.transform.a
    return {"XSCALE": hypot(own.a, own.d) / step, "YSCALE": hypot(own.b, own.e) / step}


@dataclass(frozen=True)
class Lattice:
    """How a window of a grid lies on a file in the same CRS: in whole pixels of the grid."""

    y: int
    x: int
    """Grid pixels from the file's upper left corner to the window's."""
    repeat: int
    """Grid pixels on a side of one of the file's."""


@dataclass(frozen=True)
class OpenFile:
    """A dataset and its CRS, which is slow to ask for."""

    dataset: rasterio.DatasetReader
    epsg: int | None
    plain: PlainTiff | None

    def read(self, rows: slice, cols: slice, out: NDArray[Any]) -> None:
        """Pixels of a window that lies inside the file."""
        if self.plain:
            self.plain.read(rows, cols, out, open_files.decoded)
        else:
            self.dataset.read(1, window=Pixels.from_slices(rows, cols), out=out)

    def lattice(self, target: Target) -> Lattice | None:
        """None where pixels of the target are not whole parts of the file's pixels, so that these must be warped."""
        own, transform = self.dataset.transform, target.transform
        step = transform.a
        if self.epsg != target.epsg or (own.b, own.d, own.e) != (0, 0, -own.a) or own.a % step:
            return None
        y, x = (own.f - transform.f) / step, (transform.c - own.c) / step
        if y != int(y) or x != int(x):
            return None
        return Lattice(int(y), int(x), int(own.a / step))


class OpenFiles(threading.local):
    """The files that a thread has open, the longest unused first."""

    def __init__(self) -> None:
        self.files: OrderedDict[tuple[str, Access], OpenFile] = OrderedDict()
        self.decoded = DecodedBlocks(BLOCK_CACHE)

    def get(self, href: str, access: Access, options: Mapping[str, str] = NO_MORE) -> OpenFile:
        """Open already, or opened with these options of GDAL's beside the usual ones."""
        file = self.files.get((href, access)) or self._open(href, access, options)
        self.files.move_to_end((href, access))
        return file

    def forget(self, href: str, access: Access) -> None:
        file = self.files.pop((href, access), None)
        if file:
            file.dataset.close()

    def _open(self, href: str, access: Access, options: Mapping[str, str]) -> OpenFile:
        while len(self.files) >= OPEN_FILES:
            self.files.popitem(last=False)[1].dataset.close()
        with _gdal(access, options):
            dataset = open_raster(href, access)
            if not dataset.crs:  # GDAL would take it to lie in the grid's
                dataset.close()
                raise OSError(f"{href.split('?')[0]} names no CRS")
            plain = None if is_remote(href) else PlainTiff.of(dataset)
            file = self.files[href, access] = OpenFile(dataset, dataset.crs.to_epsg(), plain)
        return file


open_files = OpenFiles()


def _copy(file: OpenFile, lattice: Lattice, pixels: NDArray[Any]) -> None:
    """A window without any resampling: the file's pixels, each repeated where the grid is finer."""
    repeat, places = lattice.repeat, (lattice.y, lattice.x)
    rows, cols = (slice(at // repeat, -(-(at + n) // repeat)) for at, n in zip(places, pixels.shape, strict=True))
    if repeat == 1:
        _fill(file, rows, cols, pixels)
        return
    found = np.empty((rows.stop - rows.start, cols.stop - cols.start), pixels.dtype)
    _fill(file, rows, cols, found)
    _repeat(found, repeat, lattice.y - rows.start * repeat, lattice.x - cols.start * repeat, pixels)


def _fill(file: OpenFile, rows: slice, cols: slice, pixels: NDArray[Any]) -> None:
    """The file's own pixels, also of a window that reaches beyond it."""
    inside = _clipped(rows, file.dataset.height), _clipped(cols, file.dataset.width)
    if inside != (rows, cols):
        pixels[...] = 0
    if all(part.stop > part.start for part in inside):
        there = tuple(_moved(part, -whole.start) for part, whole in zip(inside, (rows, cols), strict=True))
        file.read(*inside, pixels[there])


def _clipped(part: slice, size: int) -> slice:
    return slice(max(part.start, 0), min(part.stop, size))


def _moved(part: slice, by: int) -> slice:
    return slice(part.start + by, part.stop + by)


def _repeat(pixels: NDArray[Any], times: int, y: int, x: int, out: NDArray[Any]) -> None:
    """Each pixel as a square of `times` by `times`, from a place among these on; quicker than numpy's `repeat`."""
    height, width = out.shape
    for row in range(times):
        for column in range(times):
            here = out[(row - y) % times :: times, (column - x) % times :: times]
            top, left = (y + (row - y) % times) // times, (x + (column - x) % times) // times
            here[...] = pixels[top : top + here.shape[0], left : left + here.shape[1]]
