"""A forest that answers the call of all predictors, block by block, so that features never fill the memory."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product
from math import isqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from models.card import Card
from models.forest import Forest, forest_of
from models.forest_features import Features
from models.forest_settings import BLOCK, ForestSettings
from models.normalisation import NO_DATA
from models.window import Answer, Seen, in_blocks, inside

# Axis legend: T period, B band, Y row, X column, F feature, N pixel, K class.


@dataclass(frozen=True, eq=False)
class ForestPredictor:
    """Windows may begin anywhere: sums in whole numbers leave no trace of where they began."""

    card: Card
    forest: Forest
    features: Features

    @property
    def halo(self) -> int:
        return self.features.settings.halo

    @property
    def stride(self) -> int:
        return self.features.settings.stride

    @property
    def window(self) -> int:
        return self.features.settings.window

    @property
    def on_cpu(self) -> bool:
        return True

    @property
    def flow(self) -> int:
        return 0

    def room(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> NDArray[Any]:
        return np.empty(shape, dtype)

    def held(self, x_TBYX: NDArray[np.uint16]) -> Any:
        return x_TBYX

    def predict(self, x_TBYX: Seen, probabilities: bool = False, halo: int = 0) -> Answer:
        used_TBYX = in_blocks(x_TBYX).checked(self.card).whole()
        assert isinstance(used_TBYX, np.ndarray), "forests look at nothing on a GPU"
        asked_TBYX, padded = inside(used_TBYX, halo), inside(self._padded(used_TBYX), halo)
        answer = Answer.nothing(asked_TBYX.shape[-2:], self.forest.classes if probabilities else 0)
        for rows, columns in self._blocks(answer.crop.shape):
            answer.take((rows, columns), self._answer(padded, rows, columns, probabilities))
        answer.forget((asked_TBYX == NO_DATA).all(axis=(0, 1)))
        return answer

    def _padded(self, used_TBYX: NDArray[np.uint16]) -> NDArray[np.uint16]:
        """Beyond the window there is no data, as there is none beyond a grid."""
        around = ((0, 0), (0, 0), (self.halo, self.halo), (self.halo, self.halo))
        return np.pad(used_TBYX, around, constant_values=NO_DATA)

    def _blocks(self, shape: tuple[int, ...]) -> list[tuple[slice, slice]]:
        side = max(isqrt(BLOCK // (4 * len(self.features.names))), 2 * self.halo, 1)
        return [
            (slice(y, min(y + side, shape[0])), slice(x, min(x + side, shape[1])))
            for y, x in product(range(0, shape[0], side), range(0, shape[1], side))
        ]

    def _answer(self, padded: NDArray[np.uint16], rows: slice, columns: slice, probabilities: bool) -> Answer:
        around = (slice(part.start, part.stop + 2 * self.halo) for part in (rows, columns))
        planes_FYX = self.features.planes(padded[:, :, *around], self.halo)
        share_NK = self.forest.shares(planes_FYX.reshape(len(planes_FYX), -1).T)
        crop, percent = share_NK.argmax(axis=1), np.rint(share_NK.max(axis=1) * 100)
        shape = planes_FYX.shape[1:]
        each_KYX = _percent(share_NK).T.reshape(-1, *shape) if probabilities else None
        return Answer(crop.astype(np.uint8).reshape(shape), percent.astype(np.uint8).reshape(shape), each_KYX)


def _percent(share_NK: NDArray[np.float64]) -> NDArray[np.uint8]:
    """In place, since shares of all classes are large."""
    share_NK *= 100
    return np.rint(share_NK, out=share_NK).astype(np.uint8)


def load_forest(state: Mapping[str, Tensor], card: Card, settings: ForestSettings) -> ForestPredictor:
    """Of a card's settings, once they have been checked against the card."""
    features = Features(settings, card.bands, card.used_middles)
    given = f"checkpoint {card.name}"
    forest = forest_of(state, settings.trees, len(features.names), settings.classes, given)
    return ForestPredictor(card, forest, features)
