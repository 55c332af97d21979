"""Totals from samples: exact where cost follows size, honest where it does not."""

from math import inf

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.errors import Misfit
from models.ratio import NOTHING, Total, total_of

sizes = st.lists(st.floats(0.5, 100), min_size=2, max_size=20)


@given(sizes, st.floats(0.01, 50), st.floats(0, 1e6))
def test_where_cost_follows_size_it_is_known_exactly(sizes: list[float], rate: float, whole: float) -> None:
    found = total_of([rate * size for size in sizes], sizes, whole)
    assert found.value == pytest.approx(rate * whole)
    assert found.high - found.low == pytest.approx(0, abs=1e-5 * rate * max(whole, 1))


def test_by_hand() -> None:
    """Costs 2, 4 and 9 of sizes 1, 2 and 3: a ratio of 2.5, residuals -0.5, -1 and 1.5, t(2) = 4.303."""
    found = total_of([2, 4, 9], [1, 2, 3], 100)
    half = 4.302653 * np.sqrt(3.5 / 2 / 3) / 2 * 100
    assert found.value == pytest.approx(250)
    assert (found.low, found.high) == (pytest.approx(250 - half), pytest.approx(250 + half))


def test_one_says_nothing_of_how_they_differ_and_none_of_anything() -> None:
    assert total_of([3], [1], 10) == Total(30, 0, inf)
    assert total_of([3], [1], 0) == NOTHING
    assert total_of([3], [1], 10) * 0 == NOTHING
    with pytest.raises(Misfit, match="Probe again"):
        total_of([], [], 10)


def test_intervals_hold_the_truth_about_as_often_as_they_promise() -> None:
    rng = np.random.default_rng(0)
    size = rng.integers(2, 30, 2000).astype(float)
    cost = size * rng.gamma(8, 0.5, 2000) + rng.gamma(2, 1, 2000)
    inside = 0
    for _ in range(1000):
        drawn = rng.choice(2000, 6, replace=False)
        found = total_of(cost[drawn].tolist(), size[drawn].tolist(), float(size.sum()))
        inside += found.low <= cost.sum() <= found.high
    print(f"{inside} of 1000 intervals of six hold the truth")
    assert 900 <= inside <= 985


def test_independent_errors_add_like_the_sides_of_a_right_angle() -> None:
    assert Total(10, 7, 14) + Total(5, 1, 8) == Total(15, 10, 20)
    assert Total(10, 7, 14) * 2 == Total(20, 14, 28)
