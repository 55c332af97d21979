"""One image out of a PASTIS series: the single-date setting, for networks that see one day.

PASTIS has no cloud mask, so "best" goes by a rule of ours. A pixel is clear if it has data and its blue reflectance is
below 0.15: cloud and snow are brighter, fields are not; thin cirrus and shadow pass unseen.
"""

from dataclasses import dataclass
from datetime import date
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from catalogs.bands import BANDS
from catalogs.errors import BadInput
from catalogs.references.pastis import PastisPatch, empty_pixels

SUMMER = date(2019, 8, 1)
"""The day of U-TAE's own single-date experiment."""

CLOUDY_BLUE = 1500


@dataclass(frozen=True, eq=False)
class SingleDate:
    """One image of a series."""

    position: int
    """In the series, from 0."""
    day: date
    clear: float
    """Share of pixels that the rule holds for clear."""
    pixels: NDArray[np.uint16]
    """Reflectance x 10000 (band, y, x), 0 = no data."""


def single_date(patch: PastisPatch, day: date | Literal["best"] = SUMMER) -> SingleDate:
    """The image nearest to a day, the earlier of two as near; or the clearest one.

    Images without any data are passed over. Of images that are as clear to a whole percent, the best is the one
    nearest to 1 August 2019, for many are without a cloud and winter says little of crops.
    """
    shares = clear_shares(patch)
    with_data = [position for position in range(len(patch.dates)) if shares[position] is not None]
    if not with_data:
        raise BadInput(f"patch {patch.id} of PASTIS", "None of its images has any data.", "Leave it out.")
    chosen = min(with_data, key=lambda position: _rank(patch.dates[position], shares[position] or 0.0, day))
    return SingleDate(chosen, patch.dates[chosen], shares[chosen] or 0.0, patch.read_image(chosen))


def clear_shares(patch: PastisPatch) -> list[float | None]:
    """The share of clear pixels in each image, None for one without any data."""
    blue = BANDS.index("B02")
    shares: list[float | None] = []
    for image in patch.raw():
        filled = ~empty_pixels(image)
        shares.append(float((filled & (image[blue] < CLOUDY_BLUE)).mean()) if filled.any() else None)
    return shares


def _rank(taken: date, clear: float, day: date | Literal["best"]) -> tuple[int, int, date]:
    percent = round(100 * clear) if day == "best" else 0
    return -percent, abs((taken - (SUMMER if day == "best" else day)).days), taken
