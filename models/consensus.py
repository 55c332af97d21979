"""What several looks at the same ground say together: members of an ensemble, each seeing it several ways."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.errors import Misfit

NO_CLASS = 255

# Axis legend: K class, Y row, X column.


@dataclass(frozen=True, eq=False)
class Consensus:
    """The mean probability of all views, and where all name the same class. Unknown is where a view saw nothing."""

    mean_KYX: NDArray[np.float64]
    agree_YX: NDArray[np.bool_]
    known_YX: NDArray[np.bool_]

    @property
    def crop_YX(self) -> NDArray[np.uint8]:
        """The most probable class; 255 where unknown."""
        return np.where(self.known_YX, self.mean_KYX.argmax(axis=0), NO_CLASS).astype(np.uint8)

    @property
    def confidence_YX(self) -> NDArray[np.float32]:
        return np.where(self.known_YX, self.mean_KYX.max(axis=0), 0).astype(np.float32)

    @property
    def doubt_YX(self) -> NDArray[np.float64]:
        """Entropy as a share of that of complete ignorance, log K: 0 is certain, 1 knows nothing."""
        p = np.maximum(self.mean_KYX, 1e-300)
        return np.where(self.known_YX, -(p * np.log(p)).sum(axis=0) / np.log(len(p)), 1.0)


def consensus(views: Iterable[NDArray[np.floating[Any]]]) -> Consensus:
    """Of calibrated probabilities (K, Y, X), one view after the other; NaN, or 0 for all classes, is ground not seen.

    Views that moved pixels (flips, turns) must have been turned back.
    """
    rest = iter(views)
    first = next(rest, None)
    if first is None:
        raise Misfit("no views", "a consensus needs one or more.", "Predict the ground first.")
    total, count = np.array(first, np.float64), 1
    named, known, agree = total.argmax(axis=0), _known(total), np.ones(total.shape[1:], bool)
    for count, view in enumerate(rest, start=2):  # noqa: B007  # its last value divides the sum
        if view.shape != total.shape:
            raise Misfit(f"views {total.shape} and {view.shape}", "they differ.", "Give the same ground in each.")
        known &= _known(view)
        agree &= view.argmax(axis=0) == named
        total += view
    return Consensus(np.where(known, total / count, 0.0), agree & known, known)


def _known(p_KYX: NDArray[np.floating[Any]]) -> NDArray[np.bool_]:
    return np.asarray(np.isfinite(p_KYX).all(axis=0) & (p_KYX.sum(axis=0) > 0))
