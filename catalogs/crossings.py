"""Places where the windows of a map meet: there a seam would show, if there is one."""

from collections.abc import Iterator, Sequence

import numpy as np
from shapely.geometry.base import BaseGeometry

from catalogs.grid import Grid, Tile, Window
from catalogs.region_mask import outside_region

SIDE = 128
"""Pixels of a side of what is looked at around a place."""


def crossings(
    grid: Grid, region: BaseGeometry, tiles: Sequence[Tile], window: int, stride: int, most: int
) -> list[Window]:
    """Some places, the same ones each time: squares of ground in the region that windows of a map divide.

    A tile is seen in windows of `window` pixels, or in one where it is smaller, or with others in one. The squares
    begin at other pixels than the windows, and on multiples of `stride`, as all that a network is shown.
    """
    found: list[Window] = []
    for place in np.random.default_rng(0).permutation(4 * len(tiles)):
        square = _around(grid, tiles[place // 4], int(place % 4), min(window, grid.side), stride)
        if _is_divided(grid, region, square, window):
            found.append(square)
        if len(found) == most:
            break
    return found


def _around(grid: Grid, tile: Tile, number: int, step: int, stride: int) -> Window:
    """Around a tile's last corner, the middles of its last two sides, or the first meeting of windows inside."""
    whole = grid.window(tile)
    last, middle = grid.side, grid.side // 2
    down, right = ((last, last), (middle, last), (last, middle), (step, step))[number]
    half = max(min(SIDE, grid.side) // 2 // stride, 1) * stride
    y, x = ((at - half) // stride * stride for at in (whole.y + down, whole.x + right))
    return Window(y, x, 2 * half, 2 * half).clipped(grid.shape)


def _is_divided(grid: Grid, region: BaseGeometry, square: Window, window: int) -> bool:
    """Whether its ground in the region was seen in more than one window."""
    inside = ~outside_region(region, grid, square)
    rows = _numbers(square.y, square.height, grid.side, window)
    columns = _numbers(square.x, square.width, grid.side, window)
    of_windows = rows[:, None] * (columns[-1] + 1) + columns[None, :]
    return len(np.unique(of_windows[inside])) > 1


def _numbers(start: int, length: int, side: int, window: int) -> np.ndarray:
    """Of the windows along one axis that pixels lie in."""
    pixel = np.arange(start, start + length)
    return np.asarray(pixel // side * (-(-side // window)) + pixel % side // window)


def tiles_of(grid: Grid, square: Window) -> Iterator[Tile]:
    """Those that a square has pixels of."""
    for row in range(square.y // grid.side, (square.y + square.height - 1) // grid.side + 1):
        for col in range(square.x // grid.side, (square.x + square.width - 1) // grid.side + 1):
            yield Tile(grid.first.row + row, grid.first.col + col)
