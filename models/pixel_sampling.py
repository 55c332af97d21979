"""Which pixels a forest learns from: few of each parcel, for they are alike, and no more of one class than enough.

A pixel's turn comes from a hash of its key and the seed. So the choice does not depend on the order of pixels, and
thinning parcels part by part and then again gives what thinning all at once gives.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.errors import Misfit

IGNORE = 255
NO_PARCEL = 0

Index = NDArray[np.int64]
Keys = NDArray[np.uint64]

# Axis legend: N pixel.


@dataclass(frozen=True)
class PixelLimits:
    """At most so many pixels; ground outside parcels has no limit but that of its class."""

    each_class: int = 20_000
    each_parcel: int = 50
    seed: int = 0

    def __post_init__(self) -> None:
        if min(self.each_class, self.each_parcel) < 1 or self.seed < 0:
            raise Misfit(f"{self}", "at least one pixel must remain, and seeds start at 0.", "Raise the limits.")


def choose_pixels(truth_N: NDArray[np.uint8], parcel_N: NDArray[np.uint32], key_N: Keys, limits: PixelLimits) -> Index:
    """Indices in rising order. `key_N` names each pixel for good, for example patch number times pixels a patch plus
    place."""
    _check(truth_N, parcel_N, key_N)
    kept = thin_parcels(truth_N, parcel_N, key_N, limits)
    within = _first_of_each(truth_N[kept], _turn(key_N[kept], limits.seed), limits.each_class)
    return kept[within]


def thin_parcels(truth_N: NDArray[np.uint8], parcel_N: NDArray[np.uint32], key_N: Keys, limits: PixelLimits) -> Index:
    """Only the limit of parcels, for one part after the other: what is left of all parts goes to `choose_pixels`."""
    labelled = np.flatnonzero(truth_N != IGNORE)
    parcel = parcel_N[labelled]
    first = _first_of_each(parcel, _turn(key_N[labelled], limits.seed), limits.each_parcel)
    return np.sort(np.union1d(labelled[first], labelled[parcel == NO_PARCEL]))


def _first_of_each(group_N: NDArray[np.integer[Any]], turn_N: Keys, most: int) -> Index:
    """The `most` of each group whose turn comes first, in rising order."""
    order = np.lexsort((turn_N, group_N))
    grouped = group_N[order]
    starts = np.flatnonzero(np.concatenate([[True], grouped[1:] != grouped[:-1]])) if len(grouped) else np.zeros(0, int)
    place = np.arange(len(order)) - np.repeat(starts, np.diff(np.append(starts, len(order))))
    return np.sort(order[place < most])


def _turn(key_N: Keys, seed: int) -> Keys:
    """SplitMix64 (Steele et al. 2014): a permutation of 64-bit numbers, so two keys never tie."""
    with np.errstate(over="ignore"):
        x = key_N + np.uint64(seed) * np.uint64(0xD1342543DE82EF95) + np.uint64(0x9E3779B97F4A7C15)
        x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.asarray(x ^ (x >> np.uint64(31)))


def _check(truth_N: NDArray[np.uint8], parcel_N: NDArray[np.uint32], key_N: Keys) -> None:
    if truth_N.ndim != 1 or not truth_N.shape == parcel_N.shape == key_N.shape or key_N.dtype != np.uint64:
        given = f"truth {truth_N.shape}, parcels {parcel_N.shape} and {key_N.dtype} keys {key_N.shape}"
        raise Misfit(given, "one of each is needed for every pixel, keys as uint64.", "Flatten them alike.")
    if len(np.unique(key_N)) != len(key_N):
        raise Misfit(f"{len(key_N)} keys", "some pixels share one.", "Count patches into the key.")
