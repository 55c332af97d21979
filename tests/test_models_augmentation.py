"""Augmentations of a season: dates moved together, periods lost, a smooth change of brightness."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.augmentation import Augmentation, augment, draw
from models.errors import Misfit

STILL = Augmentation(turn=False, gain=0.0, noise=0.0, drop=0.0)


def only(**options: object) -> Augmentation:
    return Augmentation(**{"turn": False, "gain": 0.0, "noise": 0.0, "drop": 0.0} | options)  # type: ignore[arg-type]


def a_patch(periods: int = 12) -> np.ndarray:
    x = np.random.default_rng(1).integers(1, 9000, (periods, 3, 6, 6)).astype(np.uint16)
    x[-1, :, :2] = 0
    return x


def varied(settings: Augmentation, seed: int, periods: int = 12) -> np.ndarray:
    found, _ = augment(a_patch(periods), np.zeros((6, 6), np.uint8), settings, np.random.default_rng(seed))
    return found


def shift_of(settings: Augmentation, seed: int) -> float:
    return draw(settings, (12, 3, 6, 6), np.random.default_rng(seed)).shift


def test_dates_move_both_ways_by_any_amount() -> None:
    moved = [shift_of(only(shift=60.0), seed) for seed in range(400)]
    assert max(map(abs, moved)) <= 60 and min(moved) < -55 and max(moved) > 55 and abs(np.mean(moved)) < 6


def test_without_amounts_nothing_varies() -> None:
    assert np.array_equal(varied(STILL, 0), a_patch())
    assert shift_of(STILL, 0) == 0
    assert np.array_equal(varied(only(warp=0.0, warp_chance=1.0), 0), a_patch())


@given(st.integers(0, 1000))
def test_a_share_of_the_periods_is_lost(seed: int) -> None:
    found = varied(only(lose=(0.2, 0.4)), seed)
    lost = (found == 0).all(axis=(1, 2, 3))
    assert 2 <= lost.sum() <= 5
    assert np.array_equal(found[~lost], a_patch()[~lost])


def test_every_period_can_be_lost_but_never_all() -> None:
    lost = np.zeros(12, bool)
    for seed in range(60):
        lost |= (varied(only(lose=(0.2, 0.4)), seed) == 0).all(axis=(1, 2, 3))
    assert lost.all()
    assert varied(only(lose=(0.98, 0.99)), 0, periods=3).any()
    assert varied(only(lose=(0.9, 0.9)), 0, periods=1).any()


@given(st.integers(0, 300))
def test_a_warp_is_one_smooth_factor_a_period(seed: int) -> None:
    """A spline through five knots has one cubic before the third and one behind it: their fourth differences are 0."""
    found, given_ = varied(only(warp=0.1, warp_chance=1.0), seed), a_patch().astype(float)
    assert np.array_equal(found == 0, given_ == 0)
    with np.errstate(invalid="ignore", divide="ignore"):
        factors = np.where((given_ > 2000), found / given_, np.nan)
    factor = np.nanmean(factors, axis=(1, 2, 3))
    assert np.nanmax(np.abs(factors - factor[:, None, None, None])) < 1e-4
    assert np.abs(np.diff(factor[:6], n=4)).max() < 1e-3 and np.abs(np.diff(factor[6:], n=4)).max() < 1e-3
    assert np.ptp(factor) > 0


def test_a_warp_is_of_the_size_and_as_frequent_as_asked() -> None:
    settings = only(warp=0.1)
    first = np.array([varied(settings, seed)[0, 0, 0, 0] / a_patch()[0, 0, 0, 0] for seed in range(800)])
    warped = first != 1
    assert 0.2 < warped.mean() < 0.3
    assert np.std(first[warped]) == pytest.approx(0.1, rel=0.2)


@pytest.mark.parametrize(
    "wrong",
    [{"shift": -1.0}, {"lose": (0.4, 0.2)}, {"lose": (0.0, 1.0)}, {"warp": -0.1}, {"warp_chance": 1.5}, {"drop": 2.0}],
)
def test_amounts_that_mean_nothing_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(Misfit):
        Augmentation(**wrong)  # type: ignore[arg-type]
