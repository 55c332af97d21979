"""Greenness of parcels through the season, and parcels whose curve contradicts their declared crop.

A parcel's curve is the mean NDVI of its inner pixels in each period. A class is known by the median of its parcels'
curves and their spread (median absolute deviation): both robust, so that wrong declarations do not move them much. They
are taken from histograms, which add up over tiles whatever the partition.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

BINS = 200
"""Of NDVI from -1 to 1: a hundredth each, finer than what a sensor tells."""

FEWEST = 30
"""Parcels that a class needs in a period to be known: with fewer, one wrong declaration in three decides."""

LEAST_PIXELS = 4
"""Inner pixels that a parcel needs: with fewer, its neighbours shine in."""

LEAST_SPREAD = 0.03
"""NDVI: the difference that haze and mixed pixels make between fields that are alike."""

FARTHEST = 8.0
"""Spreads from the median beyond which a period counts no more: one cloud must not decide alone."""

LIMIT = 3.5
"""Spreads, root mean square over periods, from which on a curve contradicts its class."""

BETTER = 0.6
"""How near another class must be, as a share of the distance to the declared one, to be named."""

Floats = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Curves:
    """Parcels and their mean NDVI (parcel, period); NaN where less than half of the inner pixels were seen."""

    ids: NDArray[np.uint32]
    classes: NDArray[np.uint8]
    pixels: NDArray[np.uint32]
    """inner ones"""
    ndvi: Floats

    def where(self, chosen: NDArray[np.bool_]) -> "Curves":
        return Curves(self.ids[chosen], self.classes[chosen], self.pixels[chosen], self.ndvi[chosen])


@dataclass(frozen=True, eq=False)
class Reference:
    """What the curves of each class are like (class, period); NaN where too few parcels were seen."""

    parcels: NDArray[np.int64]
    median: NDArray[np.float64]
    spread: NDArray[np.float64]

    @property
    def known(self) -> NDArray[np.bool_]:
        """Classes that can be judged: those known in half of the periods at least."""
        known: NDArray[np.bool_] = np.isfinite(self.median).mean(axis=1) >= 0.5
        return known


@dataclass(frozen=True, eq=False)
class Judgement:
    """Of each parcel: the distance from its class, and which class is nearest; NaN where it could not be judged."""

    score: NDArray[np.float64]
    nearest: NDArray[np.int16]
    """-1 where no other class is much nearer"""

    @property
    def contradicts(self) -> NDArray[np.bool_]:
        against: NDArray[np.bool_] = np.nan_to_num(self.score) > LIMIT
        return against


def ndvi_of(red: NDArray[np.uint16], near: NDArray[np.uint16], seen: NDArray[np.bool_]) -> Floats:
    """NaN where the ground was not seen."""
    r, n = red.astype(np.float32), near.astype(np.float32)
    known = seen & (red > 0) & (near > 0)
    return np.where(known, (n - r) / np.maximum(n + r, 1), np.nan).astype(np.float32)


def inner_pixels(parcels: NDArray[np.uint32]) -> NDArray[np.bool_]:
    """Pixels all of whose eight neighbours are of the same parcel; ground beyond the edge counts as such."""
    framed = np.pad(parcels, 1, mode="edge")
    height, width = parcels.shape
    inner = parcels > 0
    for y in range(3):
        for x in range(3):
            inner &= framed[y : y + height, x : x + width] == parcels
    return inner


def parcel_curves(parcels: NDArray[np.uint32], crop: NDArray[np.uint8], pictures: Iterable[Floats]) -> Curves:
    """The curves of a window (y, x); `pictures` are its NDVI, one for each period, and no two are held at once."""
    inner = inner_pixels(parcels)
    ids, first, which = np.unique(parcels[inner], return_index=True, return_inverse=True)
    pixels = np.bincount(which, minlength=len(ids))
    means = [_means(picture[inner], which, pixels) for picture in pictures]
    ndvi = np.stack(means, axis=1) if means else np.zeros((len(ids), 0), np.float32)
    found = Curves(ids, crop[inner][first], pixels.astype(np.uint32), ndvi)
    return found.where(found.pixels >= LEAST_PIXELS)


def _means(values: Floats, which: NDArray[np.intp], pixels: NDArray[np.intp]) -> Floats:
    seen = np.isfinite(values)
    counts = np.bincount(which[seen], minlength=len(pixels))
    totals = np.bincount(which[seen], values[seen], minlength=len(pixels))
    return np.where(2 * counts >= pixels, totals / np.maximum(counts, 1), np.nan).astype(np.float32)


def tally(curves: Curves, classes: int) -> NDArray[np.int64]:
    """How many parcels have which NDVI (class, period, bin); tallies of tiles add up."""
    periods = curves.ndvi.shape[1]
    bins = np.clip(np.nan_to_num((curves.ndvi + 1) / 2) * BINS, 0, BINS - 1).astype(np.int64)
    place = (curves.classes[:, None].astype(np.int64) * periods + np.arange(periods)) * BINS + bins
    usable = np.isfinite(curves.ndvi) & (curves.classes[:, None] < classes)
    counts = np.bincount(place[usable], minlength=classes * periods * BINS)
    return counts.reshape(classes, periods, BINS)


def reference_of(counts: NDArray[np.int64]) -> Reference:
    total = counts.sum(axis=-1)
    enough = total >= FEWEST
    median = np.where(enough, _median(counts), np.nan)
    spread = np.where(enough, np.maximum(1.4826 * _deviation(counts, median), LEAST_SPREAD), np.nan)
    return Reference(total.max(axis=1, initial=0), median, spread)


def _median(counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """Within the bin that holds it, values are taken to lie evenly."""
    below = np.cumsum(counts, axis=-1)
    half = below[..., -1:] / 2
    place = np.argmax(below >= half, axis=-1)[..., None]
    inside = np.take_along_axis(counts, place, axis=-1)
    before = np.take_along_axis(below, place, axis=-1) - inside
    median: NDArray[np.float64] = ((place + (half - before) / np.maximum(inside, 1)) * 2 / BINS - 1)[..., 0]
    return median


def _deviation(counts: NDArray[np.int64], median: NDArray[np.float64]) -> NDArray[np.float64]:
    """The median distance from the median."""
    centres = (np.arange(BINS) + 0.5) * 2 / BINS - 1
    away = np.abs(centres - np.nan_to_num(median)[..., None])
    order = np.argsort(away, axis=-1, kind="stable")
    reached = np.cumsum(np.take_along_axis(counts, order, axis=-1), axis=-1)
    place = np.argmax(reached >= reached[..., -1:] / 2, axis=-1)[..., None]
    found: NDArray[np.float64] = np.take_along_axis(np.take_along_axis(away, order, axis=-1), place, axis=-1)[..., 0]
    return found


def judge(curves: Curves, reference: Reference) -> Judgement:
    """Distances from the declared class and the others; parcels seen in less than half of the periods have none."""
    distances = np.stack([_distance(curves.ndvi, reference, number) for number in range(len(reference.median))], axis=1)
    seen = np.isfinite(curves.ndvi).mean(axis=1) >= 0.5 if curves.ndvi.shape[1] else np.zeros(len(curves.ids), bool)
    known = np.append(reference.known, False)
    own = np.minimum(curves.classes, len(known) - 1)
    rows = np.arange(len(own))
    score = np.where(seen & known[own], np.column_stack([distances, np.full(len(own), np.nan)])[rows, own], np.nan)
    others = np.where(np.isfinite(distances) & reference.known, distances, np.inf)
    others[rows[own < distances.shape[1]], own[own < distances.shape[1]]] = np.inf
    nearest = others.argmin(axis=1).astype(np.int16)
    near = others.min(axis=1, initial=np.inf) <= BETTER * np.nan_to_num(score)
    return Judgement(score, np.where(near, nearest, np.int16(-1)))


def _distance(ndvi: Floats, reference: Reference, number: int) -> NDArray[np.float64]:
    """Root mean square, over the periods seen, of how many spreads a curve lies from a class's median."""
    steps = np.abs(ndvi - reference.median[number]) / reference.spread[number]
    known = np.isfinite(steps)
    squares = np.where(known, np.minimum(steps, FARTHEST) ** 2, 0).sum(axis=1)
    count = known.sum(axis=1)
    return np.where(count > 0, np.sqrt(squares / np.maximum(count, 1)), np.nan)
