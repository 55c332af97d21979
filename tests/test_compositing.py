"""Composites against plain numpy oracles, what counts as clear, and dark ground that stays ground."""

from dataclasses import dataclass
from datetime import datetime

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from catalogs import compositing
from catalogs.bands import BANDS, CLEAR_SCL
from catalogs.compositing import best_composite, clear_pixels, median_composite, preference, single_date
from catalogs.reading import reflectance

counts = st.integers(1, 15000) | st.sampled_from([1, 2, 65534, 65535])


def scenes_of(most: int, shape: tuple[int, int] = (3, 4)):
    return st.integers(1, most).flatmap(lambda n: st.tuples(
        arrays.arrays(np.uint16, (n, 2, *shape), elements=counts),
        arrays.arrays(bool, (n, *shape)),
    ))  # fmt: skip


def check_median(scenes: np.ndarray, clear: np.ndarray) -> None:
    picture, count = median_composite(list(scenes), list(clear))
    assert picture.dtype == np.uint16 and count.dtype == np.uint8
    assert (count == clear.sum(axis=0).clip(max=255)).all()
    for y, x in np.ndindex(clear.shape[1:]):
        seen = scenes[clear[:, y, x]][:, :, y, x]
        expected = np.floor(np.median(seen, axis=0) + 0.5) if len(seen) else np.zeros(scenes.shape[1])
        assert (picture[:, y, x] == expected).all()


@given(scenes_of(9))
def test_the_median_is_numpys_where_anything_is_clear(data):
    check_median(*data)


@pytest.mark.parametrize("scenes", range(1, 41))
def test_the_median_of_any_number_of_scenes(scenes):
    """Each number has a sorting network of its own; each pixel here has another count of clear observations."""
    rng = np.random.default_rng(scenes)
    check_median(rng.integers(0, 300, (scenes, 2, 6, 6), np.uint16), rng.random((scenes, 6, 6)) < rng.random((6, 6)))


def test_the_count_ends_at_255():
    scenes, clear = np.full((300, 1, 1, 2), 7, np.uint16), np.ones((300, 1, 2), bool)
    clear[250:, 0, 1] = False
    picture, count = median_composite(list(scenes), list(clear))
    assert (picture == 7).all() and count.tolist() == [[255, 250]]


@given(scenes_of(5), st.integers(1, 30))
def test_composites_do_not_depend_on_the_strips_they_are_made_in(data, values):
    scenes, clear = map(list, data)
    order = range(len(scenes))
    whole = median_composite(scenes, clear), best_composite(scenes, clear, order)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(compositing, "STRIP_VALUES", values)
        parts = median_composite(scenes, clear), best_composite(scenes, clear, order)
    assert all((a == b).all() for one, other in zip(whole, parts, strict=True) for a, b in zip(one, other, strict=True))


@given(scenes_of(6))
def test_composites_leave_their_scenes_alone(data):
    scenes, clear = data
    before = scenes.copy(), clear.copy()
    median_composite(list(scenes), list(clear))
    best_composite(list(scenes), list(clear), range(len(scenes)))
    assert (scenes == before[0]).all() and (clear == before[1]).all()


@given(scenes_of(6))
def test_the_median_lies_between_the_clear_extremes(data):
    scenes, clear = data
    picture, count = median_composite(list(scenes), list(clear))
    lowest = np.where(clear[:, None], scenes, 65535).min(axis=0)
    highest = np.where(clear[:, None], scenes, 0).max(axis=0)
    seen = np.broadcast_to(count > 0, picture.shape)
    assert ((lowest <= picture) & (picture <= highest))[seen].all() and (picture[~seen] == 0).all()


@given(scenes_of(5), st.randoms())
def test_the_best_is_a_whole_pixel_of_the_first_clear_scene(data, random):
    scenes, clear = data
    order = random.sample(range(len(scenes)), len(scenes))
    picture, count = best_composite(list(scenes), list(clear), order)
    assert (count == clear.sum(axis=0)).all() and count.dtype == np.uint8 and picture.dtype == np.uint16
    for y, x in np.ndindex(3, 4):
        first = next((i for i in order if clear[i, y, x]), None)
        expected = np.zeros(2) if first is None else scenes[first, :, y, x]
        assert (picture[:, y, x] == expected).all()


def test_preference_is_for_few_clouds_then_for_early_then_for_the_first_given():
    moments = ["2021-05-09", "2021-05-04", "2021-05-01", "2021-05-04", "2021-05-02"]
    assert preference([20.0, 20.0, 70.0, 20.0, 0.0], moments) == (4, 1, 3, 0, 2)
    assert preference([float("nan"), 99.0], [datetime(2021, 5, 1), datetime(2021, 5, 2)]) == (1, 0)


@dataclass(frozen=True)
class Pass:
    tile: str
    cloud: float
    moment: str
    id: str


def taken(tile: str, cloud: float, when: str, name: str) -> Pass:
    return Pass(tile, cloud, f"2021-05-{when}+00:00", name)


def test_a_single_date_is_the_least_cloudy_pass_of_each_tile():
    scenes = [
        taken("33UXP", 30, "01T10:00:00", "a"),
        taken("33UXP", 5, "06T10:00:00", "b"),
        taken("33UYP", 50, "06T10:00:12", "c"),
        taken("33UYP", 5, "11T10:00:00", "late"),
        taken("33UYP", 5, "03T10:00:00", "early"),
    ]
    assert [scene.id for scene in single_date(scenes)] == ["b", "early"]


def test_the_halves_of_a_split_datatake_stay_together():
    halves = [taken("33UXP", 2, "06T10:00:00", "a0"), taken("33UXP", 40, "06T10:05:00.5", "a1")]
    assert single_date([*halves, taken("33UXP", 30, "11T10:00:00", "b")]) == tuple(halves)  # 21 is their mean
    assert [s.id for s in single_date([*halves, taken("33UXP", 20, "11T10:00:00", "b")])] == ["b"]
    assert [s.id for s in single_date([halves[0], taken("33UXP", 1, "06T11:40:00", "next orbit")])] == ["next orbit"]


def test_with_the_ground_known_a_cloudless_sliver_is_not_the_best():
    scenes = [taken("33UXP", 0, "01T10:00:00", "edge"), taken("33UXP", 10, "06T10:00:00", "whole")]
    assert [scene.id for scene in single_date(scenes)] == ["edge"]

    def area(scene: Pass) -> float:
        return {"edge": 0.2, "whole": 1.0}[scene.id]

    assert [scene.id for scene in single_date(scenes, area)] == ["whole"]


passes = st.lists(st.tuples(
    st.sampled_from(["32TNT", "33UXP", "33UYP"]), st.sampled_from([0.0, 3.5, 60.0]), st.integers(1, 28)
), max_size=12, unique_by=lambda scene: (scene[0], scene[2]))  # fmt: skip


@given(passes)
def test_a_single_date_has_one_scene_for_each_tile_and_none_is_less_cloudy(found):
    scenes = [taken(tile, cloud, f"{day:02d}T10:00:00", f"{tile}-{day}") for tile, cloud, day in found]
    kept = {scene.tile: scene for scene in single_date(scenes)}
    assert len(kept) == len(single_date(scenes)) and kept.keys() == {scene.tile for scene in scenes}
    assert all(kept[scene.tile].cloud <= scene.cloud for scene in scenes)


@given(arrays.arrays(np.uint16, (3, 4, 4), elements=st.sampled_from([0, 0, 1, 999, 1000, 1001, 9000])),
       st.sampled_from([0, 1000]))  # fmt: skip
def test_dark_ground_does_not_become_no_data(counts, offset):
    found = reflectance(counts, offset)
    ground = (counts != 0).any(axis=0)
    assert found.dtype == np.uint16
    assert (found[:, ground] == np.maximum(counts.astype(int) - offset, 1)[:, ground]).all()


def bright(*shape: int) -> np.ndarray:
    return np.full((len(BANDS), *shape), 3000, np.uint16)


def test_clear_needs_data_and_a_clear_class():
    picture = bright(1, 12)
    picture[3, 0, 4] = 0
    clear = clear_pixels(picture, np.arange(12)[None])
    assert [scl for scl in range(12) if clear[0, scl]] == [scl for scl in CLEAR_SCL if scl != 4]


def test_cirrus_can_be_kept():
    classes = np.arange(12)[None]
    added = clear_pixels(bright(1, 12), classes, cirrus=True) & ~clear_pixels(bright(1, 12), classes)
    assert added.nonzero()[1].tolist() == [10]


@pytest.mark.parametrize("haze, brightest", [(0.25, 2500), (0.57, 5700), (0.0012, 12), (1.0, 10000), (0.12346, 1234)])
def test_haze_is_what_is_brighter_in_the_blue(haze, brightest):
    picture = bright(1, 3)
    picture[BANDS.index("B02"), 0] = brightest - 1, brightest, brightest + 1
    picture[BANDS.index("B03")] = 20000
    assert clear_pixels(picture, np.full((1, 3), 4), haze=haze).tolist() == [[True, True, False]]
    assert clear_pixels(picture, np.full((1, 3), 4)).all()


classes_and_margin = st.tuples(
    arrays.arrays(np.uint8, st.tuples(st.integers(13, 18), st.integers(13, 18)), elements=st.sampled_from(range(12)),
                  fill=st.just(4)),
    st.integers(0, 6),
    st.booleans(),
)  # fmt: skip


def inner(pixels: np.ndarray, margin: int) -> np.ndarray:
    return pixels[margin : pixels.shape[0] - margin, margin : pixels.shape[1] - margin]


@given(classes_and_margin)
def test_the_margin_is_the_distance_to_the_nearest_cloud_or_shadow(data):
    classes, margin, cirrus = data
    clouds = np.argwhere(np.isin(classes, (3, 8, 9) if cirrus else (3, 8, 9, 10)))
    found = clear_pixels(bright(*inner(classes, margin).shape), classes, cirrus=cirrus, margin_pixels=margin)
    for y, x in np.ndindex(found.shape):
        here = np.array([y, x]) + margin
        far = all(((cloud - here) ** 2).sum() > margin**2 for cloud in clouds)
        clear = classes[tuple(here)] in ((4, 5, 6, 7, 10) if cirrus else (4, 5, 6, 7))
        assert found[y, x] == (clear and far)


@given(classes_and_margin)
def test_a_wider_margin_leaves_less(data):
    classes, margin, cirrus = data
    assume(margin > 0)
    shape = inner(classes, margin).shape
    wide = clear_pixels(bright(*shape), classes, cirrus=cirrus, margin_pixels=margin)
    narrow = clear_pixels(bright(*shape), inner(classes, 1), cirrus=cirrus, margin_pixels=margin - 1)
    assert not (wide & ~narrow).any()


@given(classes_and_margin, st.integers(1, 5), st.integers(1, 5))
def test_the_margin_is_the_same_however_the_ground_is_cut(data, height, width):
    classes, m, _ = data
    rows, cols = inner(classes, m).shape
    whole = clear_pixels(bright(rows, cols), classes, margin_pixels=m)
    for top in range(0, rows, height):
        for left in range(0, cols, width):
            part = whole[top : top + height, left : left + width]
            grown = classes[top : top + part.shape[0] + 2 * m, left : left + part.shape[1] + 2 * m]
            assert (clear_pixels(bright(*part.shape), grown, margin_pixels=m) == part).all()


def test_classes_without_the_margins_ground_are_refused():
    with pytest.raises(ValueError, match="2 pixels wider"):
        clear_pixels(bright(4, 4), np.full((4, 4), 4), margin_pixels=2)
