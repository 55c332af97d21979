"""Agreement beyond chance: kappa of each class against the rest, and Matthews' correlation of the whole matrix.

Cohen's kappa of the whole matrix is `Scores.kappa`. It is no mean of the kappas of the classes.
"""

import numpy as np
from numpy.typing import NDArray

from models.metrics import Confusion

Values = NDArray[np.float64]


def kappa_of_classes(counted: Confusion) -> Values:
    """2 (TP TN - FP FN) / ((TP + FP)(FP + TN) + (TP + FN)(FN + TN)) of each class; NaN where only one answer exists."""
    tp, fp, fn, tn = one_against_rest(counted)
    below = (tp + fp) * (fp + tn) + (tp + fn) * (fn + tn)
    return np.divide(2 * (tp * tn - fp * fn), below, out=np.full_like(tp, np.nan), where=below > 0)


def one_against_rest(counted: Confusion) -> tuple[Values, Values, Values, Values]:
    """True positives, false positives, false negatives and true negatives of each class."""
    matrix = counted.matrix.astype(np.float64)
    hit = np.diag(matrix)
    missed, invented = matrix.sum(axis=1) - hit, matrix.sum(axis=0) - hit
    return hit, invented, missed, matrix.sum() - hit - missed - invented


def matthews(counted: Confusion) -> float:
    """Gorodkin's correlation of K classes: (N sum C_ii - r c) / sqrt((N^2 - r r)(N^2 - c c)); NaN without variety."""
    matrix = counted.matrix.astype(np.float64)
    rows, columns, total = matrix.sum(axis=1), matrix.sum(axis=0), matrix.sum()
    spread = (total**2 - rows @ rows) * (total**2 - columns @ columns)
    return float((total * np.trace(matrix) - rows @ columns) / np.sqrt(spread)) if spread > 0 else float("nan")
