"""How right a map is: one confusion matrix over everything, and the scores read from it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.errors import Misfit

IGNORE = 255  # in the truth: not labelled
UNMAPPED = 255  # in the prediction: no data

Counts = NDArray[np.int64]
Values = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Confusion:
    """Pixels by true class (rows) and predicted class (columns), and by true class those that the map left out.

    An unmapped pixel is no wrong answer (a cloud hid the ground all season), so it is in no score; but it is counted,
    and `Scores.mapped` says what share of the labelled ground the scores speak for.
    """

    matrix: Counts
    unmapped: Counts

    def __add__(self, other: "Confusion") -> "Confusion":
        return Confusion(self.matrix + other.matrix, self.unmapped + other.unmapped)

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Confusion)
            and np.array_equal(self.matrix, other.matrix)
            and np.array_equal(self.unmapped, other.unmapped)
        )

    @staticmethod
    def empty(classes: int) -> "Confusion":
        return Confusion(np.zeros((classes, classes), np.int64), np.zeros(classes, np.int64))


def confusion(truth: NDArray[np.integer[Any]], predicted: NDArray[np.integer[Any]], classes: int) -> Confusion:
    """Count two arrays of the same shape; 255 in the truth is ignored."""
    if truth.shape != predicted.shape:
        given = f"truth {truth.shape} and map {predicted.shape}"
        raise Misfit(given, "the shapes differ.", "Give the same pixels of both.")
    labelled = truth != IGNORE
    t, p = truth[labelled].astype(np.int64), predicted[labelled].astype(np.int64)
    mapped = p != UNMAPPED
    _check_range("truth", t, classes)
    _check_range("map", p[mapped], classes)
    cells = np.bincount(t[mapped] * classes + p[mapped], minlength=classes * classes)
    return Confusion(cells.reshape(classes, classes), np.bincount(t[~mapped], minlength=classes))


def _check_range(what: str, values: Counts, classes: int) -> None:
    if values.size and not (values.min() >= 0 and values.max() < classes):
        span = f"{values.min()} to {values.max()}"
        raise Misfit(f"{what} with classes {span}", f"0 to {classes - 1} are known.", "Harmonise the classes first.")


OVERALL = (
    "pixel_accuracy", "mean_class_accuracy", "mean_precision", "mean_iou", "mean_f1", "frequency_weighted_iou", "kappa",
    "mapped",
)  # fmt: skip
"""The scores that are one number for the whole map."""


@dataclass(frozen=True, eq=False)
class Scores:
    """Scores of one confusion matrix; arrays are per class, and NaN where nothing can be said.

    Rules for the means: a class absent in both truth and map is skipped; one that is only predicted counts with IoU
    and F1 of 0; mean class accuracy, the mean of the recalls, is over the classes of the truth, for only those have a
    recall; mean precision is over the classes of the map, for only those have a precision.
    """

    pixel_accuracy: float
    mean_class_accuracy: float
    mean_precision: float
    mean_iou: float
    mean_f1: float
    frequency_weighted_iou: float
    kappa: float
    mapped: float
    precision: Values
    recall: Values
    f1: Values
    iou: Values
    support: Counts
    unmapped: Counts

    def as_dict(self, names: Sequence[str] | None = None) -> dict[str, Any]:
        """Plain values for JSON; what is undefined becomes null."""
        labels = list(names) if names is not None else [str(index) for index in range(len(self.support))]
        return {name: _plain(getattr(self, name)) for name in OVERALL} | {
            "pixels": int(self.support.sum()),
            "classes": {label: self._row(index) for index, label in enumerate(labels)},
        }

    def _row(self, index: int) -> dict[str, float | int | None]:
        rates = {name: _plain(getattr(self, name)[index]) for name in ("precision", "recall", "f1", "iou")}
        return rates | {"support": int(self.support[index]), "unmapped": int(self.unmapped[index])}


def score(counted: Confusion) -> Scores:
    """All scores; `support` counts the labelled pixels of each class that the map covers."""
    matrix = counted.matrix.astype(np.float64)
    hit, rows, columns = np.diag(matrix), matrix.sum(axis=1), matrix.sum(axis=0)
    total, iou = matrix.sum(), _ratio(hit, rows + columns - hit)
    recall, precision = _ratio(hit, rows), _ratio(hit, columns)
    f1 = _ratio(2 * hit, rows + columns)
    agreement, chance = _share(hit.sum(), total), _share(rows @ columns, total**2)
    return Scores(
        pixel_accuracy=agreement,
        mean_class_accuracy=_mean(recall),
        mean_precision=_mean(precision),
        mean_iou=_mean(iou),
        mean_f1=_mean(f1),
        frequency_weighted_iou=_share(float(np.nansum(rows * iou)), total),
        kappa=_share(agreement - chance, 1 - chance),
        mapped=_share(total, total + counted.unmapped.sum()),
        precision=precision,
        recall=recall,
        f1=f1,
        iou=iou,
        support=counted.matrix.sum(axis=1),
        unmapped=counted.unmapped,
    )


def _ratio(part: Values, whole: Values) -> Values:
    return np.divide(part, whole, out=np.full_like(part, np.nan), where=whole > 0)


def _share(part: float, whole: float) -> float:
    return float(part / whole) if whole > 0 else float("nan")


def _mean(values: Values) -> float:
    known = values[~np.isnan(values)]
    return float(known.mean()) if known.size else float("nan")


def _plain(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
