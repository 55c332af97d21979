"""Whether the offset of 1000 is in the counts, told from pixels alone: real scenes, shifted ones, awkward ground."""

from pathlib import Path

import numpy as np
import pytest
import rasterio
from conftest import TINY

from catalogs.bands import BANDS
from catalogs.dark_pixels import Evidence, confirm, judge
from catalogs.synthetic import plan_country

DATA = Path(__file__).parents[2] / "shared" / "data"
OPPOSITE = {"holds": "removed", "removed": "holds"}

needs_data = pytest.mark.skipif(not DATA.exists(), reason="the real scenes are not beside this checkout")


def read(path: Path) -> np.ndarray:
    with rasterio.open(path) as file:
        return file.read(1)


def shifted(samples: dict, by: int) -> dict:
    """Another offset in the same pixels: 0 stays no data, and what would fall below 1 stays there."""

    def moved(counts):
        return np.where(counts == 0, 0, np.clip(counts.astype(int) + by, 1, 65535)).astype(np.uint16)

    return {name: counts if name == "SCL" else moved(counts) for name, counts in samples.items()}


def windows(samples: dict, side: int):
    """Every window of the scene, `side` pixels of 10 m wide."""
    for y in range(0, 512, side):
        for x in range(0, 512, side):
            yield {
                name: counts[tuple(slice(at * len(counts) // 512, (at + side) * len(counts) // 512) for at in (y, x))]
                for name, counts in samples.items()
            }


def crop(baseline: str) -> dict:
    (folder,) = (DATA / "offset-pair").glob(f"*_{baseline}_*")
    return {band: read(folder / f"{band}.tif") for band in BANDS}


def belgium():
    for path in sorted((DATA / "belgium-2018/s2").glob("*.tif")):
        with rasterio.open(path) as file:
            samples = dict(zip(BANDS, file.read(), strict=True))
        yield samples, samples | {"SCL": read(DATA / "belgium-2018/scl" / path.name)}


@needs_data
@pytest.mark.parametrize(("baseline", "truth", "shift"), [("N0400", "holds", -1000), ("N9999", "removed", 1000)])
def test_the_two_real_scenes_are_decided_by_their_pixels_alone(baseline, truth, shift):
    scene = crop(baseline)
    assert judge(scene).verdict == truth
    assert judge(shifted(scene, shift)).verdict == OPPOSITE[truth]


@needs_data
@pytest.mark.parametrize("classified", [True, False], ids=["called clear", "without classes"])
@pytest.mark.parametrize(("baseline", "truth", "shift"), [("N0400", "holds", -1000), ("N9999", "removed", 1000)])
def test_no_window_of_them_is_decided_wrong(baseline, truth, shift, classified):
    scene = crop(baseline)
    scene |= {"SCL": np.full_like(scene["B12"], 4)} if classified else {}
    for side in (64, 128, 256):
        assert {judge(part).verdict for part in windows(scene, side)} <= {truth, "undecided"}
        moved = {judge(part).verdict for part in windows(shifted(scene, shift), side)}
        assert moved <= {OPPOSITE[truth], "undecided"}


@needs_data
def test_118_dates_over_one_place_are_right_or_undecided():
    dates = list(belgium())
    assert len(dates) == 118
    with_classes = [judge(classified).verdict for _, classified in dates]
    without = [judge(samples).verdict for samples, _ in dates]
    assert set(with_classes) == set(without) == {"removed", "undecided"}
    assert with_classes.count("removed") >= 50 and without.count("removed") >= 50
    moved = [judge(shifted(classified, 1000)).verdict for _, classified in dates]
    assert set(moved) == {"holds", "undecided"} and moved.count("holds") >= 25
    assert "removed" not in {judge(shifted(samples, 1000)).verdict for samples, _ in dates}


@needs_data
def test_a_date_under_cloud_is_undecided_whatever_it_holds():
    clouded = [classified for _, classified in belgium() if np.isin(classified["SCL"], (2, 4, 5, 6)).mean() < 0.05]
    assert len(clouded) > 40
    for date in clouded:
        assert judge(date).verdict == judge(shifted(date, 1000)).verdict == "undecided"


@needs_data
def test_a_patch_of_bands_of_three_resolutions_is_decided():
    bands = {path.stem.rsplit("_", 1)[1]: read(path) for path in (DATA / "mixed-resolution").glob("*.tif")}
    assert {len(bands["B02"]), len(bands["B11"]), len(bands["B01"])} == {120, 60, 20}
    assert judge(bands).verdict == "removed"
    assert judge(shifted(bands, 1000)).verdict == "undecided", "3600 pixels without classes may lie under thin cloud"


def ground(seed: int = 1, side: int = 300, **reflectance: float) -> dict:
    """Even ground of this reflectance in B02, B03, B04, B11, B12, with a tenth of relative and some absolute noise."""
    rng = np.random.default_rng(seed)
    values = {
        band: level * (1 + 0.1 * rng.standard_normal((side, side))) + 0.003 * rng.standard_normal((side, side))
        for band, level in reflectance.items()
    }
    return {band: np.clip(np.rint(value * 10000), 1, 60000).astype(np.uint16) for band, value in values.items()}


def classes(samples: dict, code: int) -> dict:
    return samples | {"SCL": np.full(samples["B02"].shape, code, np.uint8)}


MEADOW = ground(B02=0.03, B03=0.06, B04=0.035, B11=0.2, B12=0.1)
SAND = ground(B02=0.16, B03=0.25, B04=0.36, B11=0.55, B12=0.52)
GRAVEL = ground(B02=0.13, B03=0.16, B04=0.20, B11=0.30, B12=0.28)
LAVA = ground(B02=0.14, B03=0.14, B04=0.15, B11=0.36, B12=0.33)
SALT = ground(B02=0.35, B03=0.36, B04=0.36, B11=0.38, B12=0.34)
SNOW = ground(B02=0.85, B03=0.83, B04=0.80, B11=0.08, B12=0.06)
CLOUD = ground(B02=0.45, B03=0.43, B04=0.42, B11=0.30, B12=0.22)
SEA = ground(B02=0.03, B03=0.02, B04=0.01, B11=0.002, B12=0.001)
GLINT = ground(B02=0.13, B03=0.13, B04=0.13, B11=0.13, B12=0.12)
VEIL = ground(B02=0.25, B03=0.24, B04=0.25, B11=0.19, B12=0.14)
THIN_CLOUD = ground(B02=0.13, B03=0.15, B04=0.13, B11=0.17, B12=0.13)


@pytest.mark.parametrize("code", [4, None])
def test_a_meadow_is_decided_both_ways(code):
    meadow = classes(MEADOW, code) if code else MEADOW
    assert judge(meadow).verdict == "removed"
    assert judge(shifted(meadow, 1000)).verdict == "holds"


@pytest.mark.parametrize(
    ("samples", "code"),
    [
        (SAND, 5), (GRAVEL, 5), (LAVA, 5), (SALT, 5), (SNOW, 11), (SNOW, 5),
        (CLOUD, 9), (CLOUD, 4), (VEIL, 4), (GLINT, 6), (THIN_CLOUD, 10),
    ],
    ids=[
        "sand", "gravel", "old lava", "salt", "snow", "snow called soil",
        "cloud", "cloud called green", "veil called green", "glint", "cirrus",
    ],
)  # fmt: skip
def test_bright_ground_contradicts_nothing(samples, code):
    for by in (0, 1000):
        assert judge(shifted(classes(samples, code), by)).verdict == "undecided"
        if code not in (6, 10):  # what only the classes tell
            assert judge(shifted(samples, by)).verdict == "undecided"


def test_the_sea_is_black_without_the_offset_and_says_little_with_it():
    assert judge(classes(SEA, 6)).verdict == judge(SEA).verdict == "removed"
    assert judge(shifted(classes(SEA, 6), 1000)).verdict == "undecided"


def test_counts_that_a_catalogue_cut_off_at_zero_are_dark_ground_and_not_no_data():
    black = {band: np.where(counts < 60, 0, counts).astype(np.uint16) for band, counts in SEA.items()}
    assert np.mean(black["B12"] == 0) > 0.5 and judge(black).with_data > 0.9 * black["B12"].size
    assert judge(black).verdict == "removed"


def test_no_data_is_not_dark_ground():
    edge = {band: counts.copy() for band, counts in shifted(MEADOW, 1000).items()}
    for counts in edge.values():
        counts[:, :200] = 0
    assert judge(edge).with_data == 300 * 100
    assert judge(edge).verdict == "holds"


def test_a_few_clear_pixels_decide_nothing():
    few = {band: counts[:20, :20] for band, counts in MEADOW.items()}
    rim = classes(MEADOW, 9)
    rim["SCL"][:10] = 4
    for samples in (few, rim, shifted(few, 1000), shifted(rim, 1000)):
        assert judge(samples).verdict == "undecided"


@pytest.mark.parametrize("given", [(), ("SCL",), ("B02", "B04"), ("B03", "B11", "B12")])
def test_two_bands_are_too_few_to_agree(given):
    for samples in (classes(MEADOW, 4), shifted(classes(MEADOW, 4), 1000)):
        assert judge({band: samples[band] for band in given}).verdict == "undecided"


@pytest.mark.parametrize("band", ["B02", "B03", "B04", "B11", "B12"])
def test_one_band_that_disagrees_spoils_the_verdict(band):
    spoilt = shifted(MEADOW, 1000) | {band: np.full_like(MEADOW[band], 300)}
    assert judge(spoilt).verdict == "undecided"


def test_a_winter_that_lies_below_zero_in_the_visible_is_not_called_removed():
    """Correction of too much haze in low light: with the offset in, a reflectance of -0.015 in three bands."""
    winter = shifted(MEADOW, 1000)
    for band, lift in (("B02", 450), ("B03", 750), ("B04", 500)):
        winter[band] = winter[band] - np.uint16(lift)
    assert judge(winter).verdict == "undecided"


@pytest.mark.parametrize(
    ("verdict", "offset", "answer"),
    [
        ("holds", 1000, "confirms"),
        ("holds", 0, "contradicts"),
        ("removed", 0, "confirms"),
        ("removed", 1000, "contradicts"),
        ("undecided", 0, "undecided"),
        ("undecided", 1000, "undecided"),
    ],
)
def test_pixels_confirm_or_contradict_what_the_catalogue_says(verdict, offset, answer):
    assert confirm(offset, Evidence(verdict, "")) == answer


def test_evidence_survives_being_kept():
    evidence = judge(MEADOW)
    assert Evidence.from_record(evidence.record) == evidence
    assert set(evidence.dark) == {"B02", "B03", "B04", "B11", "B12"} and "B12" in str(evidence)


def test_every_scene_of_the_made_up_country_is_right_or_undecided(catalog):
    names = {"B02": "blue", "B03": "green", "B04": "red", "B11": "swir16", "B12": "swir22", "SCL": "scl"}
    answers = []
    for job in plan_country(TINY).jobs:
        folder = catalog / "sentinel-2-l2a" / job.scene_id
        evidence = judge({band: read(folder / f"{name}.tif") for band, name in names.items()})
        answers.append(confirm(job.processing.added, evidence))
    assert "contradicts" not in answers
    assert answers.count("confirms") > len(answers) / 3
