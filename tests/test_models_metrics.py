"""Scores against a worked example, scikit-learn, and the law that confusion matrices add."""

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn import metrics as oracle

from models.errors import Misfit
from models.metrics import Confusion, confusion, score

WORKED = Confusion(np.array([[50, 3, 2], [5, 30, 5], [1, 4, 20]]), np.zeros(3, np.int64))

labels = hnp.arrays(np.uint8, st.integers(0, 60), elements=st.sampled_from([0, 1, 2, 3, 255]))


def test_worked_example() -> None:
    found = score(WORKED)
    assert found.pixel_accuracy == pytest.approx(0.8333333, abs=1e-7)
    assert found.kappa == pytest.approx(0.7381342, abs=1e-7)
    assert found.mean_iou == pytest.approx(0.6943233, abs=1e-7)
    assert found.mean_f1 == pytest.approx(0.8164508, abs=1e-7)
    assert found.frequency_weighted_iou == pytest.approx(0.7186574, abs=1e-7)
    assert found.mean_class_accuracy == pytest.approx((0.9090909 + 0.75 + 0.8) / 3, abs=1e-7)
    assert found.mean_precision == pytest.approx((0.8928571 + 0.8108108 + 0.7407407) / 3, abs=1e-7)
    np.testing.assert_allclose(found.iou, [0.8196721, 0.6382979, 0.625], atol=1e-7)
    np.testing.assert_allclose(found.f1, [0.9009009, 0.7792208, 0.7692308], atol=1e-7)
    np.testing.assert_allclose(found.precision, [0.8928571, 0.8108108, 0.7407407], atol=1e-7)
    np.testing.assert_allclose(found.recall, [0.9090909, 0.75, 0.8], atol=1e-7)
    assert found.support.tolist() == [55, 40, 25]


@given(st.data())
def test_matrices_add(data: st.DataObject) -> None:
    truth = data.draw(labels)
    predicted = data.draw(hnp.arrays(np.uint8, truth.shape, elements=st.sampled_from([0, 1, 2, 3, 255])))
    cut = data.draw(st.integers(0, len(truth)))
    parts = confusion(truth[:cut], predicted[:cut], 4) + confusion(truth[cut:], predicted[cut:], 4)
    whole = confusion(truth, predicted, 4)
    assert parts == whole == whole + Confusion.empty(4)
    assert whole.matrix.sum() + whole.unmapped.sum() == (truth != 255).sum()


@given(st.integers(0, 10_000))
def test_against_scikit_learn(seed: int) -> None:
    random = np.random.default_rng(seed)
    truth = np.concatenate([np.arange(4), random.integers(0, 4, 50)])
    predicted = np.where(random.random(54) < 0.6, truth, random.integers(0, 4, 54))
    found = score(confusion(truth, predicted, 4))
    settings: dict[str, Any] = {"average": None, "zero_division": np.nan}
    assert found.pixel_accuracy == pytest.approx(oracle.accuracy_score(truth, predicted))
    assert found.mean_class_accuracy == pytest.approx(oracle.balanced_accuracy_score(truth, predicted))
    assert found.kappa == pytest.approx(oracle.cohen_kappa_score(truth, predicted))
    np.testing.assert_allclose(found.precision, oracle.precision_score(truth, predicted, **settings))
    np.testing.assert_allclose(found.recall, oracle.recall_score(truth, predicted, **settings))
    np.testing.assert_allclose(found.f1, oracle.f1_score(truth, predicted, **settings))
    np.testing.assert_allclose(found.iou, oracle.jaccard_score(truth, predicted, average=None))
    expected = oracle.jaccard_score(truth, predicted, average="weighted")
    assert found.frequency_weighted_iou == pytest.approx(expected)


def test_rows_are_the_truth() -> None:
    assert confusion(np.array([0, 0]), np.array([1, 1]), 2).matrix.tolist() == [[0, 2], [0, 0]]


def test_absent_classes() -> None:
    """Class 2 is nowhere and is skipped; class 1 is only predicted and counts as 0, but has no recall."""
    found = score(confusion(np.array([0, 0, 0, 0]), np.array([0, 0, 0, 1]), 3))
    assert found.mean_iou == pytest.approx((0.75 + 0.0) / 2)
    assert found.mean_f1 == pytest.approx((6 / 7 + 0.0) / 2)
    assert found.mean_class_accuracy == pytest.approx(0.75)
    assert found.mean_precision == pytest.approx((1.0 + 0.0) / 2)


def test_unmapped_ground_is_counted_beside() -> None:
    truth, predicted = np.array([0, 0, 1, 1, 255], np.uint8), np.array([0, 255, 1, 1, 255], np.uint8)
    counted = confusion(truth, predicted, 2)
    found = score(counted)
    assert counted.unmapped.tolist() == [1, 0]
    assert (found.pixel_accuracy, found.mapped, found.support.tolist()) == (1.0, 0.75, [1, 2])


def test_dictionary_is_plain_json() -> None:
    values = score(confusion(np.array([0, 0]), np.array([0, 1]), 3)).as_dict(["background", "maize", "wheat"])
    assert json.loads(json.dumps(values, allow_nan=False)) == values
    assert values["classes"]["wheat"] == {
        "precision": None, "recall": None, "f1": None, "iou": None, "support": 0, "unmapped": 0,
    }  # fmt: skip
    assert values["pixels"] == 2
    assert score(Confusion.empty(2)).as_dict()["mean_iou"] is None


def test_unknown_classes_and_shapes_are_refused() -> None:
    with pytest.raises(Misfit, match="truth with classes 0 to 7"):
        confusion(np.array([0, 7]), np.array([0, 0]), 3)
    with pytest.raises(Misfit, match="map with classes"):
        confusion(np.array([0, 0]), np.array([0, 7]), 3)
    with pytest.raises(Misfit, match="shapes"):
        confusion(np.zeros(2, int), np.zeros(3, int), 3)
