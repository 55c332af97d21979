"""Grids: tiles partition the ground, have the same names everywhere, and windows say where they lie."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from shapely import box

from catalogs.grid import Grid, Tile, Window, blocks, rectangles

metres = st.integers(-4_000_000, 4_000_000)
sizes = st.integers(1, 60_000)
sides = st.sampled_from([64, 128, 256, 1024])


@st.composite
def grids(draw):
    left, bottom = draw(metres), draw(metres)
    return Grid.around((left, bottom, left + draw(sizes), bottom + draw(sizes)), "EPSG:3035", 10, draw(sides))


@given(grids())
def test_tiles_partition_the_grid(grid):
    seen = np.zeros((grid.rows, grid.cols), int)
    for tile in grid.tiles():
        window = grid.window(tile)
        assert window.y % grid.side == window.x % grid.side == 0
        seen[window.y // grid.side, window.x // grid.side] += 1
    assert (seen == 1).all()


@given(metres, metres, sizes, sizes, sides)
def test_the_grid_holds_its_bounds_and_no_whole_tile_more(left, bottom, width, height, side):
    bounds = (left, bottom, left + width, bottom + height)
    grid = Grid.around(bounds, "EPSG:3035", 10, side)
    west, south, east, north = grid.bounds(Window(0, 0, *grid.shape))
    step = 10 * side
    assert west <= left < west + step and south <= bottom < south + step
    assert east - step < bounds[2] <= east and north - step < bounds[3] <= north


@given(grids(), grids())
def test_a_place_has_one_name_in_every_region(one, other):
    if one.side == other.side:
        for tile in set(list(one.tiles())[:20]) & set(list(other.tiles())[:20]):
            assert one.bounds(one.window(tile)) == other.bounds(other.window(tile))


@given(grids(), st.integers(-300, 300), st.integers(-300, 300))
def test_coordinates_bounds_and_transform_agree(grid, y, x):
    window = Window(y, x, 3, 5)
    left, bottom, right, top = grid.bounds(window)
    assert grid.transform_of(window) @ (0, 0) == (left, top)
    assert grid.transform_of(window) @ (5, 3) == (right, bottom)
    if 0 <= y < grid.shape[0] and 0 <= x < grid.shape[1]:
        assert grid.y[y] == top - 5 and grid.x[x] == left + 5


def test_tiles_of_a_region_share_ground_with_it():
    grid = Grid.around((0, 0, 4000, 4000), "EPSG:3035", 10, 100)
    touching = list(grid.tiles(box(1000, 1000, 2000, 2000)))
    assert touching == [Tile(-2, 1)]
    assert str(Tile(-2, 1)) == "r-00002c+00001"


def test_a_window_beyond_the_edge_is_clipped():
    assert Window(-4, 6, 10, 10).clipped((8, 8)) == Window(0, 6, 6, 2)
    assert Window(20, 20, 4, 4).clipped((8, 8)).height == 0
    assert Window(4, 4, 2, 2).grown(3) == Window(1, 1, 8, 8)


some_tiles = st.sets(st.builds(Tile, st.integers(-3, 4), st.integers(-3, 4)))


@given(some_tiles)
def test_rectangles_are_full_and_hold_each_tile_once(tiles):
    found = rectangles(tiles)
    assert sorted(tile for rectangle in found for tile in rectangle) == sorted(tiles)
    for rectangle in found:
        rows, cols = ({getattr(tile, axis) for tile in rectangle} for axis in ("row", "col"))
        first, last = rectangle[0], rectangle[-1]
        assert (first.row, first.col, last.row, last.col) == (min(rows), min(cols), max(rows), max(cols))
        assert len(rectangle) == len(rows) * len(cols) == (last.row - first.row + 1) * (last.col - first.col + 1)


def test_a_whole_block_is_one_rectangle():
    tiles = [Tile(row, col) for row in range(-2, 2) for col in range(-4, 4)]
    assert [len(rectangle) for rectangle in rectangles(tiles)] == [32]
    assert sorted(len(rectangle) for rectangle in rectangles(set(tiles) - {Tile(0, 0)})) == [1, 2, 12, 16]
    assert [len(block) for block in blocks(tiles, 2, 4)] == [8, 8, 8, 8]
