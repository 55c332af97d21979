"""The map that queries are put to: fields with speckle, as Furrow publishes a map, and the same as a GeoTIFF."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from catalogs.chunk_table import write_table
from catalogs.class_counts import write_counts
from catalogs.cog_writing import Picture, colours_of, write_cog
from catalogs.crops import MAP, map_layouts
from catalogs.grid import Grid, Tile, Window
from catalogs.multiscales import level_attributes, map_attributes
from catalogs.pyramid import factors, level_coordinates, level_layouts, level_store, sources, squares_of
from catalogs.root import Root
from catalogs.store_attributes import set_attributes
from catalogs.stores import Store, spatial_coordinates, write_shard
from catalogs.taxonomy import ten_crops
from pipelines.pyramid_squares import Thinning, thin_square

FIELD = 20
"""Pixels on a side."""
SPECKLE = 0.03
"""Of pixels are another class than their field's."""
TAXONOMY = ten_crops()
CLASSES = len(TAXONOMY.names)


def grid_of_side(pixels: int, tile: int) -> Grid:
    return Grid(
        "EPSG:3035", 10, tile, Tile(-(3_000_000 // 10 // tile), 4_000_000 // 10 // tile), *(-(-pixels // tile),) * 2
    )


def make_map(folder: Path, grid: Grid) -> None:
    """map.zarr with levels and counts, and map.tif."""
    root = Root(str(folder))
    _fill(root, grid)
    _thin(root, grid)
    picture = Picture(grid.crs, grid.transform, grid.shape, "MODE", "crop", {}, colours_of(TAXONOMY))
    write_cog(folder / "map.tif", picture, ((grid.window(tile), pixels) for tile, pixels in _tiles(grid)))


def _fill(root: Root, grid: Grid) -> None:
    store = Store(root, MAP)
    store.begin(map_layouts(grid, TAXONOMY), spatial_coordinates(grid), {"store": "map"})
    crop, confidence, observations = store.arrays("crop", "confidence", "observations")
    for tile, pixels in _tiles(grid):
        where = grid.window(tile).slices
        write_shard(crop, where, pixels)
        write_shard(confidence, where, np.full_like(pixels, 90))
        write_shard(observations, where, np.full_like(pixels, 12))


def _thin(root: Root, grid: Grid) -> None:
    layouts = map_layouts(grid, TAXONOMY)
    for factor in factors(grid):
        store = level_store(root, MAP, factor)
        coordinates, attributes = level_coordinates(grid, factor), level_attributes(grid, factor)
        store.begin(level_layouts(layouts, grid, factor), coordinates, {"level": factor}, attributes)
    counts: dict[Tile, dict[str, int]] = {}
    for source in sources(grid):
        for square in squares_of(grid, source, grid.tiles()):
            record = thin_square(Thinning(root, grid, CLASSES), (square, ""))
            for place, found in record["pixels"].items():
                row, col = map(int, place.split("-"))
                counts[Tile(grid.first.row + row, grid.first.col + col)] = found
    write_counts(root, grid, TAXONOMY, counts)
    for name in (MAP, *(f"{MAP}/{factor}" for factor in factors(grid))):
        write_table(root, name, "made up")
    set_attributes(root, MAP, map_attributes(grid, factors(grid)))


def _tiles(grid: Grid) -> Iterator[tuple[Tile, NDArray[np.uint8]]]:
    for tile in grid.tiles():
        yield tile, _pixels(grid.window(tile))


def _pixels(window: Window) -> NDArray[np.uint8]:
    """The same whenever they are asked for; fields end at the tile's edge."""
    chance = np.random.default_rng([window.y, window.x])
    fields = -(-window.height // FIELD)
    crop = np.kron(chance.integers(0, CLASSES, (fields, fields), np.uint8), np.ones((FIELD, FIELD), np.uint8))
    crop = crop[: window.height, : window.width]
    other = chance.integers(0, CLASSES, crop.shape, np.uint8)
    return np.where(chance.random(crop.shape, np.float32) < SPECKLE, other, crop)
