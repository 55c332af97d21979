"""What the pixels of each field say together: sums, so that a field which lies in several tiles is one field."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from models.consensus import NO_CLASS, Consensus
from models.errors import Misfit

NO_FIELD = 0

# Axis legend: F field, K class, Y row, X column.


@dataclass(frozen=True, eq=False)
class FieldVotes:
    """A row for each field: how many pixels name each class, how many of them surely, and the sum of probabilities."""

    field_F: NDArray[np.uint32]
    votes_FK: NDArray[np.int64]
    sure_FK: NDArray[np.int64]
    probability_FK: NDArray[np.float64]
    cropland_F: NDArray[np.int64]

    @property
    def pixels_F(self) -> NDArray[np.int64]:
        """Those that some view saw."""
        return np.asarray(self.votes_FK.sum(axis=1))

    @property
    def crop_F(self) -> NDArray[np.int64]:
        """The class of most pixels; of two alike the first."""
        return np.asarray(self.votes_FK.argmax(axis=1))

    @property
    def agreement_F(self) -> NDArray[np.float64]:
        return np.asarray(self.votes_FK.max(axis=1) / np.maximum(self.pixels_F, 1))

    @property
    def confidence_F(self) -> NDArray[np.float64]:
        """Mean probability of the field's class."""
        return np.asarray(_of_class(self.probability_FK, self.crop_F) / np.maximum(self.pixels_F, 1))

    @property
    def sure_F(self) -> NDArray[np.int64]:
        """Pixels that surely name the field's class."""
        return _of_class(self.sure_FK, self.crop_F)


def count_votes(
    found: Consensus,
    field_YX: NDArray[np.uint32],
    cropland_YX: NDArray[np.bool_] | None = None,
    most_doubt: float = 0.5,
) -> FieldVotes:
    """Of one tile. `cropland_YX` is what a model of cropland alone says; without one every pixel is cropland.

    A pixel is sure of its class where all views agree and `doubt_YX` is below `most_doubt`.
    """
    _check(found, field_YX)
    inside = found.known_YX & (field_YX != NO_FIELD)
    field, index = np.unique(field_YX[inside], return_inverse=True)
    classes, crop = len(found.mean_KYX), found.crop_YX[inside].astype(np.int64)
    sure = is_sure(found, most_doubt)[inside]
    cell, cells = index * classes + crop, len(field) * classes
    votes, surely = np.bincount(cell, minlength=cells), np.bincount(cell[sure], minlength=cells)
    probability = [np.bincount(index, p, minlength=len(field)) for p in found.mean_KYX[:, inside]]
    cropland = np.ones(len(index)) if cropland_YX is None else cropland_YX[inside]
    return FieldVotes(
        field.astype(np.uint32),
        votes.reshape(-1, classes),
        surely.reshape(-1, classes),
        np.stack(probability, axis=1),
        np.bincount(index, cropland, minlength=len(field)).astype(np.int64),
    )


def is_sure(found: Consensus, most_doubt: float) -> NDArray[np.bool_]:
    return found.agree_YX & (found.doubt_YX < most_doubt)


def merge_votes(parts: Sequence[FieldVotes]) -> FieldVotes:
    """One row for each field of all tiles."""
    if not parts:
        raise Misfit("no tiles", "votes of one or more are needed.", "Count the votes of each tile.")
    field, index = np.unique(np.concatenate([part.field_F for part in parts]), return_inverse=True)

    def added(name: str) -> NDArray[np.generic]:
        rows = np.concatenate([getattr(part, name) for part in parts])
        total = np.zeros((len(field), *rows.shape[1:]), rows.dtype)
        np.add.at(total, index, rows)
        return total

    names = ("votes_FK", "sure_FK", "probability_FK", "cropland_F")
    return FieldVotes(field, *(added(name) for name in names))  # type: ignore[arg-type]


def pieces_as_fields(crop_YX: NDArray[np.uint8]) -> NDArray[np.uint32]:
    """Where nobody drew fields: connected pieces of one class, numbered from 1 within this tile."""
    fields = np.zeros(crop_YX.shape, np.uint32)
    taken = 0
    for crop in np.unique(crop_YX[crop_YX != NO_CLASS]):
        piece, count = ndimage.label(crop_YX == crop)
        fields[piece > 0] = piece[piece > 0] + taken
        taken += count
    return fields


def _of_class(values_FK: NDArray[np.generic], crop_F: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.asarray(np.take_along_axis(values_FK, crop_F[:, None], axis=1)[:, 0])


def _check(found: Consensus, field_YX: NDArray[np.uint32]) -> None:
    if found.agree_YX.shape != field_YX.shape:
        given = f"views {found.agree_YX.shape} and fields {field_YX.shape}"
        raise Misfit(given, "the shapes differ.", "Give the same pixels of both.")
