"""When a country grows other shares of crops than the training data: probabilities and shares corrected for it.

All rest on one assumption: a crop looks the same in both places, only how much of it there is differs.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.errors import Misfit

Values = NDArray[np.float64]

ENOUGH = 1e-8  # change of any share between two rounds of EM at which it has arrived

# Axis legend: N pixel or parcel, K class.


def undo_weights(q_NK: Values, weights_K: Values) -> Values:
    """What a network would have said had its loss not been weighted: p proportional to q / w."""
    return _normalised(np.asarray(q_NK, np.float64) / _positive("class weights", weights_K, q_NK))


def with_prior(p_NK: Values, source_K: Values, target_K: Values) -> Values:
    """Probabilities for a place with known shares of classes (regional statistics): p times target / source."""
    target = _positive("shares of the target", target_K, p_NK, zero=True)
    return _normalised(np.asarray(p_NK, np.float64) * target / _positive("shares of the source", source_K, p_NK))


@dataclass(frozen=True, eq=False)
class Shares:
    """Estimated shares of classes, and in how many rounds they were found."""

    share_K: Values
    rounds: int
    converged: bool


def shares_by_em(p_NK: Values, source_K: Values, most_rounds: int = 10_000) -> Shares:
    """Shares that explain unlabelled probabilities best (Saerens et al. 2002), starting from those of the source.

    `p_NK` must be calibrated, and one row a field is better than one a pixel. Give as `source_K` the mean calibrated
    probability on validation data of the source.
    """
    source = _normalised(_positive("shares of the source", source_K, p_NK))
    share = source
    for done in range(1, most_rounds + 1):
        before, share = share, with_prior(p_NK, source, share).mean(axis=0)
        if np.abs(share - before).max() < ENOUGH:
            return Shares(share, done, True)
    return Shares(share, most_rounds, False)


@dataclass(frozen=True, eq=False)
class ShareRatios:
    """How much more of each class the target has than the source, and the shares that follow from it."""

    ratio_K: Values
    share_K: Values


def shares_by_bbse(joint_KK: Values, answered_K: Values, source_K: Values, toward_one: float = 0.0) -> ShareRatios:
    """Black box shift estimation (Lipton et al. 2018): solve C w = mu, w clipped at 0.

    `joint_KK` is the share of source validation pixels by predicted class (rows) and true class (columns),
    `answered_K` the shares of classes in the target's map. `toward_one` is the weight of a penalty on (w - 1)^2
    (Azizzadenesheli et al. 2019), for few data or classes that are easily confused.
    """
    joint, answered = np.asarray(joint_KK, np.float64), np.asarray(answered_K, np.float64)
    source = _positive("shares of the source", source_K, answered)
    if joint.shape != (len(answered), len(answered)) or (joint < 0).any() or toward_one < 0:
        raise Misfit(f"a matrix {joint.shape}", "it must be square, of shares, one row a class.", "Count it again.")
    penalised = np.vstack([joint, np.sqrt(toward_one) * np.eye(len(answered))])
    missing = np.concatenate([answered - joint.sum(axis=1), np.zeros(len(answered))])
    beyond_one, _, rank, _ = np.linalg.lstsq(penalised, missing)
    if rank < len(answered):
        raise Misfit("the confusion of the source", "some classes cannot be told apart.", "Give toward_one above 0.")
    ratio = np.maximum(1 + beyond_one, 0.0)
    return ShareRatios(ratio, _normalised(ratio * source))


def _positive(what: str, values_K: Values, like: Values, zero: bool = False) -> Values:
    values = np.asarray(values_K, np.float64)
    if values.shape != np.shape(like)[-1:] or not np.isfinite(values).all() or not (values.sum() > 0):
        raise Misfit(f"{what} {values}", f"{np.shape(like)[-1]} finite numbers are needed.", "Give one a class.")
    if (values < 0).any() or not (zero or (values > 0).all()):
        raise Misfit(f"{what} {values}", "they must lie above 0.", "Leave out classes that do not occur.")
    return values


def _normalised(values: Values) -> Values:
    total = values.sum(axis=-1, keepdims=True)
    if not (total > 0).all():
        raise Misfit("probabilities", "some rows are zero for all classes that can occur.", "Give every class a share.")
    return np.asarray(values / total)
