"""DACIA5 as it ships, in a miniature copy: bands, offsets, labels, problems, and what a check says of a download."""

import csv
import json
import struct
import zlib
from datetime import date
from io import BytesIO, StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from hypothesis import given
from hypothesis import strategies as st
from made_references import APIA, MADE, SCENES, make_dacia5, mask, patch_path, scene, write_mask, write_tiff
from made_references import make_pastis as make_pastis_beside
from PIL import Image
from scipy.io import savemat
from scipy.ndimage import zoom

from catalogs.errors import BadInput
from catalogs.references.band_order import ALL_BANDS, OUR_TEN, check_order
from catalogs.references.dacia5 import Dacia5, open_dacia5, split_fields
from catalogs.references.dacia5_layout import IMAGES, PARTS, in_part, mask_files
from catalogs.references.dacia5_tasks import OTHER, TASK_1, answers, task_1, task_2
from catalogs.references.legends import apia_labels, dacia5_legend
from catalogs.references.mat import read_mat
from catalogs.references.published import dacia5_counts
from catalogs.references.rasters import read_png, read_tiff
from cluster.progress import LineProgress
from models.reference_metrics import dacia5_confusion, dacia5_score
from pipelines.references import check, status_of

pytestmark = pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")  # of the patches

SHARED = Path(__file__).parents[2] / "shared" / "data"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Dacia5:
    """One copy for the tests that change nothing."""
    return open_dacia5(make_dacia5(tmp_path_factory.mktemp("download") / "Dataset").parent)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy with one scene, to be damaged."""
    return make_dacia5(tmp_path / "DACIA5", ["20210601"])


def test_scenes_are_read_as_they_ship(made: Dacia5) -> None:
    assert [f"{one.day:%Y%m%d}" for one in made.scenes] == list(SCENES)
    assert [one.day.year for one in made.of_years(2020, 2022)] == [2020, 2022]
    np.testing.assert_array_equal(made.scenes[1].raw(), scene(0, 20210601))


def test_each_scene_tells_its_own_offset(made: Dacia5) -> None:
    assert {f"{one.day:%Y%m%d}": one.offset() for one in made.scenes} == SCENES


@pytest.mark.parametrize("number", [0, 1], ids=["offset", "none"])
def test_reflectance_is_as_in_a_cube(made: Dacia5, number: int) -> None:
    one = made.scenes[number]
    day = f"{one.day:%Y%m%d}"
    found, raw = one.read(), scene(SCENES[day], int(day))
    assert found.shape == (10, 800, 450) and found.dtype == np.uint16
    assert not found[:, -10:].any() and found[:, :-10].all()
    np.testing.assert_array_equal(found[:, :-10], raw[list(OUR_TEN), :-10] - SCENES[day])


def test_an_undecided_scene_is_read_only_with_an_offset(folder: Path) -> None:
    """Bare soil everywhere: nothing is dark enough to tell."""
    path = open_dacia5(folder).scenes[0].path
    write_tiff(path, np.where(scene(0, 1), scene(0, 1) + 3000, 0).astype(np.uint16))
    bright = open_dacia5(folder).scenes[0]
    with pytest.raises(BadInput, match="do not tell whether they hold the offset"):
        bright.read()
    assert bright.read(offset=1000)[:, :-10].min() > 2000


def test_ground_below_zero_becomes_one(folder: Path) -> None:
    pixels = scene(1000, 5)
    pixels[1, 0, 0], pixels[2, 0, 0] = 900, 0
    path = open_dacia5(folder).scenes[0].path
    write_tiff(path, pixels)
    found = open_dacia5(folder).scenes[0].read(offset=1000)
    assert found[:2, 0, 0].tolist() == [1, 1]


def test_scenes_of_either_layout_are_read(folder: Path) -> None:
    """Some writers make rows the bands of a file."""
    path = open_dacia5(folder).scenes[0].path
    write_tiff(path, np.moveaxis(scene(0, 20210601), 0, 2), interleave="pixel")
    with rasterio.open(path) as file:
        assert (file.count, file.height, file.width) == (800, 450, 12)
    np.testing.assert_array_equal(open_dacia5(folder).scenes[0].raw(), scene(0, 20210601))


def test_names_of_bands_go_before_their_usual_order(folder: Path) -> None:
    path, pixels = open_dacia5(folder).scenes[0].path, scene(0, 20210601)
    names = ["B8A", *(name.replace("B0", "B") for name in ALL_BANDS if name != "B8A")]
    write_tiff(path, np.stack([pixels[8], *np.delete(pixels, 8, 0)]), names)
    np.testing.assert_array_equal(open_dacia5(folder).scenes[0].raw(), pixels)


ORDERS = {
    "B8A last": [*ALL_BANDS[:8], *ALL_BANDS[9:], "B8A"],
    "backwards": ALL_BANDS[::-1],
    "by resolution": ["B02", "B03", "B04", "B08", "B05", "B06", "B07", "B8A", "B11", "B12", "B01", "B09"],
    "without B01": [*ALL_BANDS[1:], "B01"],
    "B01 and B09": ["B09", *ALL_BANDS[1:9], "B01", "B11", "B12"],
    "B01 and B02": ["B02", "B01", *ALL_BANDS[2:]],
}


def real_bands(smooth: bool) -> np.ndarray:
    """Twelve bands of a true product on one grid of 10 m, repeated or interpolated."""
    place = SHARED / "mixed-resolution"
    if not place.exists():
        pytest.skip(f"{place} is not there")
    bands = []
    for name in ALL_BANDS:
        with rasterio.open(next(place.glob(f"*_{name}.tif"))) as file:
            counts = file.read(1)
        bands.append(zoom(counts, 120 // len(counts), order=int(smooth), grid_mode=not smooth, mode="nearest"))
    return np.stack(bands)


@pytest.mark.parametrize("smooth", [False, True])
def test_the_guard_knows_the_order_of_true_bands(smooth: bool) -> None:
    pixels = real_bands(smooth)
    check_order(pixels, "a true product")
    for order in ORDERS.values():
        with pytest.raises(BadInput, match="not in the order"):
            check_order(pixels[[ALL_BANDS.index(name) for name in order]], "a shuffled one")


@pytest.mark.parametrize("order", ORDERS.values(), ids=ORDERS)
def test_scenes_in_another_order_are_refused(folder: Path, order: list[str]) -> None:
    path = open_dacia5(folder).scenes[0].path
    write_tiff(path, scene(0, 20210601)[[ALL_BANDS.index(name) for name in order]])
    with pytest.raises(BadInput, match="not in the order"):
        open_dacia5(folder).scenes[0].read()


def test_labels_and_crops(made: Dacia5) -> None:
    """Unlabelled ground and peas are ignored; nothing is background."""
    for year in range(2020, 2025):
        np.testing.assert_array_equal(made.labels(year), mask(year))
    crops = made.crops(2024)
    assert set(crops[np.isin(mask(2024), [0, 4])]) == {255}
    assert set(np.unique(crops)) == {1, 2, 4, 5, 6, 7, 8, 9, 10, 255}


def test_labels_are_in_the_png_where_there_is_no_mat(folder: Path) -> None:
    mask_files(folder, 2021)[0].unlink()
    np.testing.assert_array_equal(open_dacia5(folder).labels(2021), mask(2021))


def test_the_tables_are_those_of_the_facts() -> None:
    path = SHARED / "derived" / "dacia5_legend.csv"
    if not path.exists():
        pytest.skip(f"{path} is not there")
    rows = list(csv.DictReader(path.read_text().splitlines()))
    assert [int(row["taxonomy10_id"]) for row in rows] == list(dacia5_legend().classes)
    assert [row["name"] for row in rows] == list(dacia5_legend().names)
    assert {row["apia_code"]: int(row["label"]) for row in rows if row["apia_code"]} == apia_labels()
    for year, counts in dacia5_counts().pixels.items():
        assert [int(row[f"pixels_{year}"]) for row in rows] == list(counts)
        assert sum(counts) == 800 * 450


def test_the_problems_have_the_published_classes() -> None:
    every = np.arange(18, dtype=np.uint8)
    wanted = {
        "wheat": [1, 2], "corn": [3, 13], "peas": [4], "rapeseed": [16], "potato": [5, 6, 7, 8], "sugarbeet": [9],
        "alfalfa": [11, 15],
    }  # fmt: skip
    assert {name: np.flatnonzero(task_1(every) == n).tolist() for n, name in enumerate(TASK_1)} == wanted
    assert np.flatnonzero(task_1(every) == 255).tolist() == [0, 10, 12, 14, 17]
    assert [np.flatnonzero(task_2(every) == n).tolist() for n in (0, 1)] == [[1], [11, 15]]


def test_a_perfect_map_of_our_crops_misses_peas_only() -> None:
    """Seven classes of a hundred pixels: 6 / 7 in both halves of Q."""
    labels = np.repeat(np.array([1, 3, 4, 16, 5, 9, 11], np.uint8), 100)
    found = dacia5_score(dacia5_confusion(task_1(labels), answers(dacia5_legend().crops(labels))))
    assert found.q == pytest.approx(6 / 7) and found.class_accuracy[2] == 0
    assert answers(np.array([0, 10, 255], np.uint8)).tolist() == [OTHER] * 3


def test_patches(made: Dacia5) -> None:
    patches = [patch for part in PARTS[:2] for patch in made.patches(part)]
    assert {(f"{one.day:%Y%m%d}", one.apia, one.number) for one in patches} == set(APIA)
    assert [one.label for one in made.patches("problem1/test_2024")] == [4, 9]
    assert patches[0].raw().shape == (12, 32, 32)
    with rasterio.open(patches[0].path) as file:
        assert file.crs is None
    with pytest.raises(BadInput, match="none such"):
        made.patches("problem3")


def test_a_patch_has_the_offset_of_its_scene(made: Dacia5) -> None:
    """A patch alone is too small to tell."""
    found = [made.read(patch) for part in PARTS[:2] for patch in made.patches(part)]
    for pixels in found:
        np.testing.assert_array_equal(pixels, scene(0, 7)[list(OUR_TEN), :32, :32])


def test_a_patch_without_a_scene_is_refused(folder: Path) -> None:
    dacia5 = open_dacia5(folder)
    with pytest.raises(BadInput, match="no scene of 2024-06-01"):
        dacia5.read(dacia5.patches("problem1/test_2024")[0])


def test_a_patch_of_an_unknown_crop_is_refused(folder: Path) -> None:
    write_tiff(patch_path(folder, "problem1", "20210601", "999", 1), np.ones((12, 32, 32), np.uint16))
    with pytest.raises(BadInput, match="999 in its name"):
        open_dacia5(folder).patches("problem1/training_2020-2023")


def test_days_of_the_parts() -> None:
    assert [in_part(date(2023, 5, 19), part) for part in PARTS] == [True, False, True, False]
    assert [in_part(date(2024, 5, 21), part) for part in PARTS] == [False, True, False, True]


def test_fields_hold_the_parcels_of_every_year(made: Dacia5) -> None:
    """Seventeen strips, as wide as in the widest year."""
    fields = made.fields()
    assert fields.max() == 17
    for year in range(2020, 2025):
        assert (fields[mask(year) != 0] > 0).all()
    assert (fields > 0).sum() == (mask(2024) != 0).sum()


@given(st.integers(0, 1000), st.floats(0.05, 0.95))
def test_no_field_is_in_two_splits(seed: int, share: float) -> None:
    fields = np.repeat(np.arange(30, dtype=np.int32), 7).reshape(15, 14)
    chosen = split_fields(fields, share, seed)
    assert not set(fields[chosen]) & set(fields[~chosen & (fields > 0)])
    assert not chosen[fields == 0].any()
    assert 0 <= chosen.sum() / (29 * 7) - share < 7 / (29 * 7) + 1e-9
    np.testing.assert_array_equal(chosen, split_fields(fields, share, seed))


def refuses_mat(folder: Path, content: bytes, why: str) -> None:
    mask_files(folder, 2021)[0].write_bytes(content)
    with pytest.raises(BadInput, match=why):
        open_dacia5(folder).labels(2021)


def saved(values: dict[str, Any], **options: Any) -> bytes:
    file = BytesIO()
    savemat(file, values, **options)
    return file.getvalue()


def test_mat_files_with_anything_but_numbers_are_refused(folder: Path) -> None:
    labels = np.zeros((800, 450), np.uint8)
    for thing in ({"a": 1}, np.array([labels, "text"], dtype=object), "text"):
        refuses_mat(folder, saved({"mask": thing}), "other things than numbers")
    refuses_mat(folder, saved({"mask": labels, "beside": {"a": 1}}), "other things than numbers")


def test_mat_files_of_another_size_are_refused(folder: Path) -> None:
    refuses_mat(folder, saved({"mask": np.zeros((450, 800), np.uint8)}), "is 450 x 800, not 800 x 450")
    refuses_mat(folder, saved({"a": np.zeros(1), "b": np.zeros(1)}), "no variable 'mask', but 'a', 'b'")
    refuses_mat(folder, saved({"mask": np.full((800, 450), 300, np.uint16)}), "do not fit uint8")
    refuses_mat(folder, saved({"mask": np.full((800, 450), 18, np.uint8)}), "label 18 of DACIA5")


def test_mat_files_that_are_damaged_are_refused(folder: Path) -> None:
    good = saved({"mask": np.random.default_rng(1).integers(0, 17, (800, 450), np.uint8)}, do_compression=True)
    refuses_mat(folder, good[:-100], r"It is cut off\.")
    refuses_mat(folder, good[:200] + bytes(500) + good[700:], "damaged|cut off")
    refuses_mat(folder, b"MATLAB 7.3".ljust(124) + b"\x00\x02IM", "version 5 to 7")
    refuses_mat(folder, b"", "version 5 to 7")
    refuses_mat(folder, good[:128], "no variable 'mask', but none")
    refuses_mat(folder, good[:128] + struct.pack("<II", 14, 64) + bytes(64), "damaged")


def test_a_mat_file_cannot_grow_without_bounds(folder: Path) -> None:
    head = saved({})[:128]
    bomb = zlib.compress(bytes(50_000_000), 9)
    refuses_mat(folder, head + struct.pack("<II", 15, len(bomb)) + bomb, "far more than it should hold")


def test_mat_files_of_doubles_are_read_if_they_are_whole(tmp_path: Path) -> None:
    """MATLAB keeps what it computes as doubles; a single variable may have any name."""
    numbers = np.arange(6, dtype=np.float64).reshape(2, 3)
    (tmp_path / "a.mat").write_bytes(saved({"other": numbers}))
    assert read_mat(tmp_path / "a.mat", "mask", "uint8", (2, 3)).tolist() == numbers.tolist()
    (tmp_path / "b.mat").write_bytes(saved({"mask": numbers + 0.5}))
    with pytest.raises(BadInput, match="do not fit"):
        read_mat(tmp_path / "b.mat", "mask", "uint8", (2, 3))


def test_pictures_of_another_kind_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    for picture, why in ((Image.new("RGB", (450, 800)), "RGB"), (Image.new("L", (800, 450)), "450 x 800")):
        picture.save(path)
        with pytest.raises(BadInput, match=why):
            read_png(path, 800, 450)
    Image.new("L", (450, 800)).save(path, format="BMP")
    with pytest.raises(BadInput, match="not a PNG"):
        read_png(path, 800, 450)


def test_a_tiff_that_is_none_is_not_followed(tmp_path: Path) -> None:
    """GDAL would open a text that names another file, were it let."""
    write_tiff(tmp_path / "real.tif", np.ones((12, 8, 8), np.uint16))
    source = f'<SourceFilename relativeToVRT="0">{tmp_path / "real.tif"}</SourceFilename><SourceBand>1</SourceBand>'
    band = f'<VRTRasterBand dataType="UInt16" band="1"><SimpleSource>{source}</SimpleSource></VRTRasterBand>'
    vrt = tmp_path / "a.tif"
    vrt.write_text(f'<VRTDataset rasterXSize="8" rasterYSize="8">{band}</VRTDataset>')
    with rasterio.open(vrt) as followed:
        assert followed.read(1).all()
    with pytest.raises(BadInput, match="not a GeoTIFF"):
        read_tiff(vrt, 1, 8, 8)


def test_a_tiff_of_another_kind_is_refused_before_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    write_tiff(path, np.zeros((1, 64, 64), np.uint16), sparse_ok=True)
    with pytest.raises(BadInput, match="1 x 64 x 64"):
        read_tiff(path, 12, 32, 32)
    with rasterio.open(
        path, "w", driver="GTiff", count=12, height=200_000, width=200_000, dtype="uint16", sparse_ok=True, tiled=True,
        BIGTIFF="YES",
    ):  # fmt: skip
        pass
    with pytest.raises(BadInput, match="12 x 200000 x 200000"):
        read_tiff(path, 12, 800, 450)
    write_tiff(path, np.zeros((12, 32, 32), np.float32))
    with pytest.raises(BadInput, match="values are float32"):
        read_tiff(path, 12, 32, 32)


def test_a_whole_copy_is_whole(made: Dacia5) -> None:
    said = StringIO()
    found = check(made.folder.parent, LineProgress(said), published=MADE)
    assert found["whole"] and status_of(found) == 0 and found["dataset"] == "DACIA5"
    assert found["counts"]["scenes by offset"] == {"1000": 3, "0": 2}
    assert found["counts"]["patches"]["problem2/test_after_20May"] == 4
    json.dumps(found)


def test_a_miniature_lacks_most_of_it(made: Dacia5) -> None:
    counts = dacia5_counts()
    assert (counts.scenes, list(counts.patches.values())) == (172, [5436, 1017, 1176, 1073])
    found = check(made.folder, LineProgress(StringIO()), quick=True)
    assert status_of(found) == 1
    assert "167 of 172 scenes are missing" in found["missing"]
    assert "5434 of 5436 patches of problem1/training_2020-2023 are missing" in found["missing"]
    assert any("mask of 2020" in text and "200 of label 1, winter wheat (16494)" in text for text in found["damaged"])


def test_a_check_says_what_is_wrong(folder: Path) -> None:
    scenes = folder / IMAGES
    write_tiff(scenes / "Sentinel2_2020" / "Sentinel2_L2A_20200231.tif", np.ones((1, 1, 1), np.uint8))
    (found,) = check(folder, LineProgress(StringIO()), quick=True, published=MADE)["damaged"]
    assert "20200231 in its name is no day" in found
    (scenes / "Sentinel2_2020" / "Sentinel2_L2A_20200231.tif").rename(
        scenes / "Sentinel2_2020" / "Sentinel2_L2A_20200229.tif"
    )
    mask_files(folder, 2020)[0].unlink()
    Image.fromarray(mask(2022)).save(mask_files(folder, 2021)[1])
    write_mask(folder, 2022, mask(2023))
    write_tiff(patch_path(folder, "problem1", "20200101", "101", 7), np.ones((12, 16, 16), np.uint16))
    training, test = (patch_path(folder, "problem1", day, "101", 8) for day in ("20200101", "20240101"))
    write_tiff(test.parent / training.name, np.ones((12, 32, 32), np.uint16))
    found = check(folder, LineProgress(StringIO()), quick=True, published=MADE)
    assert found["missing"] == [
        "3 of 5 scenes are missing",
        "there is no scene of 2022",
        "there is no scene of 2023",
        "there is no scene of 2024",
        "Labels_mask_2020.mat is missing",
    ]
    damaged = found["damaged"]
    words = (
        "1 x 1 x 1",
        "is not equal to Labels_mask_2021.mat",
        "mask of 2022",
        "12 x 16 x 16",
        "not belong into",
    )
    assert len(damaged) == len(words) and all(any(word in text for text in damaged) for word in words)
    assert found["surplus"] == [
        "there are 3 patches of problem1/training_2020-2023, 1 more than were published",
        "there are 3 patches of problem1/test_2024, 1 more than were published",
    ]


def test_a_link_is_damage(folder: Path, tmp_path: Path) -> None:
    place = folder / "Masks_and_legend"
    place.rename(tmp_path / "masks")
    place.symlink_to(tmp_path / "masks")
    with pytest.raises(BadInput, match="is a link"):
        open_dacia5(folder).labels(2020)
    place = folder / IMAGES / "Sentinel2_2021"
    place.rename(tmp_path / "2021")
    place.symlink_to(tmp_path / "nowhere")
    found = check(folder, LineProgress(StringIO()), published=MADE)
    assert not found["whole"] and "is a link" in found["damaged"][0]


def test_two_datasets_in_one_folder_are_told_apart(folder: Path) -> None:
    make_pastis_beside(folder.parent / "PASTIS", [])
    with pytest.raises(BadInput, match="both PASTIS and DACIA5"):
        check(folder.parent, LineProgress(StringIO()))


def test_only_a_full_check_reads_pixels(folder: Path) -> None:
    """A download that was cut off keeps its headers, which come first."""
    paths = [open_dacia5(folder).scenes[0].path, patch_path(folder, "problem1", "20210601", "9748", 2)]
    for path in paths:
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    assert not check(folder, LineProgress(StringIO()), quick=True, published=MADE)["damaged"]
    damaged = check(folder, LineProgress(StringIO()), published=MADE)["damaged"]
    assert [text.split(":")[0] for text in damaged] == [f"file {path}" for path in paths]
