"""Cloud-optimised GeoTIFFs of a map's arrays: a plain file window by window, GDAL's COG driver, and one rename."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import rasterio
from affine import Affine
from numpy.typing import NDArray
from rasterio.shutil import copy
from rasterio.windows import Window as Part

from catalogs.grid import Window
from catalogs.taxonomy import IGNORE, Taxonomy

BLOCK = 512
"""Pixels on a side of what a reader gets at once: what GDAL's COG driver takes when it is not told."""

Colours = Mapping[int, tuple[int, int, int, int]]


@dataclass(frozen=True)
class Picture:
    """What a file says besides its pixels, all of them bytes of which 255 is no data."""

    crs: str
    transform: Affine
    shape: tuple[int, int]
    resampling: str
    """How GDAL makes its overviews: MODE for classes, AVERAGE for percentages."""
    description: str
    tags: Mapping[str, str]
    colours: Colours = field(default_factory=dict)


def write_cog(path: Path, picture: Picture, parts: Iterator[tuple[Window, NDArray[np.uint8]]]) -> None:
    """The file is whole or not there. What a killed writer left beside it is taken by the next one."""
    plain, made = path.with_name(f"{path.name}.pixels.partial"), path.with_name(f"{path.name}.partial")
    path.parent.mkdir(parents=True, exist_ok=True)
    with _removed(plain, made):
        _write_plain(plain, picture, parts)
        copy(
            plain,
            made,
            driver="COG",
            compress="DEFLATE",
            blocksize=BLOCK,
            overview_resampling=picture.resampling,
            bigtiff="IF_SAFER",
        )
        os.replace(made, path)


def colours_of(taxonomy: Taxonomy) -> Colours:
    """Of each class, and nothing at all where there is no data."""
    known = {number: _rgba(colour) for number, colour in enumerate(taxonomy.colours)}
    return known | {IGNORE: (0, 0, 0, 0)}


def _rgba(colour: str) -> tuple[int, int, int, int]:
    red, green, blue = bytes.fromhex(colour[1:])
    return red, green, blue, 255


def _write_plain(path: Path, picture: Picture, parts: Iterator[tuple[Window, NDArray[np.uint8]]]) -> None:
    """Blocks that are never written are no data and take no space."""
    height, width = picture.shape
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        dtype="uint8",
        count=1,
        height=height,
        width=width,
        crs=picture.crs,
        transform=picture.transform,
        nodata=IGNORE,
        tiled=True,
        blockxsize=BLOCK,
        blockysize=BLOCK,
        compress="DEFLATE",
        zlevel=1,
        sparse_ok=True,
        bigtiff="IF_SAFER",
    ) as file:
        if picture.colours:
            file.write_colormap(1, picture.colours)
        file.set_band_description(1, picture.description)
        file.update_tags(**picture.tags)
        for window, pixels in parts:
            file.write(pixels, 1, window=Part(window.x, window.y, window.width, window.height))


@contextmanager
def _removed(*paths: Path) -> Iterator[None]:
    """Before, as a killed writer may have left them, and after."""
    for path in paths:
        path.unlink(missing_ok=True)
    try:
        yield
    finally:
        for path in paths:
            path.unlink(missing_ok=True)
