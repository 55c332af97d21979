"""Five indices that tell crops apart better than the bands they are made of."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Plane = NDArray[np.float32]

ONE = np.float32(10_000)  # reflectance of 1 in a cube's units


def _difference(a: Plane, b: Plane) -> Plane:
    found: Plane = (a - b) / (a + b)
    return found


def _evi2(near_infrared: Plane, red: Plane) -> Plane:
    """Jiang et al. 2008: an enhanced vegetation index that needs no blue."""
    greenness, soil = np.float32(2.5) * (near_infrared - red), near_infrared + np.float32(2.4) * red + ONE
    return (greenness / soil).astype(np.float32, copy=False)


INDICES: dict[str, tuple[str, str, Callable[[Plane, Plane], Plane]]] = {
    "NDVI": ("B08", "B04", _difference),
    "NDWI": ("B03", "B08", _difference),
    "NDMI": ("B08", "B11", _difference),
    "NDRE": ("B8A", "B05", _difference),
    "EVI2": ("B08", "B04", _evi2),
}
"""Name, the two bands, and the formula. Of counts above 0 they lie between -1 and 1.5."""

MISSING = np.float32(-2)
"""Where a band of it has no data: outside the range of all, so that one split of a tree sets such pixels apart."""


def possible_indices(bands: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(name for name, (one, other, _) in INDICES.items() if one in bands and other in bands)


def index_plane(name: str, counts_CYX: NDArray[np.uint16], bands: tuple[str, ...]) -> Plane:
    """One index of one period, from reflectance x 10000."""
    first, second, formula = INDICES[name]
    one, other = (counts_CYX[bands.index(band)].astype(np.float32) for band in (first, second))
    seen = (one > 0) & (other > 0)
    value = formula(np.where(seen, one, ONE), np.where(seen, other, ONE))
    return np.where(seen, value, MISSING)
