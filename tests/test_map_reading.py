"""The map's own reader: the pixels of Zarr's reader, in as few requests as it promises."""

import pickle
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from urllib3.exceptions import HTTPError

from catalogs.chunk_table import forget_tables, is_of, table_of, write_table
from catalogs.crops import MAP, map_layouts
from catalogs.errors import BadInput
from catalogs.grid import Grid, Tile, Window
from catalogs.map_reading import GAP, MapReader, Piece, merged, square_side
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


def test_a_second_look_asks_for_pixels_only_and_neighbours_come_together(store, monkeypatch):
    asked = []
    read = Root.read_part
    monkeypatch.setattr(Root, "read_part", lambda root, *given: (asked.append(given), read(root, *given))[1])
    reader = MapReader(store.root, MAP, "crop")
    assert reader.at(10, 10) == store.read("crop")[10, 10]
    assert len(asked) == 3  # a table that is not there, the shard's index and the chunk
    reader.read(Window(200, 200, 100, 100))  # on four chunks of one shard, which lie side by side in it
    assert len(asked) == 4
    assert reader.at(700, 700) == IGNORE and reader.at(701, 701) == IGNORE
    assert len(asked) == 5  # that there is nothing is remembered, too


def test_a_whole_shard_comes_in_one_request(store, monkeypatch):
    asked = []
    read = Root.read_part
    monkeypatch.setattr(Root, "read_part", lambda root, *given: (asked.append(given), read(root, *given))[1])
    window = Window(512, 0, 512, 512)
    assert (MapReader(store.root, MAP, "crop").read(window) == store.read("crop", window.slices)).all()
    assert len(asked) == 1


@pytest.fixture(scope="module")
def tabled(store, tmp_path_factory) -> Store:
    """The same, with a table of its chunks; the other arrays were never written."""
    root = copied(store.root, tmp_path_factory.mktemp("tabled"))
    write_table(root, MAP, "these")
    return Store(root, MAP)


@given(st.data())
def test_windows_are_those_of_zarrs_reader_with_a_table_and_without(store, tabled, data):
    y, x = data.draw(st.integers(0, 1023)), data.draw(st.integers(0, 1535))
    window = Window(y, x, data.draw(st.integers(1, 1024 - y)), data.draw(st.integers(1, 1536 - x)))
    expected = store.read("crop", window.slices)
    for root in (store.root, tabled.root):
        assert (MapReader(root, MAP, "crop").read(window) == expected).all()


def test_with_a_table_no_shard_is_asked_for_its_index(tabled, monkeypatch):
    asked = []
    read = Root.read_part
    monkeypatch.setattr(Root, "read_part", lambda root, *given: (asked.append(given), read(root, *given))[1])
    reader = MapReader(tabled.root, MAP, "crop")
    for tile in GRID.tiles():
        reader.at(*(side + 5 for side in (GRID.window(tile).y, GRID.window(tile).x)))
    assert [key for key, *_ in asked] == [
        f"{MAP}/chunks/crop/c/0/0/0/0/0",
        *(f"{MAP}/crop/c/{tile.row}/{tile.col}" for tile in GRID.tiles() if tile != HOLE),
    ]
    reader.read(Window(0, 0, 512, 512))
    assert len(asked) == 7, "a whole shard that is known comes at once, too"
    assert MapReader(tabled.root, MAP, "confidence").at(0, 0) == IGNORE and len(asked) == 8


def test_a_table_tells_what_each_shard_tells(tabled):
    reader, table = MapReader(tabled.root, MAP, "crop"), table_of(tabled.root, MAP).read("crop")
    assert table.shape == (2, 3, 2, 2, 2)
    for tile in GRID.tiles():
        index = reader.index((tile.row, tile.col))
        assert (table[tile.row, tile.col] == (0 if index is None else index)).all()
    assert is_of(tabled.root, MAP, "these") and not is_of(tabled.root, MAP, "others")


def copied(source: Root, target: Path) -> Root:
    root = Root(str(target))
    for name in source.keys(MAP):
        root.write(name, source.read(name))
    return root


@pytest.mark.parametrize("change", ["shorter", "longer", "gone"])
def test_a_reader_notices_that_shards_have_been_made_anew(tabled, tmp_path, change):
    """Its own table, and the one that somebody left there, speak of shards that are no more."""
    root = copied(tabled.root, tmp_path)
    reader = MapReader(root, MAP, "crop")
    assert [reader.at(y, 5) for y in (5, 300)]
    store = Store(root, MAP)
    if change == "gone":
        root.remove(f"{MAP}/crop/c/0/0")
    else:
        chance = np.random.default_rng(7)
        pixels = np.full((512, 512), 3) if change == "shorter" else chance.integers(0, 255, (512, 512))
        write_shard(store.array("crop"), (slice(0, 512), slice(0, 512)), pixels.astype(np.uint8))
    pixels, window = store.read("crop"), Window(200, 200, 400, 400)
    for one in (reader, MapReader(root, MAP, "crop")):
        assert (one.read(window) == pixels[window.slices]).all()
        assert one.at(600, 5) == pixels[600, 5]


def test_readers_at_the_same_time_notice_it_too(tabled, tmp_path):
    """Each forgets what the others have just learned, and none stumbles over that."""
    root = copied(tabled.root, tmp_path)
    for tile in GRID.tiles():
        write_shard(Store(root, MAP).array("crop"), GRID.window(tile).slices, np.full((512, 512), 3, np.uint8))
    windows = [Window(y, x, 200, 200) for y in range(0, 800, 100) for x in range(0, 1300, 100)]
    reader = MapReader(root, MAP, "crop")
    with ThreadPoolExecutor(8) as threads:
        assert all((pixels == 3).all() for pixels in threads.map(reader.read, windows))


def test_a_bucket_that_hides_what_is_not_there_has_no_table(store, monkeypatch):
    read = Root.read_part

    def forbidding(root, key, *given):
        if "/chunks/" in key:
            raise PermissionError(key)
        return read(root, key, *given)

    monkeypatch.setattr(Root, "read_part", forbidding)
    assert MapReader(store.root, MAP, "crop").at(10, 10) == store.read("crop")[10, 10]


def test_a_server_that_does_not_answer_is_not_asked_again_for_the_shards(tabled, monkeypatch):
    reader = MapReader(tabled.root, MAP, "crop")
    reader.at(10, 10)
    asked = []

    def silent(root, *given):
        asked.append(given)
        raise ConnectionError("nobody there") from HTTPError()

    monkeypatch.setattr(Root, "read_part", silent)
    with pytest.raises(ConnectionError, match="nobody there"):
        reader.at(10, 10)
    assert len(asked) == 1


def test_a_reader_goes_to_another_process(tabled):
    reader = MapReader(tabled.root, MAP, "crop")
    make, given = reader.__reduce__()
    assert pickle.dumps(reader) and make(*given).at(10, 10) == reader.at(10, 10)


def test_a_table_that_was_cut_short_is_written_again(tabled, tmp_path, monkeypatch):
    root = Root(str(tmp_path))
    for key in tabled.root.keys(MAP):
        if "/chunks/" not in key:
            root.write(key, tabled.root.read(key))
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr("catalogs.chunk_table._asked", killed)
        write_table(root, MAP, "these")
    assert table_of(root, MAP).description() and not is_of(root, MAP, "these")
    assert MapReader(root, MAP, "crop").at(5, 5) == MapReader(tabled.root, MAP, "crop").at(5, 5)
    write_table(root, MAP, "these")
    assert is_of(root, MAP, "these")
    forget_tables(root, [MAP])
    assert not is_of(root, MAP, "these") and not list(root.keys(f"{MAP}/chunks"))


def killed(*_):
    raise KeyboardInterrupt


def test_a_table_of_many_shards_comes_in_parts(tmp_path, monkeypatch):
    monkeypatch.setattr("catalogs.map_reading.TOGETHER", 4)
    grid = Grid("EPSG:3035", 10, 16, Tile(0, 0), 5, 3)
    store = Store(Root(str(tmp_path)), MAP)
    store.begin(map_layouts(grid, ten_crops()), spatial_coordinates(grid), {"store": "map"})
    pixels = np.random.default_rng(5).integers(0, 11, grid.shape).astype(np.uint8)
    for tile in grid.tiles():
        write_shard(store.array("crop"), grid.window(tile).slices, pixels[grid.window(tile).slices])
    write_table(store.root, MAP, "these")
    assert len(list(store.root.keys(f"{MAP}/chunks/crop/c"))) == 6
    reader = MapReader(store.root, MAP, "crop")
    assert [reader.at(y, x) for y, x in np.ndindex(grid.shape)] == pixels.ravel().tolist()


@pytest.mark.parametrize(("per_shard", "side"), [((1, 1), 128), ((4, 4), 32), ((16, 16), 8), ((200, 200), 1)])
def test_parts_of_the_table_have_about_as_many_chunks(per_shard, side):
    assert square_side(per_shard) == side


def test_a_damaged_table_or_chunk_is_told(tabled, tmp_path):
    for key, place in ((f"{MAP}/chunks/crop/c/0/0/0/0/0", -10), (f"{MAP}/crop/c/0/0", 0)):
        root = copied(tabled.root, tmp_path / str(place))
        data = bytearray(root.read(key))
        data[place] ^= 255
        root.write(key, bytes(data))
        with pytest.raises(BadInput, match="damaged"):
            MapReader(root, MAP, "crop").at(0, 0)


def test_all_that_lies_in_an_array_of_a_shard_at_its_edge_comes_in_one_request(tmp_path, monkeypatch):
    store, side = Store(Root(str(tmp_path)), MAP), 3 * 256
    layout = map_layouts(Grid("EPSG:3035", 10, 512, Tile(0, 0), 2, 2), ten_crops())["crop"]
    store.begin({"crop": replace(layout, shape=(side, side))}, {}, {"store": "map"})
    pixels = np.random.default_rng(6).integers(0, 11, (side, side)).astype(np.uint8)
    for y, x in product((0, 512), repeat=2):
        here = slice(y, min(y + 512, side)), slice(x, min(x + 512, side))
        write_shard(store.array("crop"), here, pixels[here])
    asked = []
    read = Root.read_part
    monkeypatch.setattr(Root, "read_part", lambda root, *given: (asked.append(given), read(root, *given))[1])
    assert (MapReader(store.root, MAP, "crop").read(Window(0, 0, side, side)) == pixels).all()
    assert len(asked) == 4


def test_runs_are_parted_where_much_lies_between():
    pieces = [Piece((0, n), first, first + 10) for n, first in enumerate((0, 10, 20 + GAP, 31 + 2 * GAP))]
    assert [[piece.chunk[1] for piece in run] for run in merged(pieces)] == [[0, 1, 2], [3]]
    assert list(merged([])) == []


def test_a_damaged_index_is_told(store, tmp_path):
    root = copied(store.root, tmp_path)
    path = Path(root.path(f"{MAP}/crop/c/0/0"))
    data = bytearray(path.read_bytes())
    data[-10] ^= 1
    path.write_bytes(data)
    with pytest.raises(BadInput, match="damaged"):
        MapReader(root, MAP, "crop").at(0, 0)
