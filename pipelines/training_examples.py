"""Patches that a network did not learn from, as pictures: the ground, what was declared, and what the network says."""

import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from catalogs.bands import BANDS
from catalogs.taxonomy import IGNORE
from models.predictor import Predictor
from pipelines.cube_pictures import true_colour
from pipelines.patch_reading import PatchReader

LOOKED_AT, SHOWN = 24, 6
"""Patches that are mapped, evenly through those that are watched, and those of them that are shown."""

VISIBLE = [BANDS.index(band) for band in ("B02", "B03", "B04")]
BLANK = (196, 195, 188)
"""The grey of ground that was not seen or not declared."""

Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class Example:
    """One of them; `right` is the share of its declared pixels that the network has as declared."""

    number: int
    right: float
    ground: bytes
    truth: bytes
    guess: bytes


def examples(
    predictor: Predictor, reader: PatchReader, members: Sequence[int], colours: Sequence[str]
) -> list[Example]:
    """From those the network knows least to those it knows best, in even steps."""
    found = []
    for number in members[:: -(-len(members) // LOOKED_AT)]:
        picture_TCYX, truth = reader.read(number)
        guess = predictor.predict(picture_TCYX).crop
        declared = (truth != IGNORE) & (guess != IGNORE)
        if declared.any():
            right = float((truth == guess)[declared].mean())
            found.append((right, number, picture_TCYX, truth, guess))
    found.sort(key=lambda one: one[:2])
    places = np.linspace(0, len(found) - 1, min(SHOWN, len(found))).round().astype(int)
    palette = _palette(colours)
    return [
        Example(number, right, _png(_ground(picture)), _png(palette[truth]), _png(palette[guess]))
        for right, number, picture, truth, guess in (found[place] for place in places)
    ]


def _ground(picture_TCYX: NDArray[np.uint16]) -> Pixels:
    """In true colour, in the period of which most was seen."""
    seen_TYX = np.asarray((picture_TCYX > 0).any(axis=1))
    period = int(seen_TYX.sum(axis=(1, 2)).argmax())
    colours = true_colour(picture_TCYX[period, VISIBLE].astype(np.float32))
    colours[~seen_TYX[period]] = BLANK
    return colours


def _palette(colours: Sequence[str]) -> Pixels:
    palette = np.full((256, 3), BLANK, np.uint8)
    palette[: len(colours)] = [list(bytes.fromhex(colour[1:])) for colour in colours]
    return palette


def _png(colours: Pixels) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(colours).save(buffer, "PNG", optimize=True)
    return buffer.getvalue()
