"""Windows of files: on a file's own grid pixels are copied, elsewhere they are warped, and nothing hangs on the cut."""

import threading
from pathlib import Path

import made_scenes as made
import numpy as np
import pytest
import rasterio
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from pyproj import Transformer
from rasterio.enums import Resampling
from rasterio.warp import reproject

from catalogs import files
from catalogs.files import Target, UnreadableFile, open_files, read_window
from catalogs.stac.access import Access

HEIGHT, WIDTH = 48, 60
"""Pixels of 10 m of the files."""

AROUND = 80
"""Pixels of empty ground that the oracle has on each side."""

BILINEAR, NEAREST = Resampling.bilinear, Resampling.nearest


@pytest.fixture(scope="module")
def pixels() -> dict[str, np.ndarray]:
    return {band: counts for band, counts in made.random_pixels(1, HEIGHT, WIDTH).items() if band in ("B02", "B05")}


@pytest.fixture(scope="module")
def written(pixels, tmp_path_factory):
    """The files of a band of 10 m and one of 20 m, and how to get at them."""
    folder = tmp_path_factory.mktemp("files")
    return made.write_pixels(folder, pixels), Access("local", "sentinel-2-l2a", folder)


def target(y: float, x: float, shape: tuple[int, int], step: int = 10, epsg: int = made.EPSG) -> Target:
    """A window whose corner lies y and x pixels of 10 m from the files' corner, southwards and eastwards."""
    return Target(epsg, Affine(step, 0, made.LEFT + 10 * x, 0, -step, made.TOP - 10 * y), shape)


def read(written, band: str, where: Target, resampling: Resampling = BILINEAR) -> np.ndarray:
    return read_window(written[0][band], written[1], where, resampling)


def native(pixels, band: str, y: int, x: int, shape: tuple[int, int]) -> np.ndarray:
    """Pixels of 10 m, with no data around them."""
    whole = np.pad(made.on_10_metres(pixels, band), AROUND)
    return whole[AROUND + y : AROUND + y + shape[0], AROUND + x : AROUND + x + shape[1]]


places = st.tuples(st.integers(-AROUND, AROUND), st.integers(-AROUND, AROUND))
shapes = st.tuples(st.integers(1, 70), st.integers(1, 70))


@given(st.sampled_from(["B02", "B05"]), places, shapes, st.sampled_from([BILINEAR, NEAREST]))
def test_on_its_own_grid_a_file_is_copied_and_20_m_are_repeated(pixels, written, band, place, shape, resampling):
    """At even places and odd ones, inside, across an edge, around the whole file, and beside it."""
    shape = min(shape[0], AROUND + HEIGHT - place[0]), min(shape[1], AROUND + WIDTH - place[1])
    found = read(written, band, target(*place, shape), resampling)
    assert found.dtype == np.uint16 and found.shape == shape
    assert (found == native(pixels, band, *place, shape)).all()


@pytest.mark.parametrize("parity", [(0, 0), (0, 1), (1, 0), (1, 1)])
def test_a_pixel_of_20_m_covers_the_same_ground_wherever_the_window_begins(pixels, written, parity):
    y, x = parity
    found = read(written, "B05", target(10 + y, 20 + x, (4, 4)))
    assert (found[2 - y : 4 - y, 2 - x : 4 - x] == pixels["B05"][6, 11]).all()


def test_pixels_are_copied_wherever_they_lie(pixels, tmp_path):
    """A file whose corner is at no multiple of 20 m, as those of some tiles are."""
    path = made.write_pixels(tmp_path, pixels, left=made.LEFT + 10, top=made.TOP - 30)
    there = path, Access("local", "sentinel-2-l2a", tmp_path)
    for band in pixels:
        assert (read(there, band, target(0, 0, (40, 40))) == native(pixels, band, -3, -1, (40, 40))).all()


def test_on_a_grid_of_20_m_pixels_of_20_m_are_copied(pixels, written):
    where = target(10, 6, (8, 9), step=20)
    for resampling in (BILINEAR, NEAREST):
        assert (read(written, "B05", where, resampling) == pixels["B05"][5:13, 3:12]).all()


def test_on_a_grid_of_20_m_pixels_of_10_m_are_warped(pixels, written):
    """The bilinear kernel is as wide as the coarser pixel: weights 1 3 3 1 of four pixels, along each axis."""
    found = read(written, "B02", target(10, 6, (8, 9), step=20)).astype(float)
    near = pixels["B02"].astype(float)
    down = sum(weight * near[9 + i : 25 + i : 2] for i, weight in enumerate((1, 3, 3, 1))) / 8
    both = sum(weight * down[:, 5 + i : 23 + i : 2] for i, weight in enumerate((1, 3, 3, 1))) / 8
    assert np.abs(found - both).max() <= 0.51


def test_half_a_pixel_away_neighbours_are_averaged(pixels, written):
    """A grid of the files' own CRS that lies 5 m off: on corners of four pixels of 10 m, and every other of its pixels
    in the middle of one of 20 m."""
    found = read(written, "B02", target(10.5, 20.5, (12, 12))).astype(float)
    four = [pixels["B02"][10 + i : 22 + i, 20 + j : 32 + j] for i in (0, 1) for j in (0, 1)]
    assert np.abs(found - np.mean([corner + 0.0 for corner in four], axis=0)).max() <= 0.51
    coarse = read(written, "B05", target(10.5, 20.5, (12, 12)))
    assert (coarse[::2, ::2] == pixels["B05"][5:11, 10:16]).all()
    assert (coarse[1::2, ::2] != pixels["B05"][5:11, 10:16]).mean() > 0.9


def test_resampling_changes_warped_pixels_only(written):
    on_grid, between = target(3, 5, (20, 20)), target(3.3, 5.3, (20, 20))
    assert (read(written, "B02", on_grid, BILINEAR) == read(written, "B02", on_grid, NEAREST)).all()
    assert (read(written, "B02", between, BILINEAR) != read(written, "B02", between, NEAREST)).mean() > 0.9


def elsewhere(epsg: int, shape: tuple[int, int], step: int = 10) -> Target:
    """A window of another CRS over the files, on its lattice."""
    move = Transformer.from_crs(made.EPSG, epsg, always_xy=True)
    x, y = move.transform(made.LEFT + 5 * WIDTH, made.TOP - 5 * HEIGHT)
    left, top = (round(value, -1) for value in (x - 5 * shape[1], y + 5 * shape[0]))
    return Target(epsg, Affine(step, 0, left, 0, -step, top), shape)


@pytest.mark.parametrize("epsg", [3035, 31287, 32634, 32632])
@pytest.mark.parametrize("band", ["B02", "B05"])
def test_in_another_crs_pixels_are_where_proj_says(pixels, written, epsg, band):
    """Each pixel's centre is taken to the file by pyproj, and the pixel there is looked up."""
    where = elsewhere(epsg, (70, 80))
    rows, cols = np.mgrid[:70, :80] + 0.5
    x, y = where.transform @ (cols, rows)
    own_x, own_y = Transformer.from_crs(epsg, made.EPSG, always_xy=True).transform(x, y)
    row, col = np.floor((made.TOP - own_y) / 10).astype(int), np.floor((own_x - made.LEFT) / 10).astype(int)
    expected = np.pad(made.on_10_metres(pixels, band), AROUND)[row + AROUND, col + AROUND]
    found = read(written, band, where, NEAREST)
    assert (found == expected).mean() > 0.999 and 0.2 < (expected > 0).mean() < 0.9


@pytest.mark.parametrize("epsg", [3035, 32634])
def test_in_another_crs_bilinear_is_what_gdal_makes_of_the_whole_file(pixels, written, epsg):
    """Away from the file's edge; there is no data beyond it, and each says in its own way how far it reaches."""
    where = elsewhere(epsg, (24, 24))
    expected = np.zeros(where.shape, np.uint16)
    own = Affine(10, 0, made.LEFT, 0, -10, made.TOP)
    reproject(
        pixels["B02"], expected, src_transform=own, src_crs=f"EPSG:{made.EPSG}", dst_transform=where.transform,
        dst_crs=f"EPSG:{epsg}", resampling=BILINEAR, tolerance=1e-9, XSCALE=1, YSCALE=1,
    )  # fmt: skip
    found = read(written, "B02", where)
    assert (expected > 0).all() and np.abs(found.astype(int) - expected).max() <= 1
    assert (found != read(written, "B02", where, NEAREST)).mean() > 0.9


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    """Files of a few blocks, so that windows are read from parts of them."""
    folder = tmp_path_factory.mktemp("large")
    pixels = {band: counts for band, counts in made.random_pixels(2, 640, 600).items() if band in ("B02", "SCL")}
    return made.write_pixels(folder, pixels), Access("local", "sentinel-2-l2a", folder)


WHOLE = 560


@pytest.fixture(scope="module")
def warped(large):
    """All of it at once, in another CRS."""
    return {
        band: read(large, band, elsewhere_large(0, 0, (WHOLE, WHOLE)), resampling)
        for band, resampling in (("B02", BILINEAR), ("SCL", NEAREST))
    }


def elsewhere_large(y: int, x: int, shape: tuple[int, int], epsg: int = 3035) -> Target:
    move = Transformer.from_crs(made.EPSG, epsg, always_xy=True)
    left, top = (round(value, -1) for value in move.transform(made.LEFT + 200, made.TOP - 200))
    return Target(epsg, Affine(10, 0, left + 10 * x, 0, -10, top - 10 * y), shape)


corners = st.tuples(st.integers(0, WHOLE - 1), st.integers(0, WHOLE - 1))


@settings(max_examples=25)
@given(corners, st.tuples(st.integers(1, 200), st.integers(1, 200)))
def test_a_warped_window_is_a_part_of_the_whole(large, warped, corner, shape):
    """Or a tile's pixels would hang on its size. A place is exact to 0.1 mm: once in a million
    pixels that is the other side of an edge, and a mean is rounded the other way a little more often."""
    (y, x), (height, width) = corner, (min(shape[0], WHOLE - corner[0]), min(shape[1], WHOLE - corner[1]))
    where = elsewhere_large(y, x, (height, width))
    part = slice(y, y + height), slice(x, x + width)
    assert (read(large, "SCL", where, NEAREST) != warped["SCL"][part]).sum() <= 1
    apart = np.abs(read(large, "B02", where, BILINEAR).astype(int) - warped["B02"][part])
    assert apart.max() <= 1 and (apart > 0).sum() <= 3 + apart.size / 100


def test_a_file_elsewhere_has_no_data_here(written):
    assert not read(written, "B02", target(10_000, 0, (8, 8))).any()
    assert not read(written, "B02", target(0, 0, (8, 8), epsg=32634)).any()


DECEIT = '<VRTDataset rasterXSize="8" rasterYSize="8"><VRTRasterBand dataType="UInt16" band="1"/></VRTDataset>'


@pytest.mark.parametrize("content", [DECEIT, "B02 of a scene", "", "GIF89a" + "x" * 99, "II*\0" + "x" * 99])
def test_what_is_no_picture_is_refused_whatever_its_name(tmp_path, content):
    (tmp_path / "B02.tif").write_text(content)
    with pytest.raises(UnreadableFile) as refused:
        read(({"B02": "B02.tif"}, Access("local", "sentinel-2-l2a", tmp_path)), "B02", target(0, 0, (8, 8)))
    assert refused.value.href == "B02.tif" and refused.value.reason and str(tmp_path) not in str(refused.value)


def test_a_file_of_another_kind_is_refused_under_the_other_name(pixels, tmp_path):
    """The name says which driver opens it, and no other one is tried."""
    path = Path(made.write_pixels(tmp_path, {"B02": pixels["B02"]})["B02"])
    path.rename(tmp_path / "B02.jp2")
    with pytest.raises(UnreadableFile):
        read(({"B02": "B02.jp2"}, Access("local", "sentinel-2-l2a", tmp_path)), "B02", target(0, 0, (8, 8)))


def test_a_file_that_is_cut_off_or_gone_is_unreadable(pixels, tmp_path):
    path = Path(made.write_pixels(tmp_path, {"B02": pixels["B02"]})["B02"])
    there = {"B02": path.name, "B03": "gone.tif"}, Access("local", "sentinel-2-l2a", tmp_path)
    path.write_bytes(path.read_bytes()[:-2000])
    for band in there[0]:
        with pytest.raises(UnreadableFile):
            read(there, band, target(0, 0, (HEIGHT, WIDTH)))


@pytest.fixture
def few(monkeypatch):
    """A thread keeps three files open, and has none yet."""
    monkeypatch.setattr(files, "OPEN_FILES", 3)
    monkeypatch.setattr(files, "open_files", files.OpenFiles())


def test_few_files_are_open_at_a_time_and_the_longest_unused_is_closed(few, pixels, tmp_path):
    access = Access("local", "sentinel-2-l2a", tmp_path)
    found = [made.write_pixels(tmp_path / str(i), {"B02": pixels["B02"] + i})["B02"] for i in range(5)]
    first = files.open_files.get(found[0], access)
    for i in (0, 1, 2, 0, 3, 4, 0):
        window = read_window(found[i], access, target(0, 0, (HEIGHT, WIDTH)), NEAREST)
        assert (window == pixels["B02"] + i).all() and len(files.open_files.files) <= 3
    assert files.open_files.get(found[0], access) is first and not first.dataset.closed
    kept = list(files.open_files.files.values())  # themselves: a closed one's id may be another's soon
    for i, is_kept in ((4, True), (1, False)):
        file = files.open_files.get(found[i], access)
        assert any(file is one for one in kept) == is_kept


def test_threads_do_not_share_files(written):
    """A dataset of GDAL's must not be read by two at once."""
    read(written, "B02", target(0, 0, (8, 8)))
    mine, theirs = set(map(id, open_files.files.values())), []
    thread = threading.Thread(target=lambda: theirs.append(len(open_files.files)))
    thread.start()
    thread.join()
    assert mine and theirs == [0]


def test_gdals_settings_do_not_leak(written):
    """What a notebook has set for itself stays as it is."""
    with rasterio.Env(GDAL_NUM_THREADS="3") as mine:
        read(written, "B02", target(0, 0, (8, 8)))
        assert mine.options["GDAL_NUM_THREADS"] == "3"
