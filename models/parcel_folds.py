"""Which parcels are left out together, and what may then be learned: no label of theirs, and none beside them."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import maximum_filter

from models.errors import Misfit

IGNORE = 255

NEVER = -1
"""The fold of a parcel that is always learned and never scored."""

Folds = NDArray[np.int64]

# Axis legend: P parcel, Y row, X column.


def deal(class_P: NDArray[np.integer[Any]], folds: int, seed: int) -> Folds:
    """The fold of each parcel: class by class and by chance, so that folds differ by one parcel at most, in all and of
    each class.

    The only parcel of its class is never left out: a class that nothing is learned of cannot be found.
    """
    if folds < 2 or seed < 0:
        raise Misfit(f"{folds} folds, seed {seed}", "two folds are the least, and seeds start at 0.", "Write 5 and 0.")
    rng, turn = np.random.default_rng(seed), 0
    fold_P = np.full(len(class_P), NEVER, np.int64)
    for crop in np.unique(class_P):
        members = rng.permutation(np.flatnonzero(class_P == crop))
        if len(members) > 1:
            fold_P[members] = (turn + np.arange(len(members))) % folds
            turn += len(members)
    return fold_P


def learned(
    crop_YX: NDArray[np.uint8], parcel_YX: NDArray[np.uint32], left_out: Sequence[int], margin: int
) -> NDArray[np.uint8]:
    """The labels without those of the parcels left out, and without those up to `margin` pixels beside them."""
    if crop_YX.shape != parcel_YX.shape or margin < 0:
        given = f"labels {crop_YX.shape}, parcels {parcel_YX.shape} and a margin of {margin}"
        raise Misfit(given, "the same pixels are needed of both, and a margin from 0.", "Read them alike.")
    away_YX = np.isin(parcel_YX, np.asarray(left_out, np.uint32))
    near_YX = maximum_filter(away_YX, size=2 * margin + 1, mode="constant")
    return np.where(near_YX, np.uint8(IGNORE), crop_YX)
