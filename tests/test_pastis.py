"""PASTIS as it ships, in a miniature copy: what is read, what is refused, and what a check says of a download."""

import json
import os
import pickle
import struct
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from made_references import DAYS, MADE, PATCHES_MADE, Made, feature, labels_of, make_pastis, series, write_metadata

from catalogs.errors import BadInput
from catalogs.references.legends import pastis_legend
from catalogs.references.npy import open_npy
from catalogs.references.pastis import SPLITS, open_pastis
from catalogs.references.published import archives, pastis_counts
from catalogs.references.single_date import clear_shares, single_date
from catalogs.taxonomy import ten_crops
from cluster.progress import LineProgress
from pipelines.references import check, status_of

SHARED = Path(__file__).parents[2] / "shared" / "data"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return make_pastis(tmp_path / "PASTIS")


def test_arrays_are_read_as_they_ship(folder: Path) -> None:
    patch = open_pastis(folder).patches[1]
    assert (patch.id, patch.fold, patch.tile, patch.dates) == (10001, 2, "T31TFJ", DAYS)
    np.testing.assert_array_equal(patch.raw(), series(6, 10001))
    assert patch.raw().dtype == np.int16
    np.testing.assert_array_equal(patch.target(), labels_of(10001))


def test_reflectance_is_as_in_a_cube(folder: Path) -> None:
    """-10000 and images of zeros become 0; negatives and a single zero become 1; nothing else changes."""
    patch = open_pastis(folder).patches[0]
    raw, found = series(6, 10000), patch.read()
    assert found.dtype == np.uint16
    assert not found[1].any() and not found[2, :, :4].any()
    assert found[2, 0, 10, 10:12].tolist() == [1, 1]
    usual = raw > 0
    np.testing.assert_array_equal(found[usual], raw[usual])
    assert ((found == 0).any(axis=1) == (found == 0).all(axis=1)).all()
    np.testing.assert_array_equal(patch.read_image(2), found[2])


def test_a_band_without_data_empties_its_pixel(folder: Path) -> None:
    images = series(6, 10000)
    images[3, 4, 7, 7] = -10000
    np.save(folder / "DATA_S2" / "S2_10000.npy", images)
    assert not open_pastis(folder).patches[0].read()[3, :, 7, 7].any()


@pytest.mark.parametrize("as_text", [False, True], ids=["dict", "text"])
def test_dates_keep_their_places(tmp_path: Path, as_text: bool) -> None:
    """Also the two of one day, which the official loader's table makes one; tiles are written in several ways."""
    patches = open_pastis(make_pastis(tmp_path / "PASTIS-R", dates_as_text=as_text, radar=True).parent).patches
    assert [patch.dates for patch in patches] == [DAYS] * 5
    assert patches[0].tile == "T30UXV"
    assert patches[0].dates[1] == patches[0].dates[2]


def test_places_of_dates_are_numbers(folder: Path) -> None:
    """Place 10 comes after place 9, though not as text."""
    days = tuple(date(2019, 1, day + 1) for day in range(12))
    patch = Made(7, 1, "T30UXV", days)
    shuffled = feature(patch)
    shuffled["properties"]["dates-S2"] = dict(sorted(shuffled["properties"]["dates-S2"].items()))
    write_metadata(folder, [shuffled])
    assert open_pastis(folder).patches[0].dates == days


def test_crops_are_the_ten_classes(folder: Path) -> None:
    patch = open_pastis(folder).patches[0]
    labels, crops = patch.target(), patch.crops()
    assert set(crops[labels == 19]) == {255} and set(crops[labels == 0]) == {0}
    assert set(np.unique(crops)) <= {*range(11), 255}


def test_the_crosswalk_is_total_and_as_in_the_facts() -> None:
    legend = pastis_legend()
    every = np.arange(20, dtype=np.uint8)
    assert set(legend.crops(every).tolist()) == {*range(len(ten_crops().names)), 255}
    wanted = {2: [2, 11], 3: [4, 6], 1: [3], 10: [1], 6: [9], 255: [19]}
    assert {crop: np.flatnonzero(legend.crops(every) == crop).tolist() for crop in wanted} == wanted


def test_the_legend_is_the_published_one() -> None:
    path = SHARED / "pastis" / "label_names.json"
    if not path.exists():
        pytest.skip(f"{path} is not there")
    published = json.loads(path.read_text())
    assert [" ".join(published[str(n)].split()) for n in range(20)] == list(pastis_legend().names)
    rows = (SHARED / "derived" / "pastis_classes.csv").read_text().splitlines()[1:]
    assert [int(row.rsplit(",", 3)[1]) for row in rows] == list(pastis_legend().classes)


def test_folds(folder: Path) -> None:
    pastis = open_pastis(folder)
    assert [patch.id for patch in pastis.of_folds([1, 5])] == [10000, 10004]
    for train, validate, test in SPLITS:
        assert sorted((*train, *validate, *test)) == [1, 2, 3, 4, 5]
    assert [test for *_, test in SPLITS] == [(5,), (1,), (2,), (3,), (4,)]
    assert SPLITS[0] == ((1, 2, 3), (4,), (5,))
    with pytest.raises(BadInput, match="folds 1 to 5"):
        pastis.of_folds([0])


def test_normalisation_is_averaged_over_folds(folder: Path) -> None:
    mean, deviation = open_pastis(folder).normalisation([1, 2, 3])
    np.testing.assert_allclose(mean, [1002.0] * 10)
    np.testing.assert_allclose(deviation, [200.0] * 10)
    (folder / "NORM_S2_patch.json").write_text('{"Fold_1": {"mean": [1, 2], "std": [1]}}')
    with pytest.raises(BadInput, match="not ten numbers"):
        open_pastis(folder).normalisation([1])


def test_norms_that_were_transcribed_can_be_read(folder: Path) -> None:
    path = SHARED / "derived" / "pastis_norm_s2_transcribed_partial.json"
    if not path.exists():
        pytest.skip(f"{path} is not there")
    (folder / "NORM_S2_patch.json").write_bytes(path.read_bytes())
    mean, _ = open_pastis(folder).normalisation([1])
    assert mean[0] == pytest.approx(1165.94, abs=0.01)
    with pytest.raises(BadInput, match="no std of fold 3"):
        open_pastis(folder).normalisation([3])


def test_the_single_date_is_the_nearest_with_data(folder: Path) -> None:
    """22 September has an empty image, which is passed over, and a full one; 1 August is the usual day."""
    patch = open_pastis(folder).patches[0]
    assert single_date(patch, date(2019, 7, 30)).position == 4
    assert single_date(patch, date(2018, 9, 22)).position == 2
    assert single_date(patch, date(2018, 9, 19)).position == 0
    assert single_date(patch).day == date(2019, 8, 1)
    np.testing.assert_array_equal(single_date(patch, date(2019, 7, 30)).pixels, patch.read()[4])


def test_of_two_as_near_the_earlier(folder: Path) -> None:
    patch = replace(open_pastis(folder).patches[0], dates=(date(2019, 1, 11), *[date(2019, 1, 1)] * 5))
    assert single_date(patch, date(2019, 1, 6)).day == date(2019, 1, 1)
    assert single_date(patch, date(2019, 1, 1)).position == 2  # 1 is all zero


def test_the_best_date_is_clear_and_in_summer(folder: Path) -> None:
    patch = open_pastis(folder).patches[0]
    shares = clear_shares(patch)
    assert shares[0] == pytest.approx(28 / 128) and shares[1] is None and shares[2] == pytest.approx(124 / 128)
    assert single_date(patch, "best").position == 4
    images = series(6, 10000)
    images[4:, 0] = 5000
    np.save(patch.images, images)
    assert single_date(patch, "best").position == 3


def test_a_series_without_data_has_no_single_date(folder: Path) -> None:
    patch = open_pastis(folder).patches[0]
    np.save(patch.images, np.zeros((6, 10, 128, 128), np.int16))
    with pytest.raises(BadInput, match="None of its images"):
        single_date(patch)


def test_nothing_is_unpickled(folder: Path, tmp_path: Path) -> None:
    patch, mark = open_pastis(folder).patches[0], tmp_path / "ran"

    class Program:
        def __reduce__(self) -> tuple[Callable[[str], Any], tuple[str]]:
            return os.mkdir, (str(mark),)

    np.save(patch.images, np.array([Program()], dtype=object), allow_pickle=True)
    with pytest.raises(BadInput, match="pickled objects"):
        patch.read()
    patch.images.write_bytes(pickle.dumps(Program()))
    with pytest.raises(BadInput, match="not an array of NumPy"):
        patch.read()
    assert not mark.exists()


def npy_header(shape: str, dtype: str = "<i2") -> bytes:
    text = f"{{'descr': '{dtype}', 'fortran_order': False, 'shape': {shape}, }}".encode()
    text += b" " * (63 - (len(text) + 10) % 64) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (npy_header("(6, 10, 128, 1000000000000)"), "shape is 6 x 10 x 128 x 1000000000000"),
        (npy_header("(6, 10, 128, 128)"), "bytes where its header promises 1966208"),
        (npy_header("(6, 10, 128, 128)", "<f4") + bytes(6 * 10 * 128 * 128 * 4), "values are float32, not int16"),
        (npy_header("(7, 10, 128, 128)"), "shape is 7 x 10 x 128 x 128, not 6 x 10 x 128 x 128"),
        (npy_header("(-6, 10, 128, 128)"), "shape is"),
        (b"\x93NUMPY\x02\x00\xff\xff\xff\xff" + b"(" * 70_000, "header is damaged"),
        (b"", "not an array"),
        (b"PK\x03\x04" + bytes(100), "not an array"),
    ],
    ids=["huge", "cut", "type", "dates", "negative", "endless", "empty", "zip"],
)
def test_bad_arrays_are_refused_before_they_are_read(folder: Path, content: bytes, why: str) -> None:
    patch = open_pastis(folder).patches[0]
    patch.images.write_bytes(content)
    with pytest.raises(BadInput, match=why):
        patch.read()


def test_either_byte_order_is_read(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.arange(6, dtype=">i2"))
    assert open_npy(tmp_path / "a.npy", "int16", (None,)).tolist() == [0, 1, 2, 3, 4, 5]


def test_an_empty_array_is_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.zeros(0, np.int16))
    with pytest.raises(BadInput, match="shape is 0, not any"):
        open_npy(tmp_path / "a.npy", "int16", (None,))


def test_links_and_pipes_are_not_followed(folder: Path, tmp_path: Path) -> None:
    first, second = open_pastis(folder).patches[:2]
    moved = first.images.rename(tmp_path / "elsewhere.npy")
    first.images.symlink_to(moved)
    with pytest.raises(BadInput, match="is a link"):
        first.read()
    second.images.unlink()
    os.mkfifo(second.images)
    with pytest.raises(BadInput, match="not a file"):
        second.read()
    (folder / "ANNOTATIONS").rename(tmp_path / "annotations")
    (folder / "ANNOTATIONS").symlink_to(tmp_path / "annotations")
    with pytest.raises(BadInput, match="is a link"):
        first.target()


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"ID_PATCH": "../../etc/passwd"}, "not a whole number"),
        ({"ID_PATCH": None}, "not a whole number"),
        ({"Fold": 6}, "folds 1 to 5"),
        ({"TILE": "Paris"}, "none of Sentinel-2"),
        ({"dates-S2": {"0": 20190231}}, "not a table of days"),
        ({"dates-S2": {"1": 20190201}}, "does not number"),
        ({"dates-S2": {}}, "does not number"),
        ({"dates-S2": "[" * 100_000}, "not a table of days"),
        ({"dates-S2": None}, "not a table of days"),
    ],
)
def test_bad_metadata_are_refused(folder: Path, change: dict[str, Any], why: str) -> None:
    wrong = feature(PATCHES_MADE[0])
    wrong["properties"] |= change
    write_metadata(folder, [wrong])
    with pytest.raises(BadInput, match=why):
        open_pastis(folder)


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"features": [1]}', "[" * 200_000, '{"features": 3}', "\xff"])
def test_other_json_is_refused(folder: Path, content: str) -> None:
    (folder / "metadata.geojson").write_text(content, encoding="latin-1")
    with pytest.raises(BadInput, match="metadata.geojson"):
        open_pastis(folder)


def test_a_patch_is_there_once(folder: Path) -> None:
    write_metadata(folder, [feature(PATCHES_MADE[0])] * 2)
    with pytest.raises(BadInput, match="there twice"):
        open_pastis(folder)


def test_labels_beyond_void_are_refused(folder: Path) -> None:
    patch = open_pastis(folder).patches[0]
    np.save(patch.annotation, np.full((3, 128, 128), 20, np.uint8))
    with pytest.raises(BadInput, match="label 20 of PASTIS"):
        patch.target()


def test_a_whole_copy_is_whole(folder: Path) -> None:
    said = StringIO()
    found = check(folder, LineProgress(said), published=MADE)
    assert found["whole"] and status_of(found) == 0 and found["dataset"] == "PASTIS"
    assert found["counts"]["images"] == 30 and found["counts"]["images without any data"] == 5
    assert found["counts"]["patches by fold"] == {str(fold): 1 for fold in range(1, 6)}
    assert "PASTIS is whole (every value was read)" in said.getvalue()
    assert check(folder.parent, LineProgress(StringIO()), quick=True, published=MADE)["whole"]
    json.dumps(found)


def test_a_miniature_lacks_most_patches(folder: Path) -> None:
    """Against the published counts, which are those of the facts."""
    counts = pastis_counts()
    assert (counts.patches, sum(counts.by_tile.values()), counts.by_tile["T30UXV"]) == (2433, 2433, 531)
    said = StringIO()
    found = check(folder, LineProgress(said), quick=True)
    assert not found["whole"] and status_of(found) == 1
    assert "2428 of 2433 patches in metadata.geojson are missing" in found["missing"]
    assert "529 of 531 patches of tile T30UXV are missing" in found["missing"]
    assert "1452 of 1455 patches of folds 1, 2, 3 are missing" in found["missing"]
    assert "missing: 2428 of 2433" in said.getvalue() and "is not whole" in said.getvalue()


@pytest.mark.parametrize("quick", [True, False], ids=["quick", "full"])
def test_a_check_says_what_is_wrong(folder: Path, tmp_path: Path, quick: bool) -> None:
    images = [patch.images for patch in open_pastis(folder).patches]
    images[0].unlink()
    images[1].write_bytes(images[1].read_bytes()[:-2])
    np.save(images[2], np.array([{}]), allow_pickle=True)
    images[3].rename(tmp_path / "elsewhere.npy")
    images[3].symlink_to(tmp_path / "elsewhere.npy")
    np.save(folder / "DATA_S2" / "S2_77.npy", np.zeros(1))
    (folder / "NORM_S2_patch.json").unlink()
    found = check(folder, LineProgress(StringIO()), quick, published=MADE)
    assert found["missing"] == [
        "1 of 5 arrays in DATA_S2 are missing, those of patches 10000",
        "NORM_S2_patch.json is missing",
    ]
    assert found["surplus"] == ["DATA_S2 has arrays of patches that metadata.geojson lacks: 77"]
    damaged = " ".join(found["damaged"])
    assert len(found["damaged"]) == 3
    assert all(word in damaged for word in ("its header promises", "pickled objects", "is a link"))


def test_only_a_full_check_reads_values(folder: Path) -> None:
    one, two, three = open_pastis(folder).patches[:3]
    np.save(one.images, np.zeros((6, 10, 128, 128), np.int16))
    np.save(two.images, np.full((6, 10, 128, 128), -10001, np.int16))
    np.save(three.annotation, np.full((3, 128, 128), 33, np.uint8))
    assert check(folder, LineProgress(StringIO()), quick=True, published=MADE)["whole"]
    damaged = " ".join(check(folder, LineProgress(StringIO()), published=MADE)["damaged"])
    assert all(word in damaged for word in ("None of its images", "counts below -10000", "label 33"))


def test_a_bad_folder_is_told_once(folder: Path, tmp_path: Path) -> None:
    (folder / "DATA_S2").rename(tmp_path / "elsewhere")
    (folder / "DATA_S2").symlink_to(tmp_path / "elsewhere")
    (found,) = check(folder, LineProgress(StringIO()), published=MADE)["damaged"]
    assert "DATA_S2: It is a link" in found


def test_more_than_was_published_is_not_whole(folder: Path) -> None:
    np.save(folder / "DATA_S2" / "S2_77.npy", np.zeros(1))
    found = check(folder, LineProgress(StringIO()), quick=True, published=MADE)
    assert found["surplus"] and not found["missing"] and not found["damaged"] and status_of(found) == 1


def test_bad_metadata_are_damage(folder: Path) -> None:
    (folder / "metadata.geojson").write_text("{")
    found = check(folder, LineProgress(StringIO()), published=MADE)
    assert status_of(found) == 1 and "not JSON" in found["damaged"][0]


def test_archives_are_known_by_their_digest(folder: Path, tmp_path: Path) -> None:
    good, bad = folder / "PASTIS.zip", tmp_path / "PASTIS.zip"
    good.write_bytes(b"abc")
    found = check(folder, LineProgress(StringIO()), published=MADE)
    assert len(found["damaged"]) == 1 and "3 bytes, published were 4" in found["damaged"][0]
    assert found["notes"] == ["PASTIS.zip is the archive of https://example.org"]
    bad.write_bytes(b"abcd")
    found = check(bad, LineProgress(StringIO()), published=MADE)
    assert len(found["damaged"]) == 1 and "Its MD5 is e2fc714c4727ee9395f324cd2e7f331f" in found["damaged"][0]
    assert check(bad, LineProgress(StringIO()), quick=True, published=MADE)["whole"]
    assert archives()["PASTIS-R.zip"].md5 == "4887513d6c2d2b07fa935d325bd53e09"


def test_what_is_neither_dataset_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="neither PASTIS"):
        check(tmp_path, LineProgress(StringIO()))
    with pytest.raises(BadInput, match="not there"):
        check(tmp_path / "nothing", LineProgress(StringIO()))
    (tmp_path / "other.zip").write_bytes(b"")
    with pytest.raises(BadInput, match="none of the published archives"):
        check(tmp_path / "other.zip", LineProgress(StringIO()))
