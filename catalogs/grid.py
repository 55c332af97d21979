"""Where pixels are: tiles on a global lattice, and the part of it that covers a region."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from math import ceil, floor

import numpy as np
from affine import Affine
from shapely import box, prepare
from shapely.geometry.base import BaseGeometry

Bounds = tuple[float, float, float, float]
"""left, bottom, right, top in the units of a CRS"""


@dataclass(frozen=True, order=True)
class Tile:
    """One square of the lattice: the unit of work, of commit and of retry. Rows count southwards from y = 0."""

    row: int
    col: int

    def __str__(self) -> str:
        return f"r{self.row:+06d}c{self.col:+06d}"


@dataclass(frozen=True)
class Window:
    """A rectangle of pixels of a grid's arrays; it may reach beyond their edge."""

    y: int
    x: int
    height: int
    width: int

    @property
    def slices(self) -> tuple[slice, slice]:
        return slice(self.y, self.y + self.height), slice(self.x, self.x + self.width)

    def grown(self, halo: int) -> "Window":
        return Window(self.y - halo, self.x - halo, self.height + 2 * halo, self.width + 2 * halo)

    def clipped(self, shape: tuple[int, int]) -> "Window":
        return self.within(Window(0, 0, *shape))

    def within(self, other: "Window") -> "Window":
        """What both have; without height or width if there is nothing."""
        y0, x0 = max(self.y, other.y), max(self.x, other.x)
        y1 = min(self.y + self.height, other.y + other.height)
        x1 = min(self.x + self.width, other.x + other.width)
        return Window(y0, x0, max(y1 - y0, 0), max(x1 - x0, 0))

    def seen_from(self, other: "Window") -> "Window":
        """The same pixels, counted from another window's corner."""
        return Window(self.y - other.y, self.x - other.x, self.height, self.width)


@dataclass(frozen=True)
class Grid:
    """The rectangle of lattice tiles that a region's stores span."""

    crs: str
    resolution: int
    side: int
    first: Tile
    rows: int
    cols: int

    @staticmethod
    def around(bounds: Bounds, crs: str, resolution: int = 10, side: int = 1024) -> "Grid":
        """The smallest grid that holds `bounds`; its tiles have the same names whatever the region."""
        left, bottom, right, top = bounds
        step = resolution * side
        first = Tile(row=floor(-top / step), col=floor(left / step))
        rows = max(ceil(-bottom / step) - first.row, 1)
        cols = max(ceil(right / step) - first.col, 1)
        return Grid(crs, resolution, side, first, rows, cols)

    @property
    def shape(self) -> tuple[int, int]:
        return self.rows * self.side, self.cols * self.side

    @property
    def transform(self) -> Affine:
        return Affine(self.resolution, 0, self._left, 0, -self.resolution, self._top)

    @property
    def y(self) -> np.ndarray:
        """Pixel centres, north to south."""
        return self._top - (np.arange(self.shape[0]) + 0.5) * self.resolution

    @property
    def x(self) -> np.ndarray:
        """Pixel centres, west to east."""
        return self._left + (np.arange(self.shape[1]) + 0.5) * self.resolution

    def tiles(self, region: BaseGeometry | None = None) -> Iterator[Tile]:
        """All tiles, or those that share ground with the region, row by row."""
        if region is not None:
            prepare(region)
        for row in range(self.first.row, self.first.row + self.rows):
            for col in range(self.first.col, self.first.col + self.cols):
                tile = Tile(row, col)
                square = box(*self.bounds(self.window(tile)))
                if region is None or (region.intersects(square) and not region.touches(square)):
                    yield tile

    def around_all(self, tiles: Sequence[Tile]) -> Window:
        """The smallest that holds them."""
        windows = [self.window(tile) for tile in tiles]
        y, x = min(one.y for one in windows), min(one.x for one in windows)
        bottom, right = (max(getattr(one, axis) for one in windows) + self.side for axis in ("y", "x"))
        return Window(y, x, bottom - y, right - x)

    def window(self, tile: Tile) -> Window:
        y = (tile.row - self.first.row) * self.side
        x = (tile.col - self.first.col) * self.side
        return Window(y, x, self.side, self.side)

    def bounds(self, window: Window) -> Bounds:
        left = self._left + window.x * self.resolution
        top = self._top - window.y * self.resolution
        return left, top - window.height * self.resolution, left + window.width * self.resolution, top

    def transform_of(self, window: Window) -> Affine:
        return self.transform @ Affine.translation(window.x, window.y)

    @property
    def _left(self) -> int:
        return self.first.col * self.side * self.resolution

    @property
    def _top(self) -> int:
        return -self.first.row * self.side * self.resolution


def squares(tiles: Iterable[Tile], side: int) -> list[list[Tile]]:
    """Tiles by the square of `side` times `side` of them on the lattice that they lie in."""
    return blocks(tiles, side, side)


def blocks(tiles: Iterable[Tile], rows: int, cols: int) -> list[list[Tile]]:
    """Tiles by the rectangle of so many rows and columns of the lattice that they lie in."""
    found: dict[tuple[int, int], list[Tile]] = {}
    for tile in tiles:
        found.setdefault((tile.row // rows, tile.col // cols), []).append(tile)
    return list(found.values())


def rectangles(tiles: Iterable[Tile]) -> list[list[Tile]]:
    """Tiles in full rectangles: those below one another, with those beside them that reach from the same row to the
    same row."""
    runs: list[list[Tile]] = []
    for tile in sorted(tiles, key=lambda tile: (tile.col, tile.row)):
        if runs and runs[-1][-1] == Tile(tile.row - 1, tile.col):
            runs[-1].append(tile)
        else:
            runs.append([tile])
    found: list[list[Tile]] = []
    for run in sorted(runs, key=lambda run: (run[0].row, run[-1].row, run[0].col)):
        first, last = run[0], run[-1]
        if found and (found[-1][0].row, found[-1][-1]) == (first.row, Tile(last.row, last.col - 1)):
            found[-1] += run
        else:
            found.append(run)
    return found
