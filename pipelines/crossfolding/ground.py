"""The labelled ground of a small place: its parcels, and the fold in which each is left out."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from catalogs import crops
from catalogs.errors import BadInput
from catalogs.stores import Store
from catalogs.taxonomy import IGNORE
from models.parcel_folds import NEVER, deal
from models.parcel_scores import NO_PARCEL
from pipelines.plan import Plan

MOST_PIXELS = 2**24
"""Of the grid: its labels are held in memory whole."""

MOST_PARCELS = 2000
"""With more of them there is ground enough for blocks of space."""

ALL = "all"
"""The fold that leaves nothing out: what the checkpoint to map with is made of."""

Numbers = NDArray[np.int64]


@dataclass(frozen=True)
class Fold:
    """Parcels that are left out together."""

    name: str
    left_out: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Ground:
    """Labels of the whole grid, and a row for each parcel with a class."""

    crop_YX: NDArray[np.uint8]
    parcel_YX: NDArray[np.uint32]
    parcel_P: NDArray[np.uint32]
    class_P: Numbers
    pixels_P: Numbers
    fold_P: Numbers

    @cached_property
    def folds(self) -> tuple[Fold, ...]:
        """Those that are scored, and last the one that leaves nothing out."""
        return (*self._scored(), Fold(ALL, ()))

    @property
    def scored_P(self) -> NDArray[np.bool_]:
        return np.asarray(self.fold_P != NEVER)

    @property
    def only_ones(self) -> list[int]:
        """Classes of a single parcel."""
        return [int(number) for number in np.unique(self.class_P[~self.scored_P])]

    def _scored(self) -> Iterator[Fold]:
        for number in range(int(self.fold_P.max()) + 1):
            yield Fold(str(number + 1), tuple(self.parcel_P[self.fold_P == number].tolist()))


def ground_of(plan: Plan) -> Ground:
    """Read from the labels; refuses what is too large, or has too few parcels to leave any out."""
    asked, region = plan.project.crossfold, plan.project.region.name
    remedy = "Cut patches and give `furrow compare`: it holds out blocks of space, which says more."
    if plan.grid.shape[0] * plan.grid.shape[1] > MOST_PIXELS:
        why = f"spans {plan.grid.shape[0]} x {plan.grid.shape[1]} pixels, and {MOST_PIXELS:,} are the most."
        raise BadInput(f"region {region}", why, remedy)
    store = Store(plan.root, crops.LABELS)
    crop_YX, parcel_YX = store.read("crop"), store.read("parcel")
    inside = (crop_YX != IGNORE) & (parcel_YX != NO_PARCEL)
    parcel_P, first_P, pixels_P = np.unique(parcel_YX[inside], return_index=True, return_counts=True)
    if len(parcel_P) > MOST_PARCELS:
        raise BadInput(f"region {region}", f"has {len(parcel_P):,} parcels, and {MOST_PARCELS:,} are the most.", remedy)
    class_P = crop_YX[inside][first_P].astype(np.int64)
    fold_P = deal(class_P, asked.folds, asked.seed)
    if not (fold_P != NEVER).any():
        why = f"have {len(parcel_P)} parcels, and no class has two of them."
        raise BadInput(f"labels of {region}", why, "Label more parcels: of one class two at least, one to learn from.")
    return Ground(crop_YX, parcel_YX, parcel_P, class_P, pixels_P, fold_P)
