"""A square of a map's pixels thinned to the next levels: what a worker does, in a file that loads little."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from catalogs.crops import MAP, MAP_ARRAYS
from catalogs.grid import Grid
from catalogs.ledger import Ledger
from catalogs.pyramid import FINEST, REACH, Square, filled_by, level_store, made_from, shard_rows, shard_window
from catalogs.root import Root
from catalogs.stores import write_shard
from catalogs.taxonomy import IGNORE
from catalogs.thinning import thinned_classes, thinned_means

ARRAYS = MAP_ARRAYS
"""What coarser levels have: the probabilities of all classes are many bytes, and are looked at from near."""

MEANS = ARRAYS[1:]
"""All but classes are thinned to their mean."""

SQUARES = f"{MAP}/pyramid"
"""Where records of squares are kept: in the map's own ledger, so that they go when the map is made anew."""

Pieces = dict[int, dict[str, NDArray[np.uint8]]]
"""Level -> array -> the pixels that a square gives it."""


@dataclass(frozen=True)
class Thinning:
    """Everything a worker needs to thin any square."""

    root: Root
    grid: Grid
    classes: int


def thin_square(job: Thinning, task: tuple[Square, str]) -> dict[str, Any]:
    """Read, thin, write and commit; `of` says of which pixels, so that new ones are noticed."""
    square, of = task
    pieces = _empty(job.grid, square)
    counted: dict[str, dict[str, int]] = {}
    for shard, pixels in _source(job, square):
        _thin(job, square, shard, pixels, pieces)
        if square.source == FINEST:
            counted["{}-{}".format(*shard)] = _counts(pixels["crop"])
    record = {"of": of, "digests": _write(job, square, pieces), "pixels": counted}
    Ledger(job.root, SQUARES).commit(str(square), record)
    return record


def _source(job: Thinning, square: Square) -> Iterator[tuple[tuple[int, int], dict[str, NDArray[np.uint8]]]]:
    """The shards that are thinned, one after the other; what was never written is no data."""
    arrays = level_store(job.root, MAP, square.source).arrays(*ARRAYS)
    for shard in square.shards(shard_rows(job.grid, square.source)):
        where = shard_window(job.grid, square.source, shard).slices
        yield shard, {name: np.asarray(array[where]) for name, array in zip(ARRAYS, arrays, strict=True)}


def _empty(grid: Grid, square: Square) -> Pieces:
    """As many pixels as a whole square gives; at the grid's edge some are not needed."""
    return {
        factor: {name: np.full((_across(grid, square, factor),) * 2, IGNORE, np.uint8) for name in ARRAYS}
        for factor in made_from(grid, square.source)
    }


def _across(grid: Grid, square: Square, factor: int) -> int:
    pixels: int = REACH * grid.side * square.source // factor
    return pixels


def _thin(
    job: Thinning, square: Square, shard: tuple[int, int], pixels: dict[str, NDArray[np.uint8]], pieces: Pieces
) -> None:
    if not pieces or not (pixels["crop"] != IGNORE).any():
        return
    crops = thinned_classes(pixels["crop"], job.classes, len(pieces))
    means = zip(*(thinned_means(pixels[name], len(pieces)) for name in MEANS), strict=True)
    for factor, crop, mean in zip(pieces, crops, means, strict=True):
        side = job.grid.side * square.source // factor
        y, x = (place % (_across(job.grid, square, factor) // side) * side for place in shard)
        here = slice(y, y + crop.shape[0]), slice(x, x + crop.shape[1])
        for name, thin in zip(ARRAYS, (crop, *mean), strict=True):
            pieces[factor][name][here] = thin


def _write(job: Thinning, square: Square, pieces: Pieces) -> list[str]:
    digests = []
    for factor, piece in pieces.items():
        arrays = level_store(job.root, MAP, factor).arrays(*ARRAYS)
        for shard in filled_by(job.grid, square, factor):
            window = shard_window(job.grid, factor, shard)
            across = _across(job.grid, square, factor)
            y, x = window.y % across, window.x % across
            here = slice(y, y + window.height), slice(x, x + window.width)
            digests += [
                write_shard(array, window.slices, piece[name][here]) for name, array in zip(ARRAYS, arrays, strict=True)
            ]
    return digests


def _counts(crop: NDArray[np.uint8]) -> dict[str, int]:
    counts = np.bincount(crop.ravel(), minlength=IGNORE + 1)
    return {str(value): int(counts[value]) for value in np.flatnonzero(counts)}
