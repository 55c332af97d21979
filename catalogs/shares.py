"""The rule `share` of burning: a pixel is of the crop whose parcels cover at least so much of it.

The ground that parcels of one class cover is counted once, also where they overlap. Where two classes reach the share
(they overlap there, or each covers half), the pixel is in conflict: 255, and no parcel. The parcel of a pixel is the
one of its class that covers most of it; of several that cover the same, the smallest id.
"""

import numpy as np
import shapely
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from catalogs.coverage import Covered, coverage
from catalogs.grid import Bounds
from catalogs.parcels.table import Parcels
from catalogs.taxonomy import IGNORE

Layers = tuple[NDArray[np.uint8], NDArray[np.uint32]]
"""crop and parcel, both (y, x)"""

ROUNDING = 9
"""Decimals to which shares are told apart: an exact half is a half however it was added up."""

OVERLAP = 1e-4
"""square metres: parcels that overlap by less are neighbours whose corners were rounded"""


def burn_shares(parcels: Parcels, bounds: Bounds, side: int, outside: int, min_share: float) -> Layers:
    """Crop and parcel of a square of `side` pixels."""
    crop = np.full(side * side, outside, dtype=np.uint8)
    parcel = np.zeros(side * side, dtype=np.uint32)
    covered = coverage(parcels.geometries, bounds, side)
    pixels, classes = _reaching(parcels, covered, bounds, side, min_share)
    first = np.r_[True, pixels[1:] != pixels[:-1]] if len(pixels) else np.zeros(0, dtype=bool)
    crop[pixels[first]] = classes[first]
    _give_parcels(parcel, crop, parcels, covered, pixels)
    conflict = pixels[~first]
    crop[conflict], parcel[conflict] = IGNORE, 0
    return crop.reshape(side, side), parcel.reshape(side, side)


def _reaching(
    parcels: Parcels, covered: Covered, bounds: Bounds, side: int, min_share: float
) -> tuple[NDArray[np.int64], NDArray[np.uint8]]:
    """Each pixel and class of which enough is covered, by pixel."""
    shapes, classes, merged = _disjoint(parcels)
    whole = coverage(shapes, bounds, side)
    alone = ~merged[covered.owner]  # what overlaps nothing has been measured
    pixel = np.r_[covered.pixel[alone], whole.pixel]
    number = np.r_[parcels.classes[covered.owner[alone]], classes[whole.owner]].astype(np.int64)
    keys, entry = np.unique(pixel * 256 + number, return_inverse=True)
    shares = np.bincount(entry, np.r_[covered.share[alone], whole.share], len(keys))
    found = keys[np.round(shares, ROUNDING) >= np.round(min_share, ROUNDING)]
    return found // 256, (found % 256).astype(np.uint8)


def _disjoint(parcels: Parcels) -> tuple[NDArray[np.object_], NDArray[np.uint8], NDArray[np.bool_]]:
    """Parcels of one class that overlap, united; their classes; and which parcels went into them."""
    one, other = parcels.tree.query(parcels.geometries, predicate="intersects")
    pair = (one < other) & (parcels.classes[one] == parcels.classes[other])
    one, other = one[pair], other[pair]
    area = shapely.area(shapely.intersection(parcels.geometries[one], parcels.geometries[other]))
    one, other = one[area > OVERLAP], other[area > OVERLAP]
    links = coo_array((np.ones(len(one)), (one, other)), shape=(len(parcels), len(parcels)))
    _, group = connected_components(links, directed=False)
    merged = np.zeros(len(parcels), dtype=np.bool_)
    merged[one] = merged[other] = True
    groups, first = np.unique(group[merged], return_index=True)
    united = [shapely.union_all(parcels.geometries[(group == number) & merged]) for number in groups]
    shapes = np.empty(len(united), dtype=object)
    shapes[:] = united
    return shapes, parcels.classes[merged][first], merged


def _give_parcels(
    parcel: NDArray[np.uint32],
    crop: NDArray[np.uint8],
    parcels: Parcels,
    covered: Covered,
    pixels: NDArray[np.int64],
) -> None:
    reached = np.zeros(len(parcel), dtype=np.bool_)
    reached[pixels] = True
    own = reached[covered.pixel] & (crop[covered.pixel] == parcels.classes[covered.owner])
    owner, pixel, share = covered.owner[own], covered.pixel[own], np.round(covered.share[own], ROUNDING)
    worst_first = np.lexsort((parcels.ids[owner], -share))[::-1]
    parcel[pixel[worst_first]] = parcels.ids[owner[worst_first]]
