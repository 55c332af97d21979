"""The ground of a region as self-training sees it: what is held out from labels, and what its fields are."""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import pyogrio
from numpy.typing import NDArray
from shapely import box
from shapely.geometry.base import BaseGeometry

from catalogs.errors import BadInput
from catalogs.grid import Grid, Tile, Window
from catalogs.parcels.mending import SOUND, mend
from catalogs.parcels.table import Parcels
from catalogs.patch_splits import split_blocks
from catalogs.patches import TEST, Block, block_of, patch_windows
from catalogs.rasterise import Rule, rasterise
from catalogs.region import reproject
from catalogs.region_mask import outside_region
from catalogs.taxonomy import IGNORE
from models.field_votes import NO_FIELD, pieces_as_fields
from pipelines.label_plan import rule_of
from pipelines.plan import Plan


@dataclass(frozen=True)
class Ground:
    """What every worker knows of the region."""

    grid: Grid
    region: BaseGeometry
    block: int
    """Pixels on a side."""
    held_out: frozenset[Block]
    outlines: Path | None
    rule: Rule

    def outside(self, window: Window) -> NDArray[np.bool_]:
        return outside_region(self.region, self.grid, window)

    def is_held_out(self, window: Window) -> NDArray[np.bool_]:
        mask = np.zeros((window.height, window.width), bool)
        rows, columns = self._blocks_along(window)
        for block in self.held_out:
            mask |= (rows == block[0])[:, None] & (columns == block[1])[None, :]
        return mask

    def _blocks_along(self, window: Window) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        grid = self.grid
        rows = (grid.first.row * grid.side + window.y + np.arange(window.height)) // self.block
        columns = (grid.first.col * grid.side + window.x + np.arange(window.width)) // self.block
        return rows, columns

    def fields(self, tile: Tile, crop_YX: NDArray[np.uint8], before: int) -> NDArray[np.uint32]:
        """Numbers of the fields of a tile, of the whole region's: `before` is how many pieces other tiles have."""
        window = self.grid.window(tile)
        if self.outlines is not None:
            found = rasterise(outlines_in(self.outlines, self.grid, window), self.grid, window, IGNORE, self.rule)[1]
            return found
        pieces = pieces_as_fields(crop_YX)
        pieces[pieces != NO_FIELD] += np.uint32(before)
        return pieces


def ground_of(plan: Plan) -> Ground:
    side = plan.project.patches.block
    held_out = held_out_blocks(plan)
    return Ground(plan.grid, plan.region, side, held_out, plan.project.field_outlines, rule_of(plan))


def held_out_blocks(plan: Plan) -> frozenset[Block]:
    """Chosen by place and seed alone, before anything is known of the ground: they stay the same in all rounds."""
    settings, grid = plan.project.patches, plan.grid
    windows = [window for tile in plan.tiles for window in patch_windows(grid, tile, settings.size)]
    there = [window for window in windows if plan.region.intersects(box(*grid.bounds(window)))]
    blocks = {block_of(grid, window.y, window.x, settings.block) for window in there}
    splits = split_blocks({block: np.zeros(1, bool) for block in blocks}, 0.0, settings.test_share, settings.seed)
    found = frozenset(block for block, split in splits.items() if split == TEST)
    if not found:
        raise BadInput(
            f"[patches] test_share = {settings.test_share:g}",
            f"holds out none of the {len(blocks)} blocks of the region, and every round is judged on such ground.",
            "Write a larger test_share, or a smaller block.",
        )
    return found


def outlines_in(path: Path, grid: Grid, window: Window) -> Parcels:
    """The outlines of a window, all of one class; each has the number of its feature in the file, from 1."""
    here, crs = box(*grid.bounds(window)), _crs_of(path)
    bounds = reproject(here, grid.crs, crs).bounds
    frame = pyogrio.read_dataframe(path, columns=[], bbox=bounds, fid_as_index=True)
    mended = mend(frame.geometry.to_numpy(), crs, grid.crs)
    sound = mended.fault == SOUND
    ids = (frame.index.to_numpy() + 1).astype(np.uint32)[sound]
    return Parcels(grid.crs, mended.shapes[sound], np.ones(int(sound.sum()), np.uint8), ids)


@lru_cache(maxsize=1)
def _crs_of(path: Path) -> str:
    try:
        crs = pyogrio.read_info(path)["crs"]
    except Exception as error:  # pyogrio raises its own and GDAL's errors; all mean the same here
        why = f"cannot be read as a vector file ({str(error).splitlines()[0]})."
        raise BadInput(f"outlines {path}", why, "Give a GeoPackage of polygons in [selftrain] fields.") from error
    if crs is None:
        raise BadInput(f"outlines {path}", "does not say its CRS.", "Save it again with one.")
    return str(crs)
