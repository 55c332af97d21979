"""Whether tiles show in a map: how often its class changes across their borders, against lines inside them."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.metrics import UNMAPPED


@dataclass(frozen=True)
class SeamCount:
    """Pairs of neighbouring mapped pixels, and those of different class, across borders and inside."""

    border_pairs: int = 0
    border_changes: int = 0
    inner_pairs: int = 0
    inner_changes: int = 0

    def __add__(self, other: "SeamCount") -> "SeamCount":
        return SeamCount(
            self.border_pairs + other.border_pairs,
            self.border_changes + other.border_changes,
            self.inner_pairs + other.inner_pairs,
            self.inner_changes + other.inner_changes,
        )

    @property
    def border(self) -> float:
        return self.border_changes / max(self.border_pairs, 1)

    @property
    def interior(self) -> float:
        return self.inner_changes / max(self.inner_pairs, 1)

    @property
    def ratio(self) -> float:
        """About 1 where borders leave no trace; more where the map changes at them."""
        return self.border / self.interior if self.interior else 1.0

    def as_dict(self) -> dict[str, float]:
        return {"border": self.border, "interior": self.interior, "ratio": self.ratio, "pairs": self.border_pairs}


def count_changes(crop: NDArray[np.uint8], height: int, width: int) -> SeamCount:
    """Changes within a tile of `height` x `width`, and to the row and column behind its southern and eastern border."""
    down = _changes(crop[:-1, :width], crop[1:, :width])
    right = _changes(crop[:height, :-1], crop[:height, 1:])
    south, east = down[:, height - 1 :], right[:, :, width - 1 :]
    pairs_in, changes_in = (int(down[i, : height - 1].sum() + right[i, :, : width - 1].sum()) for i in (0, 1))
    pairs, changes = (int(south[i].sum() + east[i].sum()) for i in (0, 1))
    return SeamCount(pairs, changes, pairs_in, changes_in)


def _changes(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Which pairs are mapped on both sides, and which of those change."""
    mapped = (a != UNMAPPED) & (b != UNMAPPED)
    return np.stack([mapped, mapped & (a != b)])
