"""Calibration against worked numbers, and temperatures that must be found again."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import softmax

from models.calibration import (
    Reliability,
    Temperature,
    brier,
    fit_temperature,
    fit_temperature_and_bias,
    negative_log_likelihood,
    reliability,
)
from models.errors import Misfit

P = np.array([[0.7, 0.2, 0.1], [0.1, 0.8, 0.1], [0.3, 0.3, 0.4], [0.2, 0.2, 0.6]])
Y = np.array([0, 1, 2, 2])
CONFIDENCE = np.array([0.95, 0.9, 0.85, 0.75, 0.65, 0.55, 0.45, 0.95, 0.35, 0.7])
RIGHT = np.array([1, 1, 0, 1, 1, 0, 0, 1, 0, 1], bool)


def drawn(logits: np.ndarray, seed: int = 0) -> np.ndarray:
    """Truth that the softmax of these logits tells rightly."""
    p = softmax(logits, axis=1)
    return np.asarray((p.cumsum(axis=1) < np.random.default_rng(seed).random((len(p), 1))).sum(axis=1))


def test_worked_examples() -> None:
    assert brier(P, Y) == pytest.approx(0.245)
    assert negative_log_likelihood(P, Y) == pytest.approx(0.5017337, abs=1e-7)
    hot = Temperature(2.0).probabilities(np.log(P))
    assert negative_log_likelihood(hot, Y) == pytest.approx(0.7389772, abs=1e-7)
    assert reliability(CONFIDENCE, RIGHT, bins=5).error == pytest.approx(0.29)
    assert reliability(CONFIDENCE, RIGHT, bins=5).count.tolist() == [0, 1, 2, 3, 4]


def test_a_confidence_on_an_edge_belongs_below_it() -> None:
    assert reliability(np.array([0.0, 0.2, 0.6, 1.0]), np.ones(4, bool), bins=5).count.tolist() == [2, 0, 1, 0, 1]


@given(st.integers(0, 10), st.integers(1, 20))
def test_parts_add(cut: int, bins: int) -> None:
    parts = [reliability(CONFIDENCE[part], RIGHT[part], bins) for part in (slice(cut), slice(cut, None))]
    assert (parts[0] + parts[1]).error == pytest.approx(reliability(CONFIDENCE, RIGHT, bins).error)


def test_temperature_is_found_again() -> None:
    true = np.random.default_rng(1).normal(0, 1.5, (20_000, 4))
    truth, said = drawn(true), true * 3.0
    found = fit_temperature(said, truth)
    assert found.value == pytest.approx(3.0, rel=0.05)
    before, after = softmax(said, axis=1), found.probabilities(said)
    assert negative_log_likelihood(after, truth) < negative_log_likelihood(before, truth)
    errors = [reliability(p.max(axis=1), p.argmax(axis=1) == truth).error for p in (before, after)]
    assert errors[1] < 0.02 < errors[0]
    np.testing.assert_array_equal(after.argmax(axis=1), said.argmax(axis=1))
    nearby = [negative_log_likelihood(Temperature(found.value * f).probabilities(said), truth) for f in (0.98, 1.02)]
    assert min(nearby) > negative_log_likelihood(after, truth)


def test_bias_is_found_again() -> None:
    true = np.random.default_rng(2).normal(0, 1.5, (20_000, 3))
    bias = np.array([0.8, -0.2, -0.6])
    found = fit_temperature_and_bias((true - bias) * 2.0, drawn(true))
    assert found.value == pytest.approx(2.0, rel=0.05)
    np.testing.assert_allclose(found.bias, bias, atol=0.06)
    assert sum(found.bias) == pytest.approx(0, abs=1e-9)
    mean = found.probabilities((true - bias) * 2.0).mean(axis=0)
    np.testing.assert_allclose(mean, np.bincount(drawn(true)) / 20_000, atol=1e-4)


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(Misfit, match="truth 0 to 5"):
        brier(P, np.array([0, 1, 2, 5]))
    with pytest.raises(Misfit, match="same pixels"):
        fit_temperature(P, Y[:2])
    with pytest.raises(Misfit, match="finite"):
        negative_log_likelihood(P * np.nan, Y)
    with pytest.raises(Misfit, match=r"0\.\.1"):
        reliability(CONFIDENCE * 100, RIGHT)
    with pytest.raises(Misfit, match="above 0"):
        Temperature(0.0)
    assert np.isnan(Reliability(*np.zeros((3, 5))).error)
