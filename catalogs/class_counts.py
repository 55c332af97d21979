"""How many pixels of each class a map has in each tile: with these, areas need no pixels but those along a border."""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import zarr
from numpy.typing import NDArray
from shapely import box, prepare
from shapely.geometry.base import BaseGeometry

from catalogs.crops import MAP, flags
from catalogs.grid import Grid, Tile, Window
from catalogs.map_reading import MapReader
from catalogs.region_mask import outside_region
from catalogs.root import Root
from catalogs.shard_reading import shard_in
from catalogs.stores import Coordinate, Layout, Store, shard_key, write_shard
from catalogs.taxonomy import IGNORE, Taxonomy

NAME = f"{MAP}/counts"
ARRAY = "pixels"

READERS = 8
"""Tiles that are read at the same time: a bucket's answer is what takes time."""


def count_layouts(grid: Grid, taxonomy: Taxonomy) -> dict[str, Layout]:
    """One array (tile_y, tile_x, crop): a country's is a megabyte, read at once."""
    shape = grid.rows, grid.cols, len(taxonomy.names) + 1
    said = {"long_name": "pixels of the map, by tile and class", "units": "1"}
    return {ARRAY: Layout(("tile_y", "tile_x", "crop"), shape, "uint32", shape, shape, 0, said)}


def count_coordinates(grid: Grid, taxonomy: Taxonomy) -> dict[str, Coordinate]:
    """The middle of each tile, and the classes as the map's pixels name them; no data comes last."""
    said = flags(taxonomy, "no_data")
    side = f"of tiles of {grid.side * grid.resolution} m"
    return {
        "tile_y": Coordinate(
            ("tile_y",), _middles(grid.y, grid.side), {"long_name": f"northing {side}", "units": "metre"}
        ),
        "tile_x": Coordinate(
            ("tile_x",), _middles(grid.x, grid.side), {"long_name": f"easting {side}", "units": "metre"}
        ),
        "crop": Coordinate(("crop",), np.array(said["flag_values"], np.uint8), {"long_name": "crop", **said}),
    }


def write_counts(root: Root, grid: Grid, taxonomy: Taxonomy, pixels: Mapping[Tile, Mapping[str, int]]) -> None:
    """Those of all tiles; in one that was not mapped no pixel has data."""
    store = Store(root, NAME)
    about = {"store": "class counts", "tiles": [grid.rows, grid.cols], "classes": taxonomy.identity}
    store.begin(count_layouts(grid, taxonomy), count_coordinates(grid, taxonomy), about)
    table = np.zeros((grid.rows, grid.cols, len(taxonomy.names) + 1), np.uint32)
    table[..., -1] = grid.side**2
    for tile, found in pixels.items():
        row = table[tile.row - grid.first.row, tile.col - grid.first.col]
        row[-1] = 0
        for value, count in found.items():
            row[-1 if int(value) == IGNORE else int(value)] = count
    write_shard(store.array(ARRAY), (slice(0, None),) * 3, table)


def counts_in(root: Root, grid: Grid, shape: BaseGeometry | None = None) -> NDArray[np.int64]:
    """Pixels of each class, and last of no data, whose centre lies in a shape in the grid's CRS; or of the whole map.

    Only tiles that the shape's border crosses are read.
    """
    table = _table(root).astype(np.int64)
    if shape is None:
        return np.asarray(table.sum(axis=(0, 1)))
    prepare(shape)
    border, inside = list[Window](), np.zeros(table.shape[-1], np.int64)
    for tile in grid.tiles(shape):
        window = grid.window(tile)
        if shape.contains_properly(box(*grid.bounds(window))):
            inside += table[window.y // grid.side, window.x // grid.side]
        else:
            border.append(window)
    reader = MapReader(root, MAP, "crop")
    with ThreadPoolExecutor(READERS) as readers:
        for first in range(0, len(border), READERS):
            some = border[first : first + READERS]
            for window, crop in zip(some, readers.map(reader.read, some), strict=True):
                inside += _counted(crop, grid, window, shape, len(inside) - 1)
    return inside


def _table(root: Root) -> NDArray[np.uint32]:
    """As Zarr's reader has it, in half as many requests."""
    array = zarr.open_group(root.zarr(NAME), mode="r", zarr_format=3)[ARRAY]
    assert isinstance(array, zarr.Array)
    key = f"{NAME}/{shard_key(ARRAY, 0, 0, 0)}"
    table = np.empty(array.shape, "<u4")
    shard_in(root.path(key), memoryview(root.read_part(key, 0)), 1, packed=True).read(0, table)
    return table


def _counted(
    crop: NDArray[np.uint8], grid: Grid, window: Window, shape: BaseGeometry, classes: int
) -> NDArray[np.int64]:
    """Of one tile, pixel by pixel."""
    counts = np.bincount(crop[~outside_region(shape, grid, window)], minlength=IGNORE + 1)
    return np.append(counts[:classes], counts[IGNORE])


def _middles(centres: NDArray[np.float64], side: int) -> NDArray[np.float64]:
    found: NDArray[np.float64] = centres.reshape(-1, side).mean(axis=1)
    return found
