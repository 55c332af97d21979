"""What a network may learn as the structure of a patch, beside its classes: maps of arrays that are at hand."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.errors import Misfit
from models.normalisation import NO_DATA

RED, NEAR_INFRARED = 2, 6
"""B04 and B08 among a cube's ten bands, in wavelength order."""

# Axis legend: T period, C band, Y row, X column. Maps are float32 with NaN where nothing is known.

Map = NDArray[np.float32]


def seasonal_amplitude(x_TCYX: NDArray[np.uint16], red: int = RED, near_infrared: int = NEAR_INFRARED) -> Map:
    """The highest NDVI of a season less the lowest, of stored counts; NaN where fewer than two periods have data.

    Fields that were tilled and grew stand out as high plateaus, forest, water and towns are low.
    """
    if x_TCYX.ndim != 4 or not 0 <= max(red, near_infrared) < x_TCYX.shape[1]:
        given = f"a season of shape {x_TCYX.shape}"
        raise Misfit(given, f"(period, band, y, x) with bands {red} and {near_infrared} is needed.", "Give a cube's.")
    r, n = (x_TCYX[:, band].astype(np.float32) for band in (red, near_infrared))
    seen = (x_TCYX[:, red] != NO_DATA) & (x_TCYX[:, near_infrared] != NO_DATA)
    ndvi = (n - r) / np.where(seen, n + r, 1)
    high, low = np.where(seen, ndvi, -np.inf).max(axis=0), np.where(seen, ndvi, np.inf).min(axis=0)
    amplitude: Map = np.where(seen.sum(axis=0) >= 2, high - low, np.nan)
    return amplitude


def height(elevation_YX: NDArray[np.generic]) -> Map:
    """Metres as they are: the loss knows neither a unit nor an origin. Voids are NaN already."""
    return elevation_YX.astype(np.float32)


def slope(elevation_YX: NDArray[np.generic]) -> Map:
    """Rise over one pixel, by differences of neighbours; NaN beside a void."""
    down, across = np.gradient(elevation_YX.astype(np.float64))
    rise: Map = np.hypot(down, across).astype(np.float32)
    return rise


@dataclass(frozen=True)
class Target:
    """`needs` says which array `make` takes: the stored counts of a season, or metres of elevation."""

    needs: str
    make: Callable[[NDArray[Any]], Map]


TARGETS: dict[str, Target] = {
    "amplitude": Target("season", seasonal_amplitude),
    "height": Target("elevation", height),
    "slope": Target("elevation", slope),
}
"""Those that need arrays alone. The paper's own, pseudo-depth, needs a teacher: `models.depth_teacher`."""
