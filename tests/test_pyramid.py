"""Coarser levels and class counts of a map: against plain loops, whole after interruptions, read as meant."""

import io
import json

import numpy as np
import pytest
import shapely
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from test_publish import LEFT, TOP, lay_plan, write_root

from catalogs import crops
from catalogs.chunk_table import is_of
from catalogs.class_counts import counts_in
from catalogs.grid import Grid, Tile, Window
from catalogs.ledger import Ledger
from catalogs.map_reading import MapReader
from catalogs.pyramid import factors, made_from, sources, square_objects, squares_of
from catalogs.stored_grid import grid_of
from catalogs.stores import Store, write_shard
from catalogs.taxonomy import IGNORE, ten_crops
from catalogs.thinning import thinned_classes, thinned_means
from cluster.progress import LineProgress
from pipelines import pyramid
from pipelines.plan import Plan
from pipelines.pyramid_squares import ARRAYS, SQUARES

SIDE = 2304
"""Pixels: enough for a level that is made from another level, and for several squares of the finest."""


def build(plan: Plan) -> None:
    pyramid.build_pyramid(plan, LineProgress(io.StringIO()))


def blocks_of(values: np.ndarray, factor: int) -> list[list[np.ndarray]]:
    height, width = values.shape
    return [
        [values[y : y + factor, x : x + factor].ravel() for x in range(0, width, factor)]
        for y in range(0, height, factor)
    ]


def mode(block: np.ndarray) -> int:
    counts = {value: int((block == value).sum()) for value in block.tolist() if value != IGNORE}
    return min(counts, key=lambda value: (-counts[value], value)) if counts else IGNORE


def mean(block: np.ndarray) -> int:
    known = [int(value) for value in block if value != IGNORE]
    return int(np.floor(sum(known) / len(known) + 0.5)) if known else IGNORE


@given(arrays(np.uint8, (16, 8), elements=st.sampled_from([0, 1, 2, 10, IGNORE])))
def test_the_commonest_class_is_that_of_a_plain_loop(values):
    for factor, thin in zip((2, 4, 8), thinned_classes(values, 11, 3), strict=True):
        assert thin.tolist() == [[mode(block) for block in row] for row in blocks_of(values, factor)]


@given(arrays(np.uint8, (16, 8), elements=st.one_of(st.integers(0, 100), st.just(IGNORE))))
def test_the_mean_is_that_of_a_plain_loop(values):
    for factor, thin in zip((2, 4, 8), thinned_means(values, 3), strict=True):
        assert thin.tolist() == [[mean(block) for block in row] for row in blocks_of(values, factor)]


@given(st.integers(2, 64), st.integers(1, 40), st.integers(1, 40), st.data())
def test_squares_fill_each_shard_of_each_level_once(side, rows, cols, data):
    grid = Grid("EPSG:3035", 10, 64 * side, Tile(-3, 5), rows, cols)
    tiles = list(grid.tiles())
    squares = [square for source in sources(grid) for square in squares_of(grid, source, tiles)]
    written = [key for square in squares for key in square_objects(grid, square, ["crop"])]
    assert len(written) == len(set(written))
    for factor in factors(grid):
        height, width = (-(-pixels // factor // grid.side) for pixels in grid.shape)
        assert sum(key.startswith(f"{factor}/") for key in written) == height * width
    assert sorted(factor for source in sources(grid) for factor in made_from(grid, source)) == factors(grid)


@pytest.fixture(scope="module")
def wide(tmp_path_factory) -> Plan:
    """A map of fields with speckle, half of its ground outside the region."""
    plan = lay_plan(tmp_path_factory.mktemp("wide"), tile=256, size=(10 * SIDE, 10 * SIDE), triangle=True)
    chance = np.random.default_rng(5)
    crop = np.kron(chance.integers(0, 11, (SIDE // 24, SIDE // 24)), np.ones((24, 24))).astype(np.uint8)
    crop = np.where(chance.random(crop.shape) < 0.1, chance.integers(0, 11, crop.shape), crop).astype(np.uint8)
    inside = np.arange(SIDE)[:, None] + np.arange(SIDE) < SIDE - 1
    crop[~inside] = IGNORE
    percent = np.where(inside, chance.integers(30, 101, crop.shape), IGNORE).astype(np.uint8)
    write_root(plan, mapped=crop, confidence=percent)
    build(plan)
    return plan


def thinned(values: np.ndarray, factor: int, how) -> np.ndarray:
    return np.array([[how(block) for block in row] for row in blocks_of(values, factor)], np.uint8)


def level(plan: Plan, factor: int) -> xr.Dataset:
    return xr.open_zarr(plan.root.path(crops.MAP), group=str(factor), decode_coords="all")


def test_levels_halve_until_one_fits_in_a_chunk(wide):
    assert factors(wide.grid) == [2, 4, 8, 16] and sources(wide.grid) == [1, 8]
    for factor in factors(wide.grid):
        opened = level(wide, factor)
        assert opened.crop.shape == (SIDE // factor, SIDE // factor)
        assert (opened.rio.transform().a, opened.rio.transform().c, opened.rio.transform().f) == (
            10 * factor,
            LEFT,
            TOP,
        )
        assert opened.rio.crs.to_epsg() == 3035 and opened.crop.attrs["flag_values"][-1] == IGNORE
        assert float(opened.x[0]) == LEFT + 5 * factor and float(opened.y[0]) == TOP - 5 * factor


def test_each_level_is_the_mode_and_the_mean_of_the_pixels_that_it_is_made_from(wide):
    store = Store(wide.root, crops.MAP)
    crop, percent = store.read("crop"), store.read("confidence")
    for factor, *made in zip((2, 4, 8), thinned_classes(crop, 11, 3), thinned_means(percent, 3), strict=True):
        assert all((found == one).all() for found, one in zip(level_pixels(wide, factor), made, strict=True))
    crop, percent = level_pixels(wide, 8)
    assert (level(wide, 16).crop.values == thinned(crop, 2, mode)).all()
    assert (level(wide, 16).confidence.values == thinned(percent, 2, mean)).all()
    assert (level(wide, 2).observations.values == next(thinned_means(store.read("observations"), 1))).all()


def level_pixels(plan: Plan, factor: int) -> tuple[np.ndarray, np.ndarray]:
    opened = level(plan, factor)
    return opened.crop.values, opened.confidence.values


def files(plan: Plan) -> dict[str, bytes]:
    return {key: plan.root.read(key) for key in plan.root.keys(crops.MAP)}


def test_building_again_changes_nothing_and_what_is_lost_is_made_again(wide):
    before = files(wide)
    wide.root.remove(f"{Ledger(wide.root, SQUARES).folder}/done/x1-001-000.json")
    for key in ("2/crop/c/3/0", "16/confidence/c/0/0", "counts/pixels/c/0/0/0"):
        wide.root.remove(f"{crops.MAP}/{key}")
    build(wide)
    assert files(wide) == before


def test_new_pixels_are_noticed(tmp_path):
    plan = write_root(lay_plan(tmp_path, tile=256, size=(5120, 5120)))
    build(plan)
    tile = plan.tiles[0]
    other = np.full((256, 256), 7, np.uint8)
    store = Store(plan.root, crops.MAP)
    digest = write_shard(store.array("crop"), plan.grid.window(tile).slices, other)
    store.ledger.commit(str(tile), {"digests": [digest]})
    build(plan)
    assert (level(plan, 2).crop.values[:128, :128] == 7).all()
    assert counts_in(plan.root, plan.grid)[7] >= 256**2


def test_the_table_of_chunks_is_of_the_pixels_that_there_are(tmp_path, monkeypatch):
    """Of all levels; of others than there are now there is none, not even while levels are made anew."""
    plan = write_root(lay_plan(tmp_path, tile=256, size=(10_240, 7_680)))
    build(plan)
    stores = [crops.MAP, f"{crops.MAP}/2", f"{crops.MAP}/4"]
    first = pyramid.map_pixels(plan)
    assert all(is_of(plan.root, store, first) for store in stores)
    before = {key: plan.root.read(key) for store in stores for key in plan.root.keys(f"{store}/chunks")}
    build(plan)
    assert {key: plan.root.read(key) for key in before} == before
    tile = str(plan.tiles[0])
    ledger = Store(plan.root, crops.MAP).ledger
    ledger.commit(tile, ledger.record(tile) | {"digests": ["another"]})

    def dies(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(pyramid, "begin_levels", dies)
        build(plan)
    assert not [key for key in plan.root.keys(crops.MAP) if "/chunks/" in key]
    build(plan)
    assert is_of(plan.root, crops.MAP, pyramid.map_pixels(plan)) and first != pyramid.map_pixels(plan)


def test_an_interrupted_build_leaves_the_map_as_it_was(tmp_path, monkeypatch):
    plan = write_root(lay_plan(tmp_path, tile=256, size=(5120, 5120)))
    monkeypatch.setattr(pyramid, "thin_square", lambda job, task: (_ for _ in ()).throw(KeyboardInterrupt()))
    with pytest.raises(KeyboardInterrupt):
        build(plan)
    assert Store(plan.root, crops.MAP).description() is not None
    assert "multiscales" not in xr.open_zarr(plan.root.path(crops.MAP)).attrs
    monkeypatch.undo()
    build(plan)
    assert "multiscales" in xr.open_zarr(plan.root.path(crops.MAP)).attrs


def test_the_layout_says_where_levels_are_and_what_they_are_made_from(wide):
    attributes = json.loads(wide.root.read("map.zarr/zarr.json"))["attributes"]
    first, *others = attributes["multiscales"]["layout"]
    assert first["asset"] == "/" and first["spatial:shape"] == [SIDE, SIDE]
    assert [one["asset"] for one in others] == ["2", "4", "8", "16"]
    assert [one["derived_from"] for one in others] == ["/", "2", "4", "8"]
    assert others[-1]["spatial:transform"] == [160, 0, LEFT, 0, -160, TOP]
    assert attributes["proj:code"] == "EPSG:3035" and "furrow" in attributes


def test_counts_are_those_of_the_pixels(wide):
    crop = Store(wide.root, crops.MAP).read("crop")
    counted = np.bincount(crop.ravel(), minlength=256)
    opened = xr.open_zarr(wide.root.path(crops.MAP), group="counts")
    assert (opened.pixels.sum(("tile_y", "tile_x")).values[:-1] == counted[:11]).all()
    assert opened.crop.values.tolist() == [*range(11), IGNORE]
    tile = opened.pixels.isel(tile_y=3, tile_x=2)
    assert (tile.values[:-1] == np.bincount(crop[768:1024, 512:768].ravel(), minlength=256)[:11]).all()
    assert float(tile.tile_x) == LEFT + 640 * 10 and float(tile.tile_y) == TOP - 896 * 10
    assert (counts_in(wide.root, wide.grid)[:-1] == counted[:11]).all()


@pytest.mark.parametrize("buffer", [0, -150])
def test_areas_of_a_region_need_pixels_of_border_tiles_only(wide, buffer, monkeypatch):
    shape = shapely.Point(LEFT + 9000, TOP - 8000).buffer(6000 + buffer)
    y, x = np.ogrid[:SIDE, :SIDE]
    centres = shapely.contains_xy(shape, LEFT + 5 + 10 * x + 0 * y, TOP - 5 - 10 * y + 0 * x)
    crop = Store(wide.root, crops.MAP).read("crop")[centres]
    read = MapReader.read
    asked: list[Window] = []
    monkeypatch.setattr(MapReader, "read", lambda reader, window: (asked.append(window), read(reader, window))[1])
    found = counts_in(wide.root, wide.grid, shape)
    assert (found == np.append(np.bincount(crop, minlength=256)[:11], (crop == IGNORE).sum())).all()
    crossed = [
        tile
        for tile in wide.grid.tiles(shape)
        if not shape.contains_properly(shapely.box(*wide.grid.bounds(wide.grid.window(tile))))
    ]
    assert len(asked) == len(crossed) < len(list(wide.grid.tiles(shape)))


def test_a_small_map_has_counts_and_no_levels(tmp_path):
    plan = write_root(lay_plan(tmp_path))
    build(plan)
    opened = xr.open_zarr(plan.root.path(crops.MAP))
    assert "multiscales" not in opened.attrs and opened.attrs["spatial:shape"] == [128, 128]
    assert counts_in(plan.root, plan.grid).sum() == 128 * 128
    assert set(ARRAYS) <= set(opened) and len(ten_crops().names) == 11


def test_a_map_tells_its_grid(wide):
    assert grid_of(wide.root, crops.MAP) == wide.grid
