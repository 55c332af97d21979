"""The order of DACIA5's twelve bands, which is not documented, and a guard that asks the pixels whether it can be so.

The bands' means fit B01 B02 B03 B04 B05 B06 B07 B08 B8A B09 B11 B12. B01 and B09 are taken at 60 m, so each must be
the smoothest among the bands beside it and still look like its neighbour.
"""

import re
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from catalogs.bands import BANDS
from catalogs.errors import BadInput

ALL_BANDS = ("B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B09", "B11", "B12")

OUR_TEN = tuple(ALL_BANDS.index(band) for band in BANDS)
"""Places of a cube's bands among the twelve: 1 to 8, 10 and 11."""

COARSE = {"B01": ("B02", "B03", "B04"), "B09": ("B05", "B06", "B07", "B08", "B8A", "B11", "B12")}
"""Bands of 60 m and those that must be rougher."""

ALIKE = {"B01": "B02", "B09": "B8A"}

LEAST_ALIKE = 0.4
"""Correlation over a scene; of unlike bands it is near 0 or below."""

MARGIN = 1.1
"""Times by which a coarse band may be rougher than a fine one before the order is doubted."""

Pixels = NDArray[np.uint16]


def arranged(pixels: Pixels, names: Sequence[str | None]) -> Pixels:
    """Twelve bands in the order of ALL_BANDS: by the file's own names if it has them, else as they come."""
    plain = [re.sub(r"^B(\d)$", r"B0\1", name or "") for name in names]
    return pixels[[plain.index(band) for band in ALL_BANDS]] if sorted(plain) == sorted(ALL_BANDS) else pixels


def check_order(pixels: Pixels, what: str) -> None:
    """Raise unless twelve bands of a whole scene can be in that order; a scene without any texture passes."""
    bands = {band: pixels[place] for place, band in enumerate(ALL_BANDS)}
    for coarse, finer in COARSE.items():
        least = min(roughness(bands[band]) for band in finer)
        if least and roughness(bands[coarse]) > MARGIN * least:
            raise _doubted(what, f"what should be {coarse}, of 60 m, is rougher than bands of 10 and 20 m")
        if least and (found := _correlation(bands[coarse], bands[ALIKE[coarse]])) < LEAST_ALIKE:
            raise _doubted(
                what, f"what should be {coarse} does not look like {ALIKE[coarse]} (correlation {found:.2f})"
            )


def roughness(band: Pixels) -> float:
    """The step from pixel to pixel, against the spread of the band."""
    values = band.astype(np.float32)
    spread = float(values.std())
    steps = float(np.abs(np.diff(values, axis=0)).mean() + np.abs(np.diff(values, axis=1)).mean())
    return steps / spread if spread else 0.0


def _correlation(one: Pixels, other: Pixels) -> float:
    if one.std() == 0 or other.std() == 0:
        return 0.0
    return float(np.corrcoef(one.ravel(), other.ravel())[0, 1])


def _doubted(what: str, why: str) -> BadInput:
    return BadInput(
        what,
        f"Its bands are not in the order B01 to B12 with B8A before B09: {why}.",
        "Look at the file; if the order is another, name the bands in it as B01, B02 and so on.",
    )
