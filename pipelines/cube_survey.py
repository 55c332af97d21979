"""One reading of a whole cube: how often each tile was seen, and thin images of it, in bounded memory."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from math import lcm
from typing import Any

import numpy as np
import zarr

from catalogs.cube import NAME
from catalogs.grid import Grid, Tile, Window
from catalogs.stores import Store, chunk_side
from cluster.progress import Bar
from pipelines.plan import Plan

LONGEST = 800
"""Pixels of the longer side that a thin image has at most, unless more tiles than that lie along it."""

READERS = 4
"""Tiles that are read at once: decoding keeps a core busy, and waiting for a bucket none."""

VISIBLE = slice(0, 3)
"""B02, B03 and B04 among a cube's bands."""


@dataclass(frozen=True)
class TileCoverage:
    """How often a tile's pixels were seen, one value a period."""

    seen: tuple[float, ...]
    """Share of pixels with a clear observation."""
    mean: tuple[float, ...]
    """Clear observations of a pixel."""
    most: tuple[int, ...]
    in_all: float
    """Share of pixels seen in every period."""
    in_any: float


@dataclass(frozen=True)
class CubeSurvey:
    """What is kept of the reading."""

    tiles: dict[Tile, TileCoverage]
    visible: np.ndarray
    """Reflectance x 10000 (period, band, y, x) of B02, B03, B04; 0 where less than half of the ground was seen."""
    clear: np.ndarray
    """Clear observations (period, y, x), with the same zeros."""
    inside: np.ndarray
    """Where there are tiles (y, x)."""


@dataclass(frozen=True)
class _Piece:
    """What a strip, or a tile of strips, adds: counts of pixels by period, and its part of the thin images."""

    seen: np.ndarray
    total: np.ndarray
    most: np.ndarray
    in_all: int
    in_any: int
    visible: np.ndarray
    clear: np.ndarray


def survey_cube(plan: Plan, bar: Bar) -> CubeSurvey:
    """Read every tile once; in memory are READERS strips of tiles and the thin images."""
    grid, step, periods = plan.grid, thin_step(plan.grid), len(plan.periods)
    block = grid.side // step
    shape = grid.rows * block, grid.cols * block
    visible, clear = np.zeros((periods, 3, *shape), np.uint16), np.zeros((periods, *shape), np.uint8)
    inside, tiles = np.zeros(shape, bool), {}
    with ThreadPoolExecutor(READERS) as readers:
        reader = _Reader(plan, step)
        for tile, piece in zip(plan.tiles, readers.map(reader.read, plan.tiles), strict=True):
            y, x = (tile.row - grid.first.row) * block, (tile.col - grid.first.col) * block
            where = slice(y, y + block), slice(x, x + block)
            visible[..., *where], clear[..., *where], inside[where] = piece.visible, piece.clear, True
            tiles[tile] = _coverage(piece, grid.side**2)
            bar.advance()
    return CubeSurvey(tiles, visible, clear, inside)


def thin_step(grid: Grid) -> int:
    """How many pixels one of a thin image stands for; a divisor of the tile's side, so that tiles are whole."""
    side = grid.side
    return next((n for n in range(1, side) if side % n == 0 and max(grid.shape) / n <= LONGEST), side)


def mean_of_seen(values: np.ndarray, seen: np.ndarray, step: int) -> np.ndarray:
    """Mean of the seen pixels of each block of `step` x `step`; 0 where less than half of them were seen."""
    count = _block_sums(seen, step)
    means: np.ndarray = np.rint(_block_sums(np.where(seen, values, 0), step) / np.maximum(count, 1))
    return np.where(2 * count >= step * step, means, 0)


class _Reader:
    """The cube's arrays, opened once for all threads."""

    def __init__(self, plan: Plan, step: int) -> None:
        store = Store(plan.root, NAME)
        self.reflectance: zarr.Array[Any] = store.array("reflectance")
        self.observations: zarr.Array[Any] = store.array("observations")
        self.grid, self.step, self.periods = plan.grid, step, len(plan.periods)

    def read(self, tile: Tile) -> _Piece:
        strips = [self._strip(strip) for strip in self._strips(self.grid.window(tile))]
        return _Piece(
            seen=np.sum([strip.seen for strip in strips], axis=0),
            total=np.sum([strip.total for strip in strips], axis=0),
            most=np.max([strip.most for strip in strips], axis=0),
            in_all=sum(strip.in_all for strip in strips),
            in_any=sum(strip.in_any for strip in strips),
            visible=np.concatenate([strip.visible for strip in strips], axis=-2),
            clear=np.concatenate([strip.clear for strip in strips], axis=-2),
        )

    def _strips(self, window: Window) -> Iterator[Window]:
        """Rows of whole chunks and of whole pixels of the thin images."""
        rows = lcm(self.step, chunk_side(self.grid.side))
        return (Window(y, window.x, rows, window.width) for y in range(window.y, window.y + window.height, rows))

    def _strip(self, strip: Window) -> _Piece:
        in_all, in_any = np.ones((strip.height, strip.width), bool), np.zeros((strip.height, strip.width), bool)
        counts, images = [], []
        for period in range(self.periods):
            clear = np.asarray(self.observations[(period, *strip.slices)])
            seen = clear > 0
            in_all &= seen
            in_any |= seen
            counts.append((int(seen.sum()), int(clear.sum()), int(clear.max())))
            images.append((self._visible(period, strip, seen), mean_of_seen(clear, seen, self.step)))
        visible, thin = (np.stack(kind) for kind in zip(*images, strict=True))
        pixels, total, most = np.array(counts).T
        return _Piece(pixels, total, most, int(in_all.sum()), int(in_any.sum()), visible, thin)

    def _visible(self, period: int, strip: Window, seen: np.ndarray) -> np.ndarray:
        if not seen.any():  # nothing of it would be shown, and reflectance is most of a cube
            return np.zeros((3, strip.height // self.step, strip.width // self.step))
        return mean_of_seen(np.asarray(self.reflectance[(period, VISIBLE, *strip.slices)]), seen, self.step)


def _coverage(piece: _Piece, pixels: int) -> TileCoverage:
    return TileCoverage(
        seen=tuple(round(float(count) / pixels, 6) for count in piece.seen),
        mean=tuple(round(float(total) / pixels, 6) for total in piece.total),
        most=tuple(int(most) for most in piece.most),
        in_all=round(piece.in_all / pixels, 6),
        in_any=round(piece.in_any / pixels, 6),
    )


def _block_sums(values: np.ndarray, step: int) -> np.ndarray:
    height, width = values.shape[-2] // step, values.shape[-1] // step
    blocks = values.reshape(*values.shape[:-2], height, step, width, step)
    sums: np.ndarray = blocks.sum(axis=(-3, -1), dtype=np.float64)
    return sums
