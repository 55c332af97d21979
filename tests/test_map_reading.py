"""The map's own reader: the pixels of Zarr's reader, in as few requests as it promises."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from catalogs.crops import MAP, map_layouts
from catalogs.errors import BadInput
from catalogs.grid import Grid, Tile, Window
from catalogs.map_reading import GAP, MapReader, Piece, merged
from catalogs.root import Root
from catalogs.stores import Store, spatial_coordinates, write_shard
from catalogs.taxonomy import IGNORE, ten_crops

GRID = Grid("EPSG:3035", 10, 512, Tile(0, 0), 2, 3)
HOLE = Tile(1, 1)


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> Store:
    """Two rows of three tiles of noise, one of which was never mapped."""
    store = Store(Root(str(tmp_path_factory.mktemp("root"))), MAP)
    store.begin(map_layouts(GRID, ten_crops()), spatial_coordinates(GRID), {"store": "map"})
    chance = np.random.default_rng(4)
    for tile in GRID.tiles():
        if tile != HOLE:
            pixels = chance.integers(0, 11, (512, 512)).astype(np.uint8)
            write_shard(store.array("crop"), GRID.window(tile).slices, pixels)
    return store


@given(st.data())
def test_windows_are_those_of_zarrs_reader(store, data):
    y, x = data.draw(st.integers(0, 1023)), data.draw(st.integers(0, 1535))
    window = Window(y, x, data.draw(st.integers(1, 1024 - y)), data.draw(st.integers(1, 1536 - x)))
    assert (MapReader(store.root, MAP, "crop").read(window) == store.read("crop", window.slices)).all()


def test_a_second_look_asks_for_pixels_only_and_neighbours_come_together(store, monkeypatch):
    asked = []
    read = Root.read_part
    monkeypatch.setattr(Root, "read_part", lambda root, *given: (asked.append(given), read(root, *given))[1])
    reader = MapReader(store.root, MAP, "crop")
    assert reader.at(10, 10) == store.read("crop")[10, 10]
    assert len(asked) == 2  # the shard's index and the chunk
    reader.read(Window(200, 200, 100, 100))  # on four chunks of one shard, which lie side by side in it
    assert len(asked) == 3
    assert reader.at(700, 700) == IGNORE and reader.at(701, 701) == IGNORE
    assert len(asked) == 4  # that there is nothing is remembered, too


def test_a_whole_shard_comes_in_one_request(store, monkeypatch):
    asked = []
    read = Root.read_part
    monkeypatch.setattr(Root, "read_part", lambda root, *given: (asked.append(given), read(root, *given))[1])
    window = Window(512, 0, 512, 512)
    assert (MapReader(store.root, MAP, "crop").read(window) == store.read("crop", window.slices)).all()
    assert len(asked) == 1


def test_runs_are_parted_where_much_lies_between():
    pieces = [Piece((0, n), first, first + 10) for n, first in enumerate((0, 10, 20 + GAP, 31 + 2 * GAP))]
    assert [[piece.chunk[1] for piece in run] for run in merged(pieces)] == [[0, 1, 2], [3]]
    assert list(merged([])) == []


def test_a_damaged_index_is_told(store, tmp_path):
    root = Root(str(tmp_path))
    for key in store.root.keys(MAP):
        root.write(key, store.root.read(key))
    path = Path(root.path(f"{MAP}/crop/c/0/0"))
    data = bytearray(path.read_bytes())
    data[-10] ^= 1
    path.write_bytes(data)
    with pytest.raises(BadInput, match="damaged"):
        MapReader(root, MAP, "crop").at(0, 0)
