"""The ground that scores are of: test patches, without the strip along their blocks and without shared parcels."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from catalogs import crops
from catalogs.grid import Tile, Window
from catalogs.patch_splits import foreign_parcels, foreign_pixels, read_shared_parcels
from catalogs.patch_store import INDEX, Patch, patches_of, read_index
from catalogs.patches import TEST, inner_mask
from catalogs.stores import Store
from pipelines.plan import Plan


def held_out_patches(plan: Plan) -> dict[Tile, list[Patch]]:
    """By tile; none if the run has no patches of its own."""
    found: dict[Tile, list[Patch]] = {}
    if plan.root.exists(INDEX):
        first, side = plan.grid.first, plan.grid.side
        for patch in patches_of(read_index(plan.root)):
            if patch.split == TEST:
                found.setdefault(Tile(first.row + patch.y // side, first.col + patch.x // side), []).append(patch)
    return found


def scored_pixels(plan: Plan, whole: Window, patches: Sequence[Patch]) -> NDArray[np.bool_]:
    """Which pixels of a tile's window are scored, given the test patches in it."""
    scored = np.zeros((whole.height, whole.width), dtype=bool)
    settings = plan.project.patches
    for patch in patches:
        here = patch.window.seen_from(whole).slices
        scored[here] = inner_mask(plan.grid, patch.window, settings.block, settings.margin)
    if patches and len(shared := foreign_parcels(read_shared_parcels(plan.root), TEST)):
        scored &= ~foreign_pixels(Store(plan.root, crops.LABELS).read("parcel", whole.slices), shared)
    return scored
