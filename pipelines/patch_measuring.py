"""Every window of a tile measured: how much of it was declared and seen, and what each block has."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from shapely.geometry.base import BaseGeometry

from catalogs import crops, cube
from catalogs.grid import Grid, Tile, Window
from catalogs.patch_splits import Ids
from catalogs.patches import Block, Candidate, Quality, block_of, inner_mask, measure_patch, patch_windows
from catalogs.region_mask import outside_region
from catalogs.root import Root
from catalogs.stores import Store
from catalogs.taxonomy import IGNORE
from pipelines.project.labels import Patches

Value = TypeVar("Value")
Counts = NDArray[np.int64]
"""Pixels of each class."""


@dataclass(frozen=True)
class Measuring:
    """Everything a worker needs to measure a tile."""

    root: Root
    grid: Grid
    region: BaseGeometry
    settings: Patches
    classes: int
    ground: Root | None = None
    """Where the cube lies, if not in the root."""


@dataclass(frozen=True)
class Measured:
    """The windows of one or more tiles."""

    candidates: list[Candidate]
    """Those that are good enough."""
    left_out: Counter[str]
    pixels: Counts
    """In all windows."""
    inner: Mapping[Block, Counts]
    """In good windows, without the strip along their block's border: what is left of a block that is held out."""
    parcels: Mapping[Block, Ids]
    """Those with ground in a block, good windows or not."""


def measure_tile(job: Measuring, tile: Tile) -> Measured:
    """All windows of a tile, from one reading of its labels and observations."""
    whole = job.grid.window(tile)
    labels = Store(job.root, crops.LABELS)
    crop, parcel = labels.read("crop", whole.slices), labels.read("parcel", whole.slices)
    seen = Store(job.ground or job.root, cube.NAME).read("observations", (slice(None), *whole.slices))
    inside = ~outside_region(job.region, job.grid, whole)
    parts = []
    for window in patch_windows(job.grid, tile, job.settings.size):
        y, x = window.seen_from(whole).slices
        parts.append(_measure(job, window, crop[y, x], parcel[y, x], seen[:, y, x], inside[y, x]))
    return merged(parts)


def merged(parts: Sequence[Measured]) -> Measured:
    """All as one, the same in whatever order they came."""
    inner, parcels = _by_block(part.inner for part in parts), _by_block(part.parcels for part in parts)
    return Measured(
        sorted((candidate for part in parts for candidate in part.candidates), key=lambda found: (found.y, found.x)),
        sum((part.left_out for part in parts), Counter()),
        np.sum([part.pixels for part in parts], axis=0),
        {block: np.sum(counts, axis=0) for block, counts in inner.items()},
        {block: np.unique(np.concatenate(ids)) for block, ids in parcels.items()},
    )


def _measure(
    job: Measuring,
    window: Window,
    crop: NDArray[np.uint8],
    parcel: NDArray[np.uint32],
    seen: NDArray[np.uint8],
    inside: NDArray[np.bool_],
) -> Measured:
    settings = job.settings
    block = block_of(job.grid, window.y, window.x, settings.block)
    candidate = measure_patch(window, block, crop, seen, inside, job.classes)
    fault = Quality(settings.min_labelled, settings.min_clear, settings.max_no_data).fault(candidate)
    kept = crop[inner_mask(job.grid, window, settings.block, settings.margin) & inside & (crop != IGNORE)]
    ids = np.unique(parcel)
    return Measured(
        [] if fault else [candidate],
        Counter({fault: 1} if fault else {}),
        np.array(candidate.counts, np.int64),
        {} if fault else {block: np.bincount(kept, minlength=job.classes)},
        {block: ids[ids > 0]},  # 0 is ground in no parcel
    )


def _by_block(parts: Iterable[Mapping[Block, Value]]) -> dict[Block, list[Value]]:
    found: dict[Block, list[Value]] = {}
    for part in parts:
        for block, value in part.items():
            found.setdefault(block, []).append(value)
    return found
