"""What every predictor is asked and answers: a window of a cube, and what stands for no class."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
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

    def part(self, rows: slice, columns: slice) -> "Answer":
        crop, confidence, *probability = (layer[..., rows, columns] for layer in self.layers)
        return Answer(crop, confidence, *probability)

    def forget(self, where_YX: NDArray[np.bool_]) -> None:
        """Say nothing of some pixels."""
        for layer in self.layers:
            layer[..., where_YX] = NO_CLASS


@dataclass(frozen=True)
class Strips:
    """A window of a cube that comes from above to below, some rows at a time, and is only to be looked at once."""

    height: int
    width: int
    strips_TBYX: Iterable[NDArray[np.uint16]]

    def checked(self, card: Card) -> "Strips":
        """The periods that a model uses, of strips that are what it was trained on."""
        return replace(self, strips_TBYX=(_used(card, strip) for strip in self.strips_TBYX))

    def padded(self, stride: int) -> "Strips":
        """No data below and to the right, up to whole strides, so that the window's own pixels stay aligned."""
        below, right = -self.height % stride, -self.width % stride
        if not below and not right:
            return self
        return Strips(self.height + below, self.width + right, _with_no_data(self.strips_TBYX, below, right))

    def whole(self) -> NDArray[np.uint16]:
        strips = list(self.strips_TBYX)
        return strips[0] if len(strips) == 1 else np.concatenate(strips, axis=-2)


Seen = NDArray[np.uint16] | Strips
"""A window of a cube, at once or in strips."""


def in_strips(x_TBYX: Seen) -> Strips:
    return x_TBYX if isinstance(x_TBYX, Strips) else Strips(x_TBYX.shape[-2], x_TBYX.shape[-1], [x_TBYX])


def _used(card: Card, x_TBYX: NDArray[np.uint16]) -> NDArray[np.uint16]:
    check_window(card, x_TBYX)
    all_of_them = card.period_index == tuple(range(len(card.periods)))
    return x_TBYX if all_of_them else x_TBYX[list(card.period_index)]


def _with_no_data(strips_TBYX: Iterable[NDArray[np.uint16]], below: int, right: int) -> Iterator[NDArray[np.uint16]]:
    for strip in strips_TBYX:
        last = np.pad(strip, [(0, 0), (0, 0), (0, 0), (0, right)])
        yield last
    if below:
        yield np.zeros((*last.shape[:2], below, last.shape[-1]), last.dtype)


def check_window(card: Card, x_TBYX: NDArray[np.uint16]) -> None:
    expected = len(card.periods), len(card.bands)
    if x_TBYX.ndim != 4 or x_TBYX.shape[:2] != expected or x_TBYX.dtype != np.uint16 or 0 in x_TBYX.shape:
        why = f"uint16 ({expected[0]}, {expected[1]}, y, x) was expected."
        raise Misfit(f"window of {x_TBYX.dtype} {x_TBYX.shape}", why, "Read it from a cube that fits.")


def inside(x_YX: Pixels, halo: int) -> Pixels:
    """Without so many pixels along each edge; there may be other axes before them."""
    height, width = x_YX.shape[-2:]
    return x_YX[..., halo : height - halo, halo : width - halo]
