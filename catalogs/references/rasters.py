"""Pictures of the reference datasets, GeoTIFF and PNG, whose size is checked before a pixel is read."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray
from PIL import Image
from rasterio.errors import NotGeoreferencedWarning, RasterioError

from catalogs.errors import BadInput
from catalogs.references.places import AGAIN, plain_file

NO_NEIGHBOURS = {"GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR"}
"""GDAL would read files that lie beside a picture too."""


def read_tiff(path: Path, bands: int, rows: int, columns: int) -> tuple[NDArray[np.uint16], tuple[str | None, ...]]:
    """Counts (band, row, column) and what the file calls its bands; also of a file that counts rows as bands."""
    with _opened(path) as file:
        _check_tiff(path, file, bands, rows, columns)
        pixels: NDArray[np.uint16] = file.read()
        names = tuple(file.descriptions)
    if pixels.shape == (bands, rows, columns):
        return pixels, names
    return np.ascontiguousarray(np.moveaxis(pixels, 2, 0)), ()


def check_tiff(path: Path, bands: int, rows: int, columns: int) -> None:
    """Without reading the pixels."""
    with _opened(path) as file:
        _check_tiff(path, file, bands, rows, columns)


def read_png(path: Path, rows: int, columns: int) -> NDArray[np.uint8]:
    """A picture of one channel of bytes."""
    try:
        with Image.open(plain_file(path), formats=["PNG"]) as picture:
            if picture.size != (columns, rows) or picture.mode not in ("L", "P"):
                found = f"{picture.height} x {picture.width} ({picture.mode})"
                raise _refused(path, f"It is {found}, not {rows} x {columns} of one channel of bytes.")
            return np.asarray(picture, dtype=np.uint8)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise _refused(path, "It is not a PNG picture, or it is damaged.") from error


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    plain_file(path)
    try:
        with warnings.catch_warnings(), rasterio.Env(**NO_NEIGHBOURS):
            warnings.simplefilter("ignore", NotGeoreferencedWarning)  # the patches lie nowhere
            # of other formats GDAL would follow a text to any other file or address
            with rasterio.open(path, driver="GTiff", sharing=False) as file:
                yield file
    except RasterioError as error:
        raise _refused(path, "It is not a GeoTIFF, or it is damaged.") from error


def _check_tiff(path: Path, file: Any, bands: int, rows: int, columns: int) -> None:
    found = (file.count, file.height, file.width)
    if found not in {(bands, rows, columns), (rows, columns, bands)}:
        shape = " x ".join(map(str, found))
        raise _refused(path, f"It is {shape} (bands, rows, columns), not {bands} x {rows} x {columns}.")
    if set(file.dtypes) != {"uint16"}:
        raise _refused(path, f"Its values are {file.dtypes[0]}, not uint16.")


def _refused(path: Path, why: str) -> BadInput:
    return BadInput(f"file {path}", why, AGAIN)
