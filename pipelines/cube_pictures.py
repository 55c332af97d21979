"""Pictures of a surveyed cube: the ground in true colour, and how many clear observations each place has."""

import io

import numpy as np
from PIL import Image

from pipelines.cube_survey import CubeSurvey

BRIGHTEST, GAMMA = 2500, 1.5
"""Reflectance x 10000 that is shown as white, and how far the dark is lifted: fixed, so that periods compare."""

NO_DATA = "#b9b8b2"

CLEAR_STEPS = (
    (0, "Not seen", "#b3213a"),
    (1, "1", "#e3ecf2"),
    (2, "2", "#bcd6e6"),
    (3, "3", "#8dbbd8"),
    (4, "4 to 5", "#5a9bc4"),
    (6, "6 to 8", "#2f76a8"),
    (9, "9 and more", "#124c78"),
)
"""From how many clear observations on, what the legend says, and the colour."""


def colour_picture(survey: CubeSurvey, period: int) -> bytes:
    """A PNG of the ground as the eye would see it; plain grey where it was not seen, nothing where there is no tile."""
    seen = survey.clear[period][..., None] > 0
    return _png(np.where(seen, true_colour(survey.visible[period]), _rgb(NO_DATA)), survey.inside)


def clear_picture(survey: CubeSurvey, period: int) -> bytes:
    """A PNG of the number of clear observations in the colours of CLEAR_STEPS; nothing where there is no tile."""
    palette = np.stack([_rgb(colour) for _, _, colour in CLEAR_STEPS])
    steps = np.digitize(survey.clear[period], [least for least, _, _ in CLEAR_STEPS]) - 1
    return _png(palette[steps], survey.inside)


def true_colour(reflectance: np.ndarray) -> np.ndarray:
    """Red, green and blue (y, x, 3) in 0 to 255 for the reflectance x 10000 (3, y, x) of B02, B03 and B04."""
    lifted = np.clip(reflectance / BRIGHTEST, 0, 1) ** (1 / GAMMA) * 255
    colours: np.ndarray = np.moveaxis(lifted[::-1], 0, -1).round().astype(np.uint8)
    return colours


def _rgb(colour: str) -> np.ndarray:
    return np.array(list(bytes.fromhex(colour[1:])), np.uint8)


def _png(colours: np.ndarray, inside: np.ndarray) -> bytes:
    """Transparent outside; the same bytes for the same values."""
    opaque = np.where(inside, np.uint8(255), np.uint8(0))
    buffer = io.BytesIO()
    Image.fromarray(np.dstack([colours, opaque])).save(buffer, "PNG")
    return buffer.getvalue()
