"""Windows of a cube on a disk: the pixels that zarr reads, wherever they begin, also beyond tiles and the grid."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import google_crc32c
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from catalogs import cube
from catalogs.cube import count_observations, read_ahead, read_blocks, read_cube
from catalogs.errors import BadInput
from catalogs.grid import Grid, Window
from catalogs.root import Root
from catalogs.stores import Store, write_shard

GRID = Grid.around((0, -7680, 5120, 0), "EPSG:3035", 10, 256)
PERIODS = 2


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """3 x 2 tiles, of which one has no pixels."""
    store, rng = Store(Root(str(tmp_path_factory.mktemp("cube"))), cube.NAME), np.random.default_rng(1)
    layouts = cube.cube_layouts(GRID, PERIODS, "made up")
    store.begin(layouts, {}, {"store": "cube"})
    for tile in list(GRID.tiles())[:-1]:
        y, x = GRID.window(tile).slices
        for period in range(PERIODS):
            picture = rng.integers(0, 9000, (10, 256, 256)).astype(np.uint16)
            write_shard(store.array("reflectance"), (period, slice(None), y, x), picture)
            counts = rng.integers(0, 256, (256, 256)).astype(np.uint8)
            write_shard(store.array("observations"), (period, y, x), counts)
    return store


@given(y=st.integers(-300, 800), x=st.integers(-300, 600), height=st.integers(1, 600), width=st.integers(1, 400))
def test_any_window_is_what_zarr_reads(store: Store, y: int, x: int, height: int, width: int) -> None:
    whole = np.zeros((PERIODS, 10, 300 + 768 + 700, 300 + 512 + 700), np.uint16)
    whole[:, :, 300:1068, 300:812] = store.read("reflectance")
    expected = whole[:, :, y + 300 : y + 300 + height, x + 300 : x + 300 + width]
    assert np.array_equal(read_cube(store, Window(y, x, height, width)), expected)
    with ThreadPoolExecutor(3) as readers:
        assert np.array_equal(read_cube(store, Window(y, x, height, width), full_of_sevens, readers), expected)


def full_of_sevens(shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    return np.full(shape, 7, dtype)


@given(y=st.integers(-300, 800), x=st.integers(-300, 600), height=st.integers(1, 600), width=st.integers(1, 400))
def test_blocks_are_the_window(store: Store, y: int, x: int, height: int, width: int) -> None:
    """From left to right and from above to below; they end where chunks do, so that none is decoded twice."""
    window, side = Window(y, x, height, width), store.array("reflectance").chunks[-1]
    whole, corners = np.full((PERIODS, 10, height, width), 7, np.uint16), []
    for (rows, columns), block in read_blocks(store, window):
        whole[..., rows, columns] = block
        corners.append((rows.start, columns.start))
    assert np.array_equal(whole, read_cube(store, window)) and corners == sorted(set(corners))
    assert all((y + row) % side == 0 or row == 0 for row, _ in corners)
    assert all((x + column) % side == 0 or column == 0 for _, column in corners)


def test_few_shards_are_open_at_once(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """A window over many small tiles has as many pixels as ever."""
    window = Window(100, -20, 600, 500)
    expected = read_cube(store, window)
    monkeypatch.setattr("catalogs.local_chunks.MOST_OPEN", 1)
    assert np.array_equal(read_cube(store, window), expected)


def test_what_will_be_read_is_asked_of_the_system(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    monkeypatch.setattr(cube, "fetch_ahead", lambda path: asked.append(str(path.relative_to(store.root.url))))
    read_ahead(store, Window(300, -20, 20, 200))
    assert asked == [f"cube.zarr/reflectance/c/{period}/0/1/0" for period in range(PERIODS)]
    monkeypatch.undo()
    read_ahead(store, Window(600, 0, 168, 512))  # the last tile was never written


@pytest.mark.parametrize("periods", [(0, 1), (1,), (0,)])
@pytest.mark.parametrize("local", [True, False])
def test_observations_are_summed_over_the_periods_asked_for(
    store: Store, monkeypatch: pytest.MonkeyPatch, periods: tuple[int, ...], local: bool
) -> None:
    """More than a byte holds, on a disk and where only zarr's own reader comes."""
    monkeypatch.setattr(Root, "is_local", local)
    window = Window(100, 200, 600, 300)
    expected = store.read("observations").astype(int)[[*periods], 100:700, 200:500].sum(axis=0)
    expected = np.pad(expected, ((0, 0), (0, 300 - expected.shape[1])))
    assert np.array_equal(count_observations(store, window, periods), expected)
    assert expected.max() > 255 or len(periods) == 1


def cut(shard: bytearray) -> None:
    del shard[len(shard) // 2 :]


def move_a_chunk_beyond_the_end(shard: bytearray) -> None:
    """With an index that is whole; the shard has one chunk."""
    index = np.array([len(shard), 100], "<u8").tobytes()
    shard[-20:] = index + google_crc32c.value(index).to_bytes(4, "little")


def overwrite_a_chunk(shard: bytearray) -> None:
    shard[:5000] = bytes(5000)


@pytest.mark.parametrize("damage", [cut, move_a_chunk_beyond_the_end, overwrite_a_chunk, bytearray.clear])
def test_a_damaged_shard_is_named(store: Store, damage: Callable[[bytearray], None]) -> None:
    path = Path(store.root.path("cube.zarr/reflectance/c/0/0/0/0"))
    whole = path.read_bytes()
    damaged = bytearray(whole)
    damage(damaged)
    try:
        path.write_bytes(damaged)
        with pytest.raises(BadInput, match="reflectance/c/0/0/0/0"):
            read_cube(store, Window(0, 0, 64, 64))
        with pytest.raises(BadInput, match="reflectance/c/0/0/0/0"):
            list(read_blocks(store, Window(-10, 0, 64, 64)))
    finally:
        path.write_bytes(whole)
