"""Stores: template first, whole shards, commits last, and nothing promised that is not there."""

import json
from pathlib import Path

import numpy as np
import pytest
import rioxarray  # noqa: F401  (gives xarray its .rio)
import xarray as xr
from pyproj import CRS

from catalogs.crops import MAP, map_layouts
from catalogs.errors import BadInput
from catalogs.grid import Grid, Tile
from catalogs.root import Root
from catalogs.stores import Store, plane, plane_objects, spatial_coordinates, write_shard
from catalogs.taxonomy import ten_crops

GRID = Grid.around((100_000, 200_000, 102_000, 203_000), "EPSG:3035", 10, 128)
ARRAYS = ("crop", "confidence")


def begun(root: Root, **description: object) -> Store:
    store = Store(root, MAP)
    store.begin(map_layouts(GRID, ten_crops()), spatial_coordinates(GRID), {"store": "map", **description})
    return store


@pytest.fixture
def root(tmp_path: Path) -> Root:
    return Root(str(tmp_path))


def units():
    return [(str(tile), plane_objects(GRID, tile, ARRAYS)) for tile in GRID.tiles()]


def fill(store: Store, tile, value: int = 3) -> None:
    window = GRID.window(tile)
    for name in ARRAYS:
        write_shard(store.array(name), window.slices, np.full((128, 128), value, np.uint8))
    store.ledger.commit(str(tile), {})


def test_xarray_sees_names_crs_and_metres(root):
    begun(root)
    opened = xr.open_zarr(root.path(MAP), decode_coords="all")
    assert opened.rio.crs == CRS.from_epsg(3035)
    assert opened.crop.attrs["flag_values"][:3] == [0, 1, 2]
    assert opened.crop.attrs["flag_meanings"].split()[:3] == ["background", "maize", "wheat"]
    assert opened.x.attrs["units"] == "metre" and (np.diff(opened.y) == -10).all()
    assert opened.rio.transform() == GRID.transform


def test_a_store_planned_differently_is_refused_with_what_differs(root):
    begun(root, halo=16, cube="a")
    begun(root, halo=16, cube="a")
    with pytest.raises(BadInput, match=r"halo: the store has 16, the project says 32"):
        begun(root, halo=32, cube="a")


def test_only_committed_units_with_their_pixels_are_done(root):
    store = begun(root)
    tiles = list(GRID.tiles())
    fill(store, tiles[0])
    fill(store, tiles[1], value=255)  # an empty tile is written too: absent must mean not done
    window = GRID.window(tiles[2])
    write_shard(store.array("crop"), window.slices, np.zeros((128, 128), np.uint8))  # written, not committed
    assert store.missing(units()) == [str(tile) for tile in tiles[2:]]
    Path(root.path(f"{MAP}/{plane_objects(GRID, tiles[0], ARRAYS)[1]}")).unlink()
    assert store.missing(units()) == [str(tiles[0]), *(str(tile) for tile in tiles[2:])]
    assert str(tiles[0]) in store.ledger.done()  # looking changes nothing


def test_what_is_not_ours_is_left_alone(root):
    root.write(f"{MAP}/.zgroup", b"{}")
    with pytest.raises(BadInput, match="not one of Furrow's"):
        begun(root)
    root.write(f"{MAP}/zarr.json", b'{"zarr_format": 3, "node_type": "group", "attributes": {}}')
    with pytest.raises(BadInput, match="not one of Furrow's"):
        begun(root)
    assert root.exists(f"{MAP}/.zgroup")


def test_a_template_that_was_cut_off_is_written_anew(root):
    store = begun(root)
    fill(store, next(GRID.tiles()))
    path = Path(root.path(f"{MAP}/zarr.json"))
    metadata = json.loads(path.read_text())
    del metadata["consolidated_metadata"]
    path.write_text(json.dumps(metadata))
    assert store.description() is None
    begun(root)
    assert len(store.missing(units())) == len(units())
    assert not list(Path(root.path(MAP)).glob("crop/c/*/*"))


def test_the_same_pixels_are_the_same_bytes(root, tmp_path):
    other = Root(str(tmp_path / "other"))
    picture = np.random.default_rng(0).integers(0, 11, (128, 128)).astype(np.uint8)
    for place in (root, other):
        write_shard(begun(place).array("crop"), (slice(0, 128), slice(0, 128)), picture)
    for key in root.keys(MAP):
        assert root.read(key) == other.read(key), key


def test_a_root_that_cannot_be_written_is_refused(tmp_path):
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(BadInput, match="cannot be written"):
        Root(str(tmp_path / "file" / "root")).check_writable()


def test_a_failed_write_leaves_nothing(root, monkeypatch):
    root.write("a/b.json", b"old")
    monkeypatch.setattr("os.replace", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(OSError):
        root.write("a/b.json", b"new")
    assert root.read("a/b.json") == b"old" and list(root.keys("a")) == ["a/b.json"]


def test_the_ledger_keeps_reasons_until_the_unit_is_done(root):
    ledger = Store(root, MAP).ledger
    ledger.fail("u", "the disk was full")
    assert ledger.failed() == {"u"} and ledger.reason("u") == "the disk was full"
    ledger.commit("u", {"n": 1})
    assert ledger.failed() == set() and ledger.record("u") == {"n": 1}


def test_a_shard_is_always_the_same_bytes(tmp_path):
    grid = Grid("EPSG:3035", 10, 512, Tile(0, 0), 1, 2)
    store = Store(Root(str(tmp_path)), "a.zarr")
    store.begin({"a": plane(grid, "uint16", 0, {})}, {}, {"x": 1})
    array = store.array("a")
    block = np.random.default_rng(1).integers(0, 9, (512, 512)).astype("uint16")
    written = set()
    for _ in range(12):
        write_shard(array, (slice(0, 512), slice(0, 512)), block)
        written.add((tmp_path / "a.zarr/a/c/0/0").read_bytes())
    assert len(written) == 1 and (store.read("a")[:, :512] == block).all()


def test_a_shard_of_nothing_is_there_all_the_same(tmp_path):
    grid = Grid("EPSG:3035", 10, 512, Tile(0, 0), 1, 1)
    store = Store(Root(str(tmp_path)), "a.zarr")
    store.begin({"a": plane(grid, "uint8", 7, {})}, {}, {"x": 1})
    write_shard(store.array("a"), (slice(None), slice(None)), np.full((512, 512), 7, np.uint8))
    assert (tmp_path / "a.zarr/a/c/0/0").exists() and (store.read("a") == 7).all()
