"""Agreement beyond chance against the worked example and scikit-learn."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as oracle

from models.agreement import kappa_of_classes, matthews, one_against_rest
from models.metrics import Confusion, confusion, score

WORKED = Confusion(np.array([[50, 3, 2], [5, 30, 5], [1, 4, 20]]), np.zeros(3, np.int64))


def test_worked_example() -> None:
    kappas = kappa_of_classes(WORKED)
    np.testing.assert_allclose(kappas, [0.8156425, 0.6751592, 0.7055215], atol=1e-7)
    assert kappas.mean() == pytest.approx(0.7321077, abs=1e-7)
    assert matthews(WORKED) == pytest.approx(0.7386987, abs=1e-7)
    tp, _, _, tn = one_against_rest(WORKED)
    assert ((tp + tn) / 120).mean() == pytest.approx(0.8888889, abs=1e-7)


def test_kappa_is_neither_a_mean_over_classes_nor_the_misprint() -> None:
    """A formula in print has TP + TN + FP + FN above the line: it would give 0.02 here."""
    kappa = score(WORKED).kappa
    tp, fp, fn, tn = one_against_rest(WORKED)
    misprint = 2 * (tp + tn + fp + fn) / ((tp + fp) * (fp + tn) + (tp + fn) * (fn + tn))
    expected_agreement = (55 * 56 + 40 * 37 + 25 * 27) / 120**2
    assert expected_agreement == pytest.approx(0.3635417, abs=1e-7)
    assert kappa == pytest.approx((100 / 120 - expected_agreement) / (1 - expected_agreement))
    assert abs(kappa - kappa_of_classes(WORKED).mean()) > 0.005
    assert misprint.max() < 0.1


@given(st.integers(0, 10_000))
def test_against_scikit_learn(seed: int) -> None:
    random = np.random.default_rng(seed)
    truth = np.concatenate([np.arange(4), random.integers(0, 4, 50)])
    predicted = np.where(random.random(54) < 0.6, truth, random.integers(0, 4, 54))
    counted = confusion(truth, predicted, 4)
    expected = [oracle.cohen_kappa_score(truth == k, predicted == k) for k in range(4)]
    np.testing.assert_allclose(kappa_of_classes(counted), expected, atol=1e-12)
    assert matthews(counted) == pytest.approx(oracle.matthews_corrcoef(truth, predicted))


def test_without_variety_nothing_is_said() -> None:
    only = confusion(np.zeros(5, int), np.zeros(5, int), 2)
    assert np.isnan(kappa_of_classes(only)).all()
    assert np.isnan(matthews(only))
