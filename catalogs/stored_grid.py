"""The grid of a store that is there, from what it was planned from: for readers that have no project file."""

from typing import Any

from catalogs.errors import BadInput
from catalogs.grid import Grid, Tile
from catalogs.root import Root
from catalogs.stores import Store


def grid_of(root: Root, name: str) -> Grid:
    described = Store(root, name).description()
    if described is None or "grid" not in described:
        raise BadInput(root.path(name), "is no store on a grid, or not whole yet.", "Give the root of a finished run.")
    return _grid(described["grid"])


def _grid(said: dict[str, Any]) -> Grid:
    (row, col), (rows, cols) = said["first"], said["size"]
    return Grid(said["crs"], said["resolution"], said["tile"], Tile(row, col), rows, cols)
