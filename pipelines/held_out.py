"""The ground that scores are of: test patches, without the strip along their blocks and without shared parcels."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from catalogs import crops
from catalogs.errors import BadInput
from catalogs.grid import Tile, Window
from catalogs.patch_splits import foreign_parcels, foreign_pixels, read_shared_parcels
from catalogs.patch_store import INDEX, NAME, Patch, patches_of, read_index
from catalogs.patches import TEST, inner_mask
from catalogs.stores import Store
from pipelines.plan import Plan
from pipelines.stored import identity_of


def held_out_patches(plan: Plan) -> dict[Tile, list[Patch]]:
    """By tile; none if the run has no patches of its own."""
    found: dict[Tile, list[Patch]] = {}
    if plan.root.exists(INDEX):
        _check_split(plan)
        first, side = plan.grid.first, plan.grid.side
        for patch in patches_of(read_index(plan.root)):
            if patch.split == TEST:
                found.setdefault(Tile(first.row + patch.y // side, first.col + patch.x // side), []).append(patch)
    return found


def _check_split(plan: Plan) -> None:
    """Refuse blocks that were split by other parcels: which of these lie across two splits is not known any more."""
    cut = Store(plan.root, NAME).description()
    if cut is not None and cut["labels"] != identity_of(plan.root, crops.LABELS, "label"):
        remedy = "Remove patches.zarr and learn again under another [model] name, or put the parcels back."
        raise BadInput(plan.root.path(NAME), "was cut from other labels than there are now.", remedy)


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
