"""The pixels a forest learns from: limits hold, order does not matter, and parts compose."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.errors import Misfit
from models.pixel_sampling import PixelLimits, choose_pixels, thin_parcels

LIMITS = PixelLimits(each_class=40, each_parcel=6)


def country(seed: int, count: int = 400) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Parcels of one class each, ground outside, and pixels without a label."""
    random = np.random.default_rng(seed)
    parcel = random.integers(0, 25, count).astype(np.uint32)
    truth = (parcel % 4).astype(np.uint8)
    truth[random.random(count) < 0.1] = 255
    return truth, parcel, np.arange(count, dtype=np.uint64)


@given(st.integers(0, 1000), st.integers(1, 80), st.integers(1, 30))
def test_limits_hold_and_nothing_is_wasted(seed: int, each_class: int, each_parcel: int) -> None:
    truth, parcel, key = country(seed)
    chosen = choose_pixels(truth, parcel, key, PixelLimits(each_class, each_parcel))
    assert (np.diff(chosen) > 0).all()
    for crop in range(4):
        mine = chosen[truth[chosen] == crop]
        candidates = [min(each_parcel if p else 10**6, ((parcel == p) & (truth == crop)).sum()) for p in range(25)]
        assert len(mine) == min(each_class, sum(candidates))
    inside = parcel[chosen][parcel[chosen] > 0]
    assert np.bincount(inside, minlength=1).max(initial=0) <= each_parcel
    assert (truth[chosen] != 255).all()


@given(st.integers(0, 1000))
def test_order_does_not_matter(seed: int) -> None:
    truth, parcel, key = country(seed)
    shuffled = np.random.default_rng(seed).permutation(len(truth))
    again = choose_pixels(truth[shuffled], parcel[shuffled], key[shuffled], LIMITS)
    np.testing.assert_array_equal(np.sort(shuffled[again]), choose_pixels(truth, parcel, key, LIMITS))


@given(st.integers(0, 1000), st.integers(0, 400))
def test_parts_and_then_all_is_all_at_once(seed: int, cut: int) -> None:
    country_of = country(seed)
    parts = [tuple(values[part] for values in country_of) for part in (slice(cut), slice(cut, None))]
    left = [tuple(v[thin_parcels(*part, LIMITS)] for v in part) for part in parts]
    truth, parcel, key = (np.concatenate(values) for values in zip(*left, strict=True))
    found = key[choose_pixels(truth, parcel, key, LIMITS)]
    np.testing.assert_array_equal(found, choose_pixels(*country_of, LIMITS))


def test_seeds_differ_and_choices_spread() -> None:
    truth, parcel, key = np.zeros(10_000, np.uint8), np.zeros(10_000, np.uint32), np.arange(10_000, dtype=np.uint64)
    first, second = (choose_pixels(truth, parcel, key, PixelLimits(1000, seed=seed)) for seed in (0, 1))
    assert 50 < len(np.intersect1d(first, second)) < 150  # as if drawn anew: 100 of 1,000
    assert abs(first.mean() - 5000) < 400


def test_what_does_not_fit_is_refused() -> None:
    truth, parcel, key = country(0)
    with pytest.raises(Misfit, match="share one"):
        choose_pixels(truth, parcel, key * 0, LIMITS)
    with pytest.raises(Misfit, match="Flatten"):
        choose_pixels(truth, parcel[1:], key, LIMITS)
    with pytest.raises(Misfit, match="at least one"):
        PixelLimits(each_class=0)
    assert len(choose_pixels(truth[:0], parcel[:0], key[:0], LIMITS)) == 0
