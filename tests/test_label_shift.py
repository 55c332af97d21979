"""Corrections for other shares of classes: worked examples, and shares that must be found again."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.errors import Misfit
from models.label_shift import shares_by_bbse, shares_by_em, undo_weights, with_prior

ROWS = np.array([
    [0.8, 0.1, 0.1], [0.6, 0.3, 0.1], [0.2, 0.7, 0.1], [0.1, 0.2, 0.7], [0.05, 0.15, 0.8], [0.1, 0.1, 0.8],
])  # fmt: skip
JOINT = np.array([[0.40, 0.05, 0.02], [0.06, 0.20, 0.04], [0.04, 0.05, 0.14]])
ANSWERED = np.array([0.25, 0.30, 0.45])
SOURCE = np.array([0.5, 0.3, 0.2])


def test_worked_examples() -> None:
    undone = undo_weights(np.array([0.2, 0.5, 0.3]), np.array([1.0, 4.0, 2.0]))
    np.testing.assert_allclose(undone, [0.421053, 0.263158, 0.315789], atol=5e-7)
    moved = with_prior(np.array([0.6, 0.3, 0.1]), SOURCE, np.array([0.2, 0.3, 0.5]))
    np.testing.assert_allclose(moved, [0.303797, 0.379747, 0.316456], atol=5e-7)
    found = shares_by_em(ROWS, np.ones(3) / 3)
    assert found.converged
    np.testing.assert_allclose(found.share_K, [0.34477, 0.08989, 0.56535], atol=6e-6)
    solved = shares_by_bbse(JOINT, ANSWERED, SOURCE)
    np.testing.assert_allclose(solved.ratio_K, [0.38153, 0.82329, 2.81124], atol=6e-6)
    np.testing.assert_allclose(solved.share_K, [0.19076, 0.24699, 0.56225], atol=6e-6)


def country(share: np.ndarray, count: int = 40_000, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Truth, true probabilities under a source of equal shares, and answers: classes scatter around places."""
    random = np.random.default_rng(seed)
    truth = random.choice(3, count, p=share)
    seen = truth + random.normal(0, 0.5, count)
    p = np.exp(-((seen[:, None] - np.arange(3)) ** 2) / 0.5)
    p /= p.sum(axis=1, keepdims=True)
    return truth, p, p.argmax(axis=1)


def test_shares_of_a_country_are_found_again() -> None:
    grown, p, answered = country(np.array([0.1, 0.25, 0.65]))
    target = np.bincount(grown) / len(grown)
    assert np.abs(p.mean(axis=0) - target).max() > 0.03  # counting is not enough
    np.testing.assert_allclose(shares_by_em(p, np.ones(3) / 3).share_K, target, atol=0.01)
    truth, _, source_answered = country(np.ones(3) / 3, seed=1)
    joint = np.bincount(source_answered * 3 + truth, minlength=9).reshape(3, 3) / len(truth)
    solved = shares_by_bbse(joint, np.bincount(answered) / len(answered), joint.sum(axis=0))
    np.testing.assert_allclose(solved.share_K, target, atol=0.015)


@given(st.integers(0, 1000))
def test_weights_and_priors_are_one_law(seed: int) -> None:
    """A class that weighed w in training looks w times as frequent; the same shares change nothing."""
    random = np.random.default_rng(seed)
    p, w = random.dirichlet(np.ones(4), 5), random.uniform(0.2, 5, 4)
    np.testing.assert_allclose(undo_weights(p, w), with_prior(p, w, np.ones(4)))
    np.testing.assert_allclose(with_prior(p, w, w), p)
    np.testing.assert_allclose(undo_weights(p * w, w), p)


def test_penalty_pulls_toward_no_shift_and_tells_what_cannot_be_told_apart() -> None:
    np.testing.assert_allclose(shares_by_bbse(JOINT, ANSWERED, SOURCE, toward_one=1e6).ratio_K, 1, atol=1e-3)
    alike = np.outer([0.5, 0.3, 0.2], [0.5, 0.3, 0.2])
    with pytest.raises(Misfit, match="told apart"):
        shares_by_bbse(alike, ANSWERED, SOURCE)
    assert shares_by_bbse(alike, ANSWERED, SOURCE, toward_one=0.01).share_K.sum() == pytest.approx(1)


def test_ratios_are_never_negative() -> None:
    assert shares_by_bbse(JOINT, np.array([0.0, 0.1, 0.9]), SOURCE).ratio_K.min() == 0


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(Misfit, match="class weights"):
        undo_weights(ROWS, np.ones(2))
    with pytest.raises(Misfit, match="above 0"):
        with_prior(ROWS, np.array([1.0, 0.0, 1.0]), np.ones(3))
    with pytest.raises(Misfit, match="zero for all"):
        with_prior(np.array([[1.0, 0.0, 0.0]]), np.ones(3), np.array([0.0, 0.5, 0.5]))
    with pytest.raises(Misfit, match="square"):
        shares_by_bbse(JOINT[:2], ANSWERED, SOURCE)
