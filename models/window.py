"""What every predictor is asked and answers: a window of a cube, and what stands for no class."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import numpy as np
import torch
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


Place = tuple[slice, slice]
"""Rows and columns of a window."""

Counts = NDArray[np.uint16] | Tensor
"""Pixels (T, B, Y, X); on a GPU the same 16 bits, which are called int16 there."""

Block = tuple[Place, Counts]
"""Where it lies in its window, and its pixels."""


@dataclass(frozen=True)
class Blocks:
    """A window of a cube that comes in rectangles, from left to right in rows of them that have one height, from above
    to below. Each is only to be looked at until the next one comes."""

    height: int
    width: int
    blocks: Iterable[Block]

    def checked(self, card: Card) -> "Blocks":
        """The periods that a model uses, of blocks that are what it was trained on."""
        return replace(self, blocks=((place, _used(card, block)) for place, block in self.blocks))

    def padded(self, stride: int) -> "Blocks":
        """No data below and to the right, up to whole strides, so that the window's own pixels stay aligned."""
        below, right = -self.height % stride, -self.width % stride
        if not below and not right:
            return self
        return Blocks(self.height + below, self.width + right, self._with_no_data(below, right))

    def _with_no_data(self, below: int, right: int) -> Iterator[Block]:
        for (rows, columns), block in self.blocks:
            yield (rows, columns), block
            like = block
            if right and columns.stop == self.width:
                beside = slice(self.width, self.width + right)
                yield (rows, beside), _no_data(like, rows.stop - rows.start, right)
        if below:
            place = slice(self.height, self.height + below), slice(0, self.width + right)
            yield place, _no_data(like, below, self.width + right)

    def whole(self) -> Counts:
        whole: Counts | None = None
        for place, block in self.blocks:
            if block.shape[-2:] == (self.height, self.width):
                return block
            if whole is None:
                whole = _no_data(block, self.height, self.width)
            whole[..., *place] = block  # type: ignore[assignment]  # all are arrays, or all are tensors
        assert whole is not None, "a window without pixels"
        return whole


def _no_data(like: Counts, height: int, width: int) -> Counts:
    shape = *like.shape[:2], height, width
    return like.new_zeros(shape) if isinstance(like, Tensor) else np.zeros(shape, like.dtype)


Seen = Counts | Blocks
"""A window of a cube, at once or in blocks."""


def in_blocks(x_TBYX: Seen, high: int | None = None) -> Blocks:
    """All of it in one, or in rows of so many pixels."""
    if isinstance(x_TBYX, Blocks):
        return x_TBYX
    height, width = x_TBYX.shape[-2:]
    rows = [slice(y, min(y + (high or height), height)) for y in range(0, height, high or height)]
    return Blocks(height, width, [((some, slice(0, width)), x_TBYX[..., some, :]) for some in rows])


def _used(card: Card, x_TBYX: Counts) -> Counts:
    check_window(card, x_TBYX)
    all_of_them = card.period_index == tuple(range(len(card.periods)))
    return x_TBYX if all_of_them else x_TBYX[list(card.period_index)]


def check_window(card: Card, x_TBYX: Counts) -> None:
    expected, kind = (len(card.periods), len(card.bands)), torch.int16 if isinstance(x_TBYX, Tensor) else np.uint16
    if x_TBYX.ndim != 4 or x_TBYX.shape[:2] != expected or x_TBYX.dtype != kind or 0 in x_TBYX.shape:
        why = f"uint16 ({expected[0]}, {expected[1]}, y, x) was expected."
        raise Misfit(f"window of {x_TBYX.dtype} {x_TBYX.shape}", why, "Read it from a cube that fits.")


def inside(x_YX: Pixels, halo: int) -> Pixels:
    """Without so many pixels along each edge; there may be other axes before them."""
    height, width = x_YX.shape[-2:]
    return x_YX[..., halo : height - halo, halo : width - halo]
