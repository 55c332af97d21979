"""Right or wrong parcel by parcel: each has the class of most of its inner pixels, and counts once or by its area."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.errors import Misfit
from models.metrics import IGNORE, UNMAPPED, Confusion

NO_PARCEL = 0

Counts = NDArray[np.int64]

# Axis legend: P parcel, K class, Y row, X column.


@dataclass(frozen=True, eq=False)
class ParcelVotes:
    """A row for each parcel: the class it was declared with, its pixels, and how many inner ones name which class."""

    parcel_P: NDArray[np.uint32]
    truth_P: Counts
    pixels_P: Counts
    votes_PK: Counts


def count_parcels(
    truth_YX: NDArray[np.integer[Any]],
    predicted_YX: NDArray[np.integer[Any]],
    framed: NDArray[np.uint32],
    classes: int,
) -> ParcelVotes:
    """Of one tile; `framed` is its parcels and one pixel more on each side, so that tiles add up.

    Parcels without a class, and ground outside parcels, are left out.
    """
    if not truth_YX.shape == predicted_YX.shape == tuple(length - 2 for length in framed.shape):
        given = f"truth {truth_YX.shape}, map {predicted_YX.shape} and parcels {framed.shape}"
        raise Misfit(given, "parcels must have a frame of one pixel, the others none.", "Read them one pixel wider.")
    parcel_YX = framed[1:-1, 1:-1]
    inside = (parcel_YX != NO_PARCEL) & (truth_YX != IGNORE)
    parcel, first, index = np.unique(parcel_YX[inside], return_index=True, return_inverse=True)
    counted = (_interior(framed) & (predicted_YX != UNMAPPED))[inside]
    cells = index[counted] * classes + predicted_YX[inside][counted].astype(np.int64)
    votes = np.bincount(cells, minlength=len(parcel) * classes).reshape(-1, classes)
    pixels = np.bincount(index, minlength=len(parcel))
    return ParcelVotes(parcel, truth_YX[inside][first].astype(np.int64), pixels, votes)


def _interior(framed: NDArray[np.uint32]) -> NDArray[np.bool_]:
    """Pixels whose four neighbours are of the same parcel."""
    neighbours = (framed[:-2, 1:-1], framed[2:, 1:-1], framed[1:-1, :-2], framed[1:-1, 2:])
    return np.asarray(np.logical_and.reduce([side == framed[1:-1, 1:-1] for side in neighbours]))


def merge_parcels(parts: Sequence[ParcelVotes]) -> ParcelVotes:
    """One row for each parcel of all tiles."""
    together = [np.concatenate([getattr(part, name) for part in parts]) for name in ParcelVotes.__dataclass_fields__]
    parcel, first, index = np.unique(together[0], return_index=True, return_inverse=True)
    votes = np.zeros((len(parcel), together[3].shape[1]), np.int64)
    np.add.at(votes, index, together[3])
    pixels = np.bincount(index, together[2], minlength=len(parcel)).astype(np.int64)
    return ParcelVotes(parcel, together[1][first], pixels, votes)


def parcel_confusion(counted: ParcelVotes, by_area: bool = False) -> Confusion:
    """For `models.metrics.score`. A parcel with no mapped inner pixel (one or two pixels wide) is unmapped."""
    classes = counted.votes_PK.shape[1]
    weight = counted.pixels_P if by_area else np.ones_like(counted.pixels_P)
    known = counted.votes_PK.any(axis=1)
    cell = counted.truth_P * classes + counted.votes_PK.argmax(axis=1)
    matrix = np.bincount(cell[known], weight[known], minlength=classes * classes).reshape(classes, classes)
    unmapped = np.bincount(counted.truth_P[~known], weight[~known], minlength=classes)
    return Confusion(matrix.astype(np.int64), unmapped.astype(np.int64))
