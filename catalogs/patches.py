"""Training patches: square windows of cube and labels, filtered, split by blocks of space and chosen by crop."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from catalogs.grid import Grid, Tile, Window
from catalogs.taxonomy import IGNORE

TRAIN, VALIDATION, TEST = "train", "validation", "test"

Block = tuple[int, int]
"""Row and column of a block on the global lattice: the same ground is the same block in every run."""


@dataclass(frozen=True)
class Candidate:
    """A window that could become a patch, with what the filters and the choice need to know."""

    y: int
    x: int
    block: Block
    labelled: float
    """Share of pixels with a class."""
    clear: float
    """Share of pixels and periods with a clear observation."""
    counts: tuple[int, ...]
    """Pixels of each class."""


def patch_windows(grid: Grid, tile: Tile, size: int) -> list[Window]:
    """The patches of a tile, edge to edge; a tile holds a whole number of them."""
    whole = grid.window(tile)
    steps = range(0, grid.side, size)
    return [Window(whole.y + y, whole.x + x, size, size) for y in steps for x in steps]


def measure_patch(
    window: Window, block: Block, crop: NDArray[np.uint8], observations: NDArray[np.uint8], classes: int
) -> Candidate:
    counts = np.bincount(crop[crop != IGNORE], minlength=classes)
    clear = float((observations > 0).mean())
    return Candidate(window.y, window.x, block, float(counts.sum() / crop.size), clear, tuple(map(int, counts)))


def block_of(grid: Grid, y: int, x: int, side: int) -> Block:
    """The block that holds a pixel of the grid's arrays."""
    return (grid.first.row * grid.side + y) // side, (grid.first.col * grid.side + x) // side


def split_blocks(blocks: Sequence[Block], validation_share: float, test_share: float, seed: int) -> dict[Block, str]:
    """Blocks in an order that only their place and the seed decide; the first go to test, the next to validation.

    Each share gets at least one block if it asks for any and there are three or more.
    """
    order = sorted(set(blocks), key=lambda block: _draw(block, seed))
    test = _share(test_share, len(order))
    validation = _share(validation_share, len(order))
    parts = [TEST] * test + [VALIDATION] * validation + [TRAIN] * (len(order) - test - validation)
    return dict(zip(order, parts, strict=True))


def inner_mask(grid: Grid, window: Window, side: int, margin: int) -> NDArray[np.bool_]:
    """Pixels at least `margin` away from the border of their block: neighbours of another split are too alike."""
    north, west = grid.first.row * grid.side + window.y, grid.first.col * grid.side + window.x
    y = (north + np.arange(window.height)) % side
    x = (west + np.arange(window.width)) % side
    inside_y = (y >= margin) & (y < side - margin)
    inside_x = (x >= margin) & (x < side - margin)
    return inside_y[:, None] & inside_x[None, :]


def choose_patches(candidates: Sequence[Candidate], most: int | None, seed: int) -> list[Candidate]:
    """At most `most` of them, drawn without replacement; patches with rare crops are likelier to be drawn.

    A patch weighs the mean over its labelled pixels of 1 / sqrt(share of the pixel's class).
    """
    if most is None or len(candidates) <= most:
        return list(candidates)
    counts = np.array([candidate.counts for candidate in candidates], dtype=float)
    share = counts.sum(axis=0) / counts.sum()
    rarity = np.divide(1, np.sqrt(share), out=np.zeros_like(share), where=share > 0)
    weight = (counts @ rarity) / np.maximum(counts.sum(axis=1), 1)
    # Gumbel's trick: the largest keys are a weighted draw without replacement
    keys = np.log(np.maximum(weight, 1e-12)) + np.random.default_rng(seed).gumbel(size=len(weight))
    chosen = np.sort(np.argsort(keys)[-most:])
    return [candidates[i] for i in chosen]


def class_pixels(candidates: Sequence[Candidate], names: Sequence[str]) -> Mapping[str, int]:
    totals = np.sum([candidate.counts for candidate in candidates], axis=0) if candidates else [0] * len(names)
    return dict(zip(names, map(int, totals), strict=True))


def _draw(block: Block, seed: int) -> bytes:
    return hashlib.sha256(f"{seed}:{block[0]}:{block[1]}".encode()).digest()


def _share(share: float, blocks: int) -> int:
    wanted = round(share * blocks)
    return max(wanted, 1) if share > 0 and blocks >= 3 else wanted
