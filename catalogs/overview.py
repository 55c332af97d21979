"""One look at a whole scene, thinned to a small picture; from a file's own overviews where it has some."""

from collections.abc import Mapping, Sequence
from typing import Any

import rasterio
from numpy.typing import NDArray
from rasterio.enums import Resampling

from catalogs.failures import NoAnswer, UnreadableFile, told_apart
from catalogs.files import ANEW, gdal_options, open_raster
from catalogs.scenes import Scene
from catalogs.stac.access import Access
from catalogs.stac.links import is_remote

SIDE = 512
"""Most pixels on a side: a quarter of a million of them know a scene's darkest hundredth well enough."""


def read_overview(scene: Scene, access: Access, names: Sequence[str]) -> dict[str, NDArray[Any]]:
    """Bands (and SCL) of the whole scene, each at most SIDE pixels high and wide.

    Of a file with overviews only one of these is read.
    """
    return {name: _thinned(scene.hrefs[name], access) for name in names}


def _thinned(href: str, access: Access) -> NDArray[Any]:
    try:
        return _read(href, access, {})
    except (NoAnswer, UnreadableFile):
        if not is_remote(href):
            raise
    access.forget()  # a link's signature may have expired
    return _read(href, access, ANEW)


def _read(href: str, access: Access, options: Mapping[str, str]) -> NDArray[Any]:
    with (
        told_apart(href),
        rasterio.Env(**gdal_options(), **access.options(), **options),
        open_raster(href, access) as dataset,
    ):
        shape = min(dataset.height, SIDE), min(dataset.width, SIDE)
        pixels: NDArray[Any] = dataset.read(1, out_shape=shape, resampling=Resampling.nearest)
        return pixels
