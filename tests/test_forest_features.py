"""Features of forests against plain loops, and the law that a pixel's features do not know where the array begins."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.errors import Misfit
from models.forest_features import Features
from models.forest_settings import ContextForestSettings, ForestSettings
from models.harmonics import RIDGE, fit_waves, order_for, waves
from models.running_sums import window_sums
from models.spectral_indices import MISSING, index_plane
from models.texture import texture

BANDS = ("B03", "B04", "B05", "B08", "B8A", "B11")
WHEN = (15.0, 45.0, 80.0, 120.0, 165.0, 200.0)


def counts(height: int, width: int, seed: int = 0, periods: int = 6) -> np.ndarray:
    """Ground with holes: whole pixels without data, and single bands."""
    random = np.random.default_rng(seed)
    x = random.integers(1, 16_000, (periods, len(BANDS), height, width), dtype=np.uint16)
    x[(random.random((periods, 1, height, width)) < 0.2).repeat(len(BANDS), axis=1)] = 0
    x[random.random(x.shape) < 0.02] = 0
    return x


CONTEXT = Features(ContextForestSettings(bands=6, periods=6, windows=(3, 5)), BANDS, WHEN)


@settings(max_examples=20)
@given(st.integers(0, 1000), st.sampled_from([(1,), (3, 7), (3, 5, 9)]))
def test_window_sums_are_those_of_a_loop(seed: int, sides: tuple[int, ...]) -> None:
    values = np.random.default_rng(seed).integers(0, 15_000**2, (17, 12))
    for side, found in zip(sides, window_sums(values, 4, sides), strict=True):
        reach = side // 2
        expected = [
            [values[y - reach : y + reach + 1, x - reach : x + reach + 1].sum() for x in range(4, 8)]
            for y in range(4, 13)
        ]
        np.testing.assert_array_equal(found, expected)


def test_indices_by_hand() -> None:
    one = np.array([1000, 600, 1500, 4000, 4200, 2000], np.uint16)[:, None, None]
    expected = {
        "NDVI": 3400 / 4600,
        "NDWI": -3000 / 5000,
        "NDMI": 2000 / 6000,
        "NDRE": 2700 / 5700,
        "EVI2": 2.5 * 0.34 / (0.4 + 2.4 * 0.06 + 1),
    }
    for name, value in expected.items():
        assert index_plane(name, one, BANDS)[0, 0] == pytest.approx(value, rel=1e-6)
    one[1] = 0
    assert index_plane("NDVI", one, BANDS)[0, 0] == MISSING
    assert index_plane("NDRE", one, BANDS)[0, 0] == pytest.approx(2700 / 5700)


@given(st.integers(0, 1000), st.integers(0, 2))
def test_waves_are_least_squares(seed: int, order: int) -> None:
    random = np.random.default_rng(seed)
    design = waves(WHEN, 365.25, order)
    curve, seen = random.uniform(-1, 1, (6, 5)), random.random((6, 5)) < 0.8
    found = fit_waves(curve, seen, design)
    penalty = np.sqrt(RIDGE) * np.eye(design.shape[1])[1:]
    for n in range(5):
        rows = np.vstack([design[seen[:, n]], penalty])
        right = np.concatenate([curve[seen[:, n], n], np.zeros(2 * order)])
        np.testing.assert_allclose(found[:, n], np.linalg.lstsq(rows, right)[0], atol=1e-9)


def test_a_season_of_one_wave_is_found() -> None:
    when = tuple(np.arange(12) * 30.0)
    design = waves(when, 365.25, 2)
    curve = 0.4 + 0.3 * np.cos(2 * np.pi * np.array(when) / 365.25)
    found = fit_waves(curve[:, None], np.ones((12, 1), bool), design)[:, 0]
    np.testing.assert_allclose(found, [0.4, 0.3, 0, 0, 0], atol=0.002)
    assert [order_for(periods, 2) for periods in (1, 2, 3, 4, 5, 24)] == [0, 0, 1, 1, 2, 2]


def test_texture_by_hand() -> None:
    layer = np.array([[1, 2, 3], [4, 5, 9], [7, 8, 6]], np.float32)
    assert texture(layer, MISSING)[:, 0, 0].tolist() == pytest.approx([8, np.hypot(6, 5) / 2])
    layer[1, 2] = layer[2, 1] = MISSING
    assert texture(layer, MISSING)[:, 0, 0].tolist() == pytest.approx([6, np.hypot(3, 1) / 2])
    layer[1, 1] = MISSING
    assert texture(layer, MISSING)[:, 0, 0].tolist() == [MISSING, MISSING]


def naive(x: np.ndarray, y_: int, x_: int) -> dict[str, float]:
    """Means and spreads of one pixel, from a slow loop over the seen pixels around it."""
    found = {}
    for (t, band), side in product(product(range(6), range(6)), (3, 5)):
        reach = side // 2
        around = np.minimum(x[t, band, y_ - reach : y_ + reach + 1, x_ - reach : x_ + reach + 1], 15_000)
        around = around[around > 0].astype(np.float64)
        found[f"mean {side} {BANDS[band]} of period {t}"] = around.mean() if around.size else 0.0
        found[f"spread {side} {BANDS[band]} of period {t}"] = around.std() if around.size else 0.0
    return found


def test_context_is_that_of_a_loop_over_seen_pixels() -> None:
    x = counts(9, 8)
    planes = dict(zip(CONTEXT.names, CONTEXT.planes(x, 2), strict=True))
    for y_, x_ in ((2, 2), (4, 3), (6, 5)):
        for name, value in naive(x, y_, x_).items():
            assert planes[name][y_ - 2, x_ - 2] == pytest.approx(value, rel=1e-6, abs=1e-3), name


def test_names_say_what_the_planes_hold() -> None:
    x = counts(7, 7)
    planes = dict(zip(CONTEXT.names, CONTEXT.planes(x, 2), strict=True))
    assert len(planes) == 6 * (6 + 5 + 6 * 4 + 2) + 5
    np.testing.assert_array_equal(planes["B8A of period 3"], np.minimum(x[3, 4, 2:-2, 2:-2], 15_000))
    for index in ("NDVI", "EVI2"):
        core = np.minimum(x[5, :, 2:-2, 2:-2], 15_000)
        np.testing.assert_array_equal(planes[f"{index} of period 5"], index_plane(index, core, BANDS))
    ndvi = index_plane("NDVI", np.minimum(x[1, :, 1:-1, 1:-1], 15_000), BANDS)
    np.testing.assert_array_equal(planes["gradient NDVI of period 1"], texture(ndvi, MISSING)[1])
    assert CONTEXT.names[-5:] == ("NDVI level", "NDVI cosine 1", "NDVI sine 1", "NDVI cosine 2", "NDVI sine 2")


@settings(max_examples=15)
@given(st.integers(0, 1000), st.integers(0, 6), st.integers(0, 7))
def test_a_pixel_does_not_know_where_its_array_begins(seed: int, top: int, left: int) -> None:
    x = counts(18, 19, seed)
    whole = CONTEXT.planes(x, 2)
    part = CONTEXT.planes(x[:, :, top : top + 11, left : left + 9], 2)
    np.testing.assert_array_equal(part, whole[:, top : top + 7, left : left + 5])


def test_a_wider_halo_changes_nothing() -> None:
    x = counts(18, 19)
    np.testing.assert_array_equal(CONTEXT.planes(x, 5), CONTEXT.planes(x, 2)[:, 3:-3, 3:-3])


def test_features_of_chosen_pixels() -> None:
    x = counts(18, 19)
    rows, columns = np.array([2, 7, 15]), np.array([16, 2, 9])
    np.testing.assert_array_equal(CONTEXT.at(x, rows, columns), CONTEXT.planes(x, 2)[:, rows - 2, columns - 2].T)
    with pytest.raises(Misfit, match="farther inside"):
        CONTEXT.at(x, np.array([1]), np.array([5]))
    with pytest.raises(Misfit, match="farther inside"):
        CONTEXT.at(x, np.array([5]), np.array([17]))


def test_no_data_has_one_rule() -> None:
    planes = dict(zip(CONTEXT.names, CONTEXT.planes(np.zeros((6, 6, 5, 5), np.uint16), 2), strict=True))
    for name, plane in planes.items():
        assert (plane == (0 if name.split()[0] in {*BANDS, "mean", "spread"} else MISSING)).all(), name


def test_bands_decide_what_can_be_made() -> None:
    few = Features(ForestSettings(bands=2, periods=1), ("B02", "B03"), (100.0,))
    assert few.names == ("B02 of period 0", "B03 of period 0")
    assert few.planes(np.ones((1, 2, 3, 3), np.uint16), 0).shape == (2, 3, 3)
    season = Features(ForestSettings(bands=2, periods=3), ("B04", "B08"), (100.0, 150.0, 200.0))
    assert len(season.names) == 3 * 4 + 3


@pytest.mark.parametrize("wrong", [{"windows": (4,)}, {"windows": (7, 3)}, {"windows": ()}, {"windows": (3, 65)}])
def test_odd_windows_are_refused(wrong: dict[str, tuple[int, ...]]) -> None:
    with pytest.raises(Misfit, match="windows"):
        ContextForestSettings(**wrong)


@pytest.mark.parametrize("wrong", [{"trees": 0}, {"leaf": 0}, {"depth": -1}, {"cycle": 0.0}, {"cycle": float("nan")}])
def test_odd_numbers_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(Misfit, match="ForestSettings"):
        ForestSettings(**wrong)  # type: ignore[arg-type]
