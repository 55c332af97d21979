"""How well single periods tell the classes apart, by the simplest classifier that can say so."""

import numpy as np
from numpy.typing import NDArray
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

from models.metrics import confusion, score
from models.normalisation import NO_DATA


def rank_periods(
    x_NTB: NDArray[np.uint16], y_N: NDArray[np.uint8], other_x_NTB: NDArray[np.uint16], other_y_N: NDArray[np.uint8]
) -> list[float]:
    """For each period the mIoU that a linear discriminant reaches on other pixels, seeing that period alone.

    It is fitted to the pixels that the period shows; pixels without data count as errors of the period, for a map from
    it would have holes there.
    """
    return [_fit_and_score(x_NTB[:, t], y_N, other_x_NTB[:, t], other_y_N) for t in range(x_NTB.shape[1])]


def _fit_and_score(
    x_NB: NDArray[np.uint16], y_N: NDArray[np.uint8], other_NB: NDArray[np.uint16], truth_N: NDArray[np.uint8]
) -> float:
    seen, shown = (x_NB != NO_DATA).all(axis=1), (other_NB != NO_DATA).all(axis=1)
    if len(np.unique(y_N[seen])) < 2 or not shown.any():
        return 0.0
    rule = LinearDiscriminantAnalysis(priors=None).fit(x_NB[seen], y_N[seen])
    guess = rule.predict(other_NB[shown])
    found = score(confusion(truth_N[shown], guess.astype(np.uint8), int(max(y_N.max(), truth_N.max())) + 1))
    return found.mean_iou * float(shown.mean())
