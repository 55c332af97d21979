"""The coarser levels of a map: groups 2, 4, 8 .. of its store, each with pixels that many times as large.

A square of 8 x 8 shards of one level is thinned to the next three at once, whose shards it fills whole; the third of
them is what the next three are made from. So the map's pixels are read once, and a level of a country is few objects.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from catalogs.grid import Grid, Tile, Window
from catalogs.root import Root
from catalogs.stores import CHUNK, Coordinate, Layout, Store, shard_key, spatial_coordinates
from catalogs.thinning import MOST_HALVINGS

REACH = 2**MOST_HALVINGS
"""Shards on a side of a square: the source of one whole shard of the coarsest level that is made from it."""

FINEST = 1
"""The map itself, which is not a group but the store."""


@dataclass(frozen=True, order=True)
class Square:
    """What one worker thins: up to 8 x 8 shards of the level `source`, counted in squares from the grid's corner."""

    source: int
    row: int
    col: int

    def __str__(self) -> str:
        return f"x{self.source}-{self.row:03d}-{self.col:03d}"

    def shards(self, shape: tuple[int, int]) -> Iterator[tuple[int, int]]:
        """Those of its level that there are, if that level has as many rows and columns of them as `shape` says."""
        for i in range(self.row * REACH, min((self.row + 1) * REACH, shape[0])):
            for j in range(self.col * REACH, min((self.col + 1) * REACH, shape[1])):
                yield i, j


def factors(grid: Grid) -> list[int]:
    """Of all levels of a grid's map, the finest left out: powers of two, until one fits in a single chunk."""
    found: list[int] = []
    while max(grid.shape) > CHUNK * (found[-1] if found else 1):
        factor = 2 * (found[-1] if found else 1)
        if grid.side % factor:  # its pixels would not end where the grid ends
            break
        found.append(factor)
    return found


def sources(grid: Grid) -> list[int]:
    """The levels that others are made from, in the order in which they can be; the map itself comes first."""
    made = factors(grid)
    return [FINEST, *(factor for factor in made[MOST_HALVINGS - 1 :: MOST_HALVINGS] if factor != made[-1])]


def made_from(grid: Grid, source: int) -> list[int]:
    """The levels that a level is thinned to."""
    return [factor for factor in factors(grid) if source < factor <= source * REACH]


def shard_rows(grid: Grid, factor: int) -> tuple[int, int]:
    """Rows and columns of shards that a level has."""
    height, width = level_shape(grid, factor)
    return -(-height // grid.side), -(-width // grid.side)


def level_shape(grid: Grid, factor: int) -> tuple[int, int]:
    return grid.shape[0] // factor, grid.shape[1] // factor


def squares_of(grid: Grid, source: int, tiles: Iterable[Tile]) -> list[Square]:
    """The squares of a level that hold any of the tiles."""
    side = REACH * source
    where = {((tile.row - grid.first.row) // side, (tile.col - grid.first.col) // side) for tile in tiles}
    return [Square(source, row, col) for row, col in sorted(where)]


def square_objects(grid: Grid, square: Square, arrays: Iterable[str]) -> list[str]:
    """What a square's worker writes, as keys in the map's store."""
    names = list(arrays)
    return [
        f"{factor}/{shard_key(name, *shard)}"
        for factor in made_from(grid, square.source)
        for shard in filled_by(grid, square, factor)
        for name in names
    ]


def filled_by(grid: Grid, square: Square, factor: int) -> Iterator[tuple[int, int]]:
    """The shards of a coarser level that a square fills."""
    across = REACH * square.source // factor
    rows, cols = shard_rows(grid, factor)
    for i in range(square.row * across, min((square.row + 1) * across, rows)):
        for j in range(square.col * across, min((square.col + 1) * across, cols)):
            yield i, j


def shard_window(grid: Grid, factor: int, shard: tuple[int, int]) -> Window:
    """The pixels of a level's shard that lie inside the level."""
    side = grid.side
    return Window(shard[0] * side, shard[1] * side, side, side).clipped(level_shape(grid, factor))


def level_store(root: Root, name: str, factor: int) -> Store:
    """A level of the map `name`."""
    return Store(root, name if factor == FINEST else f"{name}/{factor}")


def level_layouts(layouts: dict[str, Layout], grid: Grid, factor: int) -> dict[str, Layout]:
    """Those of the map, for fewer pixels; shards have as many as the map's, and so cover more ground."""
    return {name: replace(layout, shape=level_shape(grid, factor)) for name, layout in layouts.items()}


def level_coordinates(grid: Grid, factor: int) -> dict[str, Coordinate]:
    found = spatial_coordinates(grid)
    step = grid.transform.a * factor
    affine = f"{grid.transform.c} {step} 0.0 {grid.transform.f} 0.0 {-step}"
    crs = found["spatial_ref"]
    return {
        "y": replace(found["y"], values=_centres(found["y"].values, factor)),
        "x": replace(found["x"], values=_centres(found["x"].values, factor)),
        "spatial_ref": replace(crs, attributes={**crs.attributes, "GeoTransform": affine}),
    }


def _centres(values: NDArray[Any], factor: int) -> NDArray[np.float64]:
    means: NDArray[np.float64] = values.reshape(-1, factor).mean(axis=1)
    return means
