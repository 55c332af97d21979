"""What every predictor is asked and answers: a window of a cube, and what stands for no class."""

from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from models.card import Card
from models.errors import Misfit

NO_CLASS = 255

Labels = NDArray[np.uint8]

Pixels = TypeVar("Pixels", NDArray[Any], Tensor)

# Axis legend: T period, B band, K class, Y row, X column.


@dataclass(frozen=True, eq=False)
class Answer:
    """What a model says of each pixel of a window."""

    crop: Labels
    confidence: Labels
    """Percent."""
    probability_KYX: Labels | None = None
    """Percent, where it was asked for."""

    @staticmethod
    def nothing(shape: tuple[int, ...], classes: int = 0) -> "Answer":
        """No class anywhere; with `classes`, there is room for the probability of each."""
        crop = np.full(shape, NO_CLASS, np.uint8)
        return Answer(crop, crop.copy(), np.full((classes, *shape), NO_CLASS, np.uint8) if classes else None)

    @property
    def layers(self) -> tuple[Labels, ...]:
        known = self.crop, self.confidence
        return known if self.probability_KYX is None else (*known, self.probability_KYX)

    def take(self, here: tuple[slice, slice], other: "Answer") -> None:
        """Fill a part of this one with another."""
        for mine, theirs in zip(self.layers, other.layers, strict=True):
            mine[..., *here] = theirs

    def forget(self, where_YX: NDArray[np.bool_]) -> None:
        """Say nothing of some pixels."""
        for layer in self.layers:
            layer[..., where_YX] = NO_CLASS


def check_window(card: Card, x_TBYX: NDArray[np.uint16]) -> None:
    expected = len(card.periods), len(card.bands)
    if x_TBYX.ndim != 4 or x_TBYX.shape[:2] != expected or x_TBYX.dtype != np.uint16 or 0 in x_TBYX.shape:
        why = f"uint16 ({expected[0]}, {expected[1]}, y, x) was expected."
        raise Misfit(f"window of {x_TBYX.dtype} {x_TBYX.shape}", why, "Read it from a cube that fits.")


def inside(x_YX: Pixels, halo: int) -> Pixels:
    """Without so many pixels along each edge; there may be other axes before them."""
    height, width = x_YX.shape[-2:]
    return x_YX[..., halo : height - halo, halo : width - halo]
