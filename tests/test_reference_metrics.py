"""The official scores of PASTIS and DACIA5, by hand and against scikit-learn."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as oracle

from models.errors import Misfit
from models.reference_metrics import (
    dacia5_confusion,
    dacia5_early_score,
    dacia5_score,
    pastis_confusion,
    pastis_score,
)


def test_pastis_by_hand() -> None:
    """Background 8 of 10 right, class 3 has 4 of 6, two of which were answered with 0; void is in neither.

    Background: 8 right, 2 answered with 3, 2 of class 3 answered with it: 8 / 12. Class 3: 4 / (4 + 2 + 2) = 1 / 2.
    """
    truth = np.array([0] * 10 + [3] * 6 + [19] * 50)
    answers = np.array([0] * 8 + [3] * 2 + [3] * 4 + [0] * 2 + [3] * 50)
    found = pastis_score(pastis_confusion(truth, answers))
    assert found.mean_iou_with_background == pytest.approx((8 / 12 + 1 / 2) / 2)
    assert found.mean_iou_crops_only == pytest.approx(1 / 2)
    assert found.pixel_accuracy == pytest.approx(12 / 16)
    assert found.pixels == 16
    assert np.isnan(found.iou[[1, 2, *range(4, 19)]]).all()


def test_an_answer_of_void_vanishes() -> None:
    """As in the official code: six pixels of class 3, two answered with void, and the class is still perfect."""
    truth, answers = np.array([0, 0] + [3] * 6), np.array([0, 0] + [3] * 4 + [19] * 2)
    found = pastis_score(pastis_confusion(truth, answers))
    assert (found.mean_iou_with_background, found.pixel_accuracy, found.pixels) == (1.0, 1.0, 6)


def test_folds_are_added_and_not_averaged() -> None:
    """Class 1: 90 of 90 in one fold, 0 of 10 in the other: 0.9 and not 0.5."""
    one = pastis_confusion(np.ones(90, int), np.ones(90, int))
    other = pastis_confusion(np.ones(10, int), np.full(10, 2))
    assert pastis_score(one, other).iou[1] == pytest.approx(0.9)
    assert pastis_score(one).iou[1] == 1.0


@given(st.integers(0, 10_000))
def test_pastis_against_scikit_learn(seed: int) -> None:
    random = np.random.default_rng(seed)
    truth, answers = random.integers(0, 20, 600), random.integers(0, 20, 600)
    answers = np.where(random.random(600) < 0.5, truth, answers)
    parts = [pastis_confusion(truth[i::5], answers[i::5]) for i in range(5)]
    kept = (truth != 19) & (answers != 19)
    iou = oracle.jaccard_score(truth[kept], answers[kept], labels=list(range(19)), average=None)
    found = pastis_score(*parts)
    np.testing.assert_allclose(found.iou, iou)
    assert found.mean_iou_with_background == pytest.approx(iou.mean())
    assert found.mean_iou_crops_only == pytest.approx(iou[1:].mean())
    assert found.pixel_accuracy == pytest.approx(oracle.accuracy_score(truth[kept], answers[kept]))


def test_dacia5_by_hand() -> None:
    """Wheat 6 of 8, corn 1 of 2: average 0.625, overall 0.7, Q the middle; two unlabelled pixels are left out."""
    truth = np.array([0] * 8 + [1] * 2 + [255] * 2, np.uint8)
    answers = np.array([0] * 6 + [1] * 2 + [1, 4] + [0, 254], np.uint8)
    found = dacia5_score(dacia5_confusion(truth, answers))
    assert found.average_accuracy == pytest.approx((6 / 8 + 1 / 2) / 2)
    assert found.overall_accuracy == pytest.approx(7 / 10)
    assert found.q == pytest.approx((0.625 + 0.7) / 2)
    assert found.counted == 10


def test_dacia5_counts_what_is_no_class_as_wrong() -> None:
    truth, answers = np.array([2, 2], np.uint8), np.array([2, 254], np.uint8)
    found = dacia5_score(dacia5_confusion(truth, answers))
    assert (found.q, found.counted) == (0.5, 2)
    assert dacia5_score(dacia5_confusion(np.array([0, 1]), np.array([254, 1]))).q == 0.5


@given(st.integers(0, 10_000))
def test_dacia5_against_scikit_learn(seed: int) -> None:
    random = np.random.default_rng(seed)
    truth = np.concatenate([np.arange(7), random.integers(0, 7, 80)])
    answers = np.where(random.random(87) < 0.6, truth, random.integers(0, 7, 87))
    found = dacia5_score(dacia5_confusion(truth[:40], answers[:40]), dacia5_confusion(truth[40:], answers[40:]))
    assert found.average_accuracy == pytest.approx(oracle.balanced_accuracy_score(truth, answers))
    assert found.overall_accuracy == pytest.approx(oracle.accuracy_score(truth, answers))
    np.testing.assert_allclose(found.class_accuracy, oracle.recall_score(truth, answers, average=None))
    assert found.q == pytest.approx((found.average_accuracy + found.overall_accuracy) / 2)


def test_the_early_score_is_the_mean_of_two() -> None:
    """Winter wheat 9 of 10, alfalfa 1 of 2: 0.7, however few alfalfa there are."""
    truth, answers = np.array([0] * 10 + [1] * 2), np.array([0] * 9 + [1] + [1, 0])
    assert dacia5_early_score(dacia5_confusion(truth, answers, 2)).q == pytest.approx(0.7)
    with pytest.raises(Misfit, match="Problem 2 has two"):
        dacia5_early_score(dacia5_confusion(truth, answers, 7))


def test_scores_say_whether_background_is_in_them() -> None:
    pastis = pastis_score(pastis_confusion(np.array([0, 1]), np.array([0, 1]))).as_dict()
    dacia5 = dacia5_score(dacia5_confusion(np.array([0]), np.array([0]))).as_dict()
    assert pastis["mean_iou_19_classes_with_background"] == pastis["mean_iou_18_crops_without_background"] == 1.0
    assert dacia5["class_accuracy_without_background"] == [1.0] + [None] * 6
    assert json.loads(json.dumps([pastis, dacia5], allow_nan=False)) == [pastis, dacia5]


def test_other_labels_shapes_and_matrices_are_refused() -> None:
    with pytest.raises(Misfit, match="truth with labels 0 to 20"):
        pastis_confusion(np.array([0, 20]), np.array([0, 0]))
    with pytest.raises(Misfit, match="answers with labels"):
        pastis_confusion(np.array([0, 0]), np.array([0, 255]))
    with pytest.raises(Misfit, match="truth with labels"):
        dacia5_confusion(np.array([7]), np.array([0]))
    with pytest.raises(Misfit, match="shapes differ"):
        pastis_confusion(np.zeros(2, int), np.zeros(3, int))
    with pytest.raises(Misfit, match="a matrix"):
        pastis_score(np.zeros((11, 11), np.int64))
