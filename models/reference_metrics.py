"""The official scores of PASTIS and DACIA5, counted as their authors do: only such numbers compare with published ones.

They differ from `models.metrics`: PASTIS takes pixels out of the matrix that were answered with void, and DACIA5 has
no intersection over union.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.errors import Misfit

PASTIS_CLASSES = 20
"""Background 0, crops 1 to 18, void 19."""
VOID = 19

IGNORE = 255
DACIA5_CLASSES = 7

Counts = NDArray[np.int64]
Values = NDArray[np.float64]
Labels = NDArray[np.integer[Any]]


@dataclass(frozen=True, eq=False)
class PastisScore:
    """Scores without void, from 0 to 1; a class that is neither in the truth nor in the answers is in no mean."""

    mean_iou_with_background: float
    """Over the 19 classes 0 to 18: the official number."""
    mean_iou_crops_only: float
    """Over the 18 crops: what some papers report instead, told apart so that the two are never compared."""
    pixel_accuracy: float
    iou: Values
    """Of the classes 0 to 18."""
    pixels: int

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON; what is undefined becomes null."""
        return {
            "mean_iou_19_classes_with_background": _plain(self.mean_iou_with_background),
            "mean_iou_18_crops_without_background": _plain(self.mean_iou_crops_only),
            "pixel_accuracy_with_background": _plain(self.pixel_accuracy),
            "iou": [_plain(value) for value in self.iou],
            "pixels": self.pixels,
        }


def pastis_confusion(truth: Labels, predicted: Labels) -> Counts:
    """Pixels by true label (20 rows) and answered label (20 columns), void among both."""
    return _confusion(truth, predicted, PASTIS_CLASSES, PASTIS_CLASSES)


def pastis_score(*folds: Counts) -> PastisScore:
    """The score of one fold's matrix, or of all five: matrices are added first, so folds are not averaged.

    Row and column of void are dropped. A pixel of any class that was answered with void thus vanishes, where one would
    expect a miss; a network that may answer void is scored too kindly.
    """
    for matrix in folds:
        _check_matrix(matrix, (PASTIS_CLASSES, PASTIS_CLASSES))
    counted = sum(folds, np.zeros((PASTIS_CLASSES, PASTIS_CLASSES), np.int64))[:VOID, :VOID].astype(np.float64)
    hit = np.diag(counted)
    iou = _ratio(hit, counted.sum(axis=0) + counted.sum(axis=1) - hit)
    return PastisScore(
        mean_iou_with_background=_mean(iou),
        mean_iou_crops_only=_mean(iou[1:]),
        pixel_accuracy=_share(hit.sum(), counted.sum()),
        iou=iou,
        pixels=int(counted.sum()),
    )


@dataclass(frozen=True, eq=False)
class Dacia5Score:
    """Scores from 0 to 1. There is no background: unlabelled ground is not counted."""

    q: float
    average_accuracy: float
    """The mean over the classes of the truth of the share of each that was answered rightly."""
    overall_accuracy: float
    class_accuracy: Values
    """NaN for a class that the truth does not have."""
    counted: int

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON; what is undefined becomes null."""
        overall = {"q": self.q, "average_accuracy": self.average_accuracy, "overall_accuracy": self.overall_accuracy}
        return {name: _plain(value) for name, value in overall.items()} | {
            "class_accuracy_without_background": [_plain(value) for value in self.class_accuracy],
            "counted": self.counted,
        }


def dacia5_confusion(truth: Labels, predicted: Labels, classes: int = DACIA5_CLASSES) -> Counts:
    """Pixels or patches by true class (rows) and answer (columns). The last column has all answers that are no class.

    255 in the truth is left out; whatever the answer to the rest, it is counted.
    """
    labelled = truth != IGNORE
    answered = np.where(predicted < classes, predicted, classes)
    return _confusion(truth[labelled], answered[labelled], classes, classes + 1)


def dacia5_score(*matrices: Counts) -> Dacia5Score:
    """Q1 of problem 1: half the average accuracy and half the overall accuracy."""
    accuracy, average, overall, counted = _accuracies(matrices)
    return Dacia5Score((average + overall) / 2, average, overall, accuracy, counted)


def dacia5_early_score(*matrices: Counts) -> Dacia5Score:
    """Q2 of problem 2: the mean of the accuracies of winter wheat and of alfalfa."""
    accuracy, average, overall, counted = _accuracies(matrices)
    if len(accuracy) != 2:
        raise Misfit(f"{len(accuracy)} classes", "Problem 2 has two.", "Count with classes=2.")
    return Dacia5Score(average, average, overall, accuracy, counted)


def _accuracies(matrices: Sequence[Counts]) -> tuple[Values, float, float, int]:
    for matrix in matrices:
        _check_matrix(matrix, (matrices[0].shape[0], matrices[0].shape[0] + 1))
    counted = np.sum(matrices, axis=0).astype(np.float64)
    hit, rows = np.diag(counted), counted.sum(axis=1)
    accuracy = _ratio(hit, rows)
    return accuracy, _mean(accuracy), _share(hit.sum(), rows.sum()), int(rows.sum())


def _confusion(truth: Labels, predicted: Labels, rows: int, columns: int) -> Counts:
    if truth.shape != predicted.shape:
        raise Misfit(
            f"truth {truth.shape} and answers {predicted.shape}", "The shapes differ.", "Give the same pixels."
        )
    for what, values, count in (("truth", truth, rows), ("answers", predicted, columns)):
        if values.size and not (values.min() >= 0 and values.max() < count):
            span = f"{values.min()} to {values.max()}"
            raise Misfit(f"{what} with labels {span}", f"0 to {count - 1} are known.", "Translate the labels first.")
    cells = truth.ravel().astype(np.int64) * columns + predicted.ravel().astype(np.int64)
    return np.bincount(cells, minlength=rows * columns).reshape(rows, columns)


def _check_matrix(matrix: Counts, shape: tuple[int, int]) -> None:
    if matrix.shape != shape:
        raise Misfit(f"a matrix {matrix.shape}", f"It is not {shape}.", "Count it with the functions of this file.")


def _ratio(part: Values, whole: Values) -> Values:
    return np.divide(part, whole, out=np.full_like(part, np.nan), where=whole > 0)


def _mean(values: Values) -> float:
    known = values[~np.isnan(values)]
    return float(known.mean()) if known.size else float("nan")


def _plain(value: float) -> float | None:
    return None if np.isnan(value) else float(value)


def _share(part: float, whole: float) -> float:
    return float(part / whole) if whole > 0 else float("nan")
