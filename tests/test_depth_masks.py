"""Masks from depth: Otsu's cut against a search of all cuts, and each rule that rejects an image."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.depth_masks import (
    DepthMaskSettings,
    depth_mask,
    excess_green,
    green_mask,
    intersection_over_union,
    stretch,
)
from models.errors import Misfit
from models.image_selection import ImageSettings, judge_image, supported_pieces
from models.otsu import otsu


def two_humps(share: float = 0.4, apart: float = 6.0, seed: int = 0) -> np.ndarray:
    random = np.random.default_rng(seed)
    near = random.random((60, 50)) < share
    return np.asarray(random.normal(0, 1, near.shape) + apart * near)


@given(st.integers(0, 1000), st.floats(0.1, 0.9), st.floats(0, 8))
def test_no_other_cut_parts_better(seed: int, share: float, apart: float) -> None:
    values = two_humps(share, apart, seed).ravel()
    found = otsu(values)
    edges = np.linspace(values.min(), values.max(), 257)[1:-1]

    def between(cut: float) -> float:
        above = values > cut
        if above.all() or not above.any():
            return 0.0
        return float(above.mean() * (~above).mean() * (values[above].mean() - values[~above].mean()) ** 2)

    best = max(between(edge) for edge in edges) / values.var()
    assert found.separation == pytest.approx(best, rel=1e-9)
    assert between(found.threshold) / values.var() == pytest.approx(best, rel=1e-2)
    assert found.cover == pytest.approx((values > found.threshold).mean(), abs=2 / len(values))


def test_separation_by_hand() -> None:
    """Values 0 and 1 apart from 4 and 5: 4 of 4.25 of the variance lies between the pairs."""
    found = otsu(np.array([0.0, 1.0, 4.0, 5.0, np.nan]))
    assert found.separation == pytest.approx(4 / 4.25)
    assert (1 < found.threshold < 4, found.cover) == (True, 0.5)
    assert otsu(np.full(9, 3.0)).separation == 0
    assert otsu(np.random.default_rng(0).random(100_000)).separation == pytest.approx(0.75, abs=0.01)
    with pytest.raises(Misfit, match="finite"):
        otsu(np.array([np.nan]))


def test_depth_with_two_humps_is_believed() -> None:
    depth = two_humps()
    found = depth_mask(depth, depth > 3)
    assert found.rejected == ""
    assert found.agreement > 0.98
    np.testing.assert_array_equal(found.mask_YX, depth_mask(depth * 7 - 100).mask_YX)


@pytest.mark.parametrize(
    ("depth", "cue", "rule"),
    [
        (np.random.default_rng(0).laplace(0, 1, (60, 50)) ** 3, None, "one_hump"),
        (two_humps(share=0.06, apart=30), None, "cover"),
        (two_humps(share=0.94, apart=30), None, "cover"),
        (two_humps(), two_humps() < 3, "cue_differs"),
        (np.ones((5, 5)), None, "one_hump"),
    ],
)
def test_each_rule_rejects(depth: np.ndarray, cue: np.ndarray | None, rule: str) -> None:
    fair = DepthMaskSettings(least_cover=0.1, most_cover=0.9)
    assert depth_mask(depth, cue, fair).rejected == rule


def test_stretch_ends_at_percentiles() -> None:
    values = np.arange(101.0).reshape(1, -1)
    found = stretch(values)
    assert (found[0, 2], found[0, 50], found[0, 98], found[0, 100]) == (0, 0.5, 1, 1)


def test_excess_green() -> None:
    rgb = np.array([[[50.0, 100, 0, 30]], [[100.0, 100, 0, 90]], [[50.0, 100, 0, 30]]])
    np.testing.assert_allclose(excess_green(rgb)[0], [0.5, 0, 0, 0.8])
    np.testing.assert_array_equal(green_mask(rgb)[0], [True, False, False, True])
    assert not green_mask(np.array([[[90.0, 60]], [[10.0, 20]], [[10.0, 20]]])).any()


def test_overlap() -> None:
    one, other = np.array([1, 1, 0, 0], bool), np.array([0, 1, 1, 0], bool)
    assert intersection_over_union(one, other) == pytest.approx(1 / 3)
    assert intersection_over_union(one & False, one & False) == 1.0
    with pytest.raises(Misfit):
        intersection_over_union(one, other[:2])


def test_images_for_the_second_stage() -> None:
    depth = np.zeros((4, 5), bool)
    depth[:2] = True
    sure = np.where(depth, 0.05, 0.95)
    p = np.stack([sure, 1 - sure])
    assert judge_image(p, depth, ImageSettings()).rejected == ""
    assert judge_image(0.6 * p + 0.2, depth, ImageSettings()).rejected == "unsure"
    elsewhere = judge_image(p, ~depth, ImageSettings())
    assert (elsewhere.rejected, elsewhere.agreement) == ("depth_differs", 0.0)
    assert judge_image(p, depth, ImageSettings()).confidence == pytest.approx(0.95)


def test_pieces_that_depth_denies_go() -> None:
    mask = np.array([[1, 1, 0, 0, 1], [0, 0, 1, 0, 1], [0, 0, 0, 0, 1]], bool)
    depth = np.array([[1, 0, 0, 0, 1], [0, 0, 1, 0, 0], [0, 1, 1, 0, 0]], bool)
    found = supported_pieces(mask, depth, ImageSettings())
    np.testing.assert_array_equal(found, mask & (np.arange(5) < 4))  # 2 of 3 (over a corner), and 1 of 3
    assert not supported_pieces(mask, ~mask, ImageSettings()).any()
    np.testing.assert_array_equal(supported_pieces(mask, depth, ImageSettings(least_support=0.0)), mask)


def test_settings_are_shares() -> None:
    with pytest.raises(Misfit):
        DepthMaskSettings(least_cover=0.9, most_cover=0.5)
    with pytest.raises(Misfit):
        ImageSettings(least_confidence=90)
