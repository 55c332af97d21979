"""Where the made-up country lies and how far it reaches."""

import numpy as np
from shapely.geometry import Polygon

from catalogs.grid import Bounds
from catalogs.synthetic.chance import stream
from catalogs.synthetic.projections import LONLAT, NATIONAL_CRS, between
from catalogs.synthetic.settings import CountrySettings

ZONE_BORDER = 12.0, 47.9
"""where UTM zones 32 and 33 meet: degrees east and north"""


def square(settings: CountrySettings) -> Bounds:
    """The country's square: across the zone border, its corner on a lattice of 2,560 m where it is big enough."""
    x, y = between(LONLAT, NATIONAL_CRS).transform(*ZONE_BORDER)
    step = 2560 if settings.size >= 1024 else 320
    left, bottom = (round((middle - settings.side / 2) / step) * step for middle in (x, y))
    return left, bottom, left + settings.side, bottom + settings.side


def surroundings(settings: CountrySettings) -> Bounds:
    """The square with all the ground that a scene in a turned UTM grid shows beside it."""
    left, bottom, right, top = square(settings)
    margin = 0.085 * settings.side + 120
    return left - margin, bottom - margin, right + margin, top + margin


def draw_boundary(settings: CountrySettings) -> Polygon:
    """An uneven line that stays inside the square."""
    rng = stream(settings.seed, "boundary")
    left, bottom, right, top = square(settings)
    angles = np.linspace(0, 2 * np.pi, 72, endpoint=False)
    swing = sum(rng.normal(0, 1 / k) * np.cos(k * angles + rng.uniform(0, 2 * np.pi)) for k in range(2, 12))
    reach = 0.90 + 0.08 * np.tanh(swing)
    to_square = 1 / np.maximum(np.abs(np.cos(angles)), np.abs(np.sin(angles)))
    radius = settings.side / 2 * reach * np.minimum(to_square, 1.25)
    return Polygon(
        np.stack([(left + right) / 2 + radius * np.cos(angles), (bottom + top) / 2 + radius * np.sin(angles)], axis=1)
    )
