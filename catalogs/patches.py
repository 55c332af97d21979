"""Windows that could become training patches, what is measured of them, and which of them are good enough."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from catalogs.grid import Grid, Tile, Window
from catalogs.taxonomy import IGNORE

TRAIN, VALIDATION, TEST = "train", "validation", "test"

LEAST_INSIDE = 0.25
"""Share of a patch that must lie in the region: of less, shares are those of a few pixels."""

PRESENT = 0.01
"""Share of a patch's pixels from which on a class counts as being there."""

Block = tuple[int, int]
"""Row and column of a block on the global lattice: the same ground is the same block in every run."""


@dataclass(frozen=True)
class Candidate:
    """A window that could become a patch. Its shares are of the pixels that lie in the region, where labels can be."""

    y: int
    x: int
    block: Block
    labelled: float
    """Share of pixels with a class."""
    clear: float
    """Share of pixels and periods with a clear observation."""
    counts: tuple[int, ...]
    """Pixels of each class."""
    no_data: float = 0.0
    """Share of pixels without an observation in any period."""
    inside: float = 1.0
    """Share of the whole patch that lies in the region."""

    def classes(self, size: int) -> int:
        """How many classes it has enough pixels of, background among them."""
        return sum(count >= PRESENT * size**2 for count in self.counts)


@dataclass(frozen=True)
class Quality:
    """What a patch must have been seen and declared as, whatever grows on it."""

    min_labelled: float
    min_clear: float
    max_no_data: float

    def fault(self, candidate: Candidate) -> str | None:
        """Why a candidate is left out: the first reason that holds."""
        if candidate.inside < LEAST_INSIDE:
            return "outside"
        if candidate.no_data > self.max_no_data:
            return "no_data"
        if candidate.clear < self.min_clear:
            return "cloudy"
        return "unlabelled" if candidate.labelled < self.min_labelled else None


REASONS: Mapping[str, str] = {
    "outside": f"less than {LEAST_INSIDE:.0%} of it lies in the region",
    "no_data": "too much ground without any observation (max_no_data)",
    "cloudy": "too few clear observations (min_clear)",
    "unlabelled": "too little labelled ground (min_labelled)",
    "few_classes": "too few classes, in a training block (min_classes)",
    "over_cap": "would give one class more than its share of the training pixels (cap)",
    "not_drawn": "not among those drawn for training (most)",
}
"""Why windows are left out, in the order in which it is asked."""


def patch_windows(grid: Grid, tile: Tile, size: int) -> list[Window]:
    """The patches of a tile, edge to edge; a tile holds a whole number of them."""
    whole = grid.window(tile)
    steps = range(0, grid.side, size)
    return [Window(whole.y + y, whole.x + x, size, size) for y in steps for x in steps]


def measure_patch(
    window: Window,
    block: Block,
    crop: NDArray[np.uint8],
    observations: NDArray[np.uint8],
    inside: NDArray[np.bool_],
    classes: int,
) -> Candidate:
    """Labels count only inside the region, and so does what was seen: ground abroad speaks neither for nor against."""
    pixels = int(inside.sum())
    known = crop[inside & (crop != IGNORE)]
    seen = observations[:, inside] > 0
    return Candidate(
        window.y,
        window.x,
        block,
        labelled=known.size / max(pixels, 1),
        clear=float(seen.mean()) if pixels else 0.0,
        counts=tuple(map(int, np.bincount(known, minlength=classes))),
        no_data=float((~seen.any(axis=0)).mean()) if pixels else 1.0,
        inside=pixels / crop.size,
    )


def block_of(grid: Grid, y: int, x: int, side: int) -> Block:
    """The block that holds a pixel of the grid's arrays."""
    return (grid.first.row * grid.side + y) // side, (grid.first.col * grid.side + x) // side


def inner_mask(grid: Grid, window: Window, side: int, margin: int) -> NDArray[np.bool_]:
    """Pixels at least `margin` away from the border of their block: neighbours of another split are too alike."""
    north, west = grid.first.row * grid.side + window.y, grid.first.col * grid.side + window.x
    y = (north + np.arange(window.height)) % side
    x = (west + np.arange(window.width)) % side
    inside_y = (y >= margin) & (y < side - margin)
    inside_x = (x >= margin) & (x < side - margin)
    return inside_y[:, None] & inside_x[None, :]


def class_counts(candidates: Sequence[Candidate], classes: int) -> NDArray[np.int64]:
    """Pixels of each class over all of them."""
    rows = np.array([candidate.counts for candidate in candidates], np.int64)
    totals: NDArray[np.int64] = rows.reshape(-1, classes).sum(axis=0)
    return totals
