"""Whether a probability means what it says: its scores, and the temperature that mends it after training."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize, minimize_scalar
from scipy.special import log_softmax

from models.errors import Misfit

COLDEST, HOTTEST = 0.02, 50.0  # beyond them a network's logits say nothing that a temperature could mend
TINY = 1e-12  # a probability of 0 for what happened costs 28 nats, not infinity

Values = NDArray[np.float64]
Floats = NDArray[np.floating[Any]]
Labels = NDArray[np.integer[Any]]

# Axis legend: N pixel or parcel, K class.


@dataclass(frozen=True)
class Temperature:
    """p = softmax(z / T + b). Without a bias the most probable class stays the same."""

    value: float
    bias: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "bias", tuple(float(value) for value in self.bias))
        if not self.value > 0 or not np.isfinite((self.value, *self.bias)).all():
            raise Misfit(f"{self}", "a temperature is above 0, and all is finite.", "Fit it again.")

    def probabilities(self, logits_NK: Floats) -> Values:
        return np.exp(self.log_probabilities(logits_NK))

    def log_probabilities(self, logits_NK: Floats) -> Values:
        scaled = np.asarray(logits_NK, np.float64) / self.value
        return np.asarray(log_softmax(scaled + np.array(self.bias) if self.bias else scaled, axis=-1))


def fit_temperature(logits_NK: Floats, truth_N: Labels) -> Temperature:
    """The temperature of the smallest negative log likelihood on pixels that training did not see.

    Give a few pixels of each parcel: neighbours are one observation, not many.
    """
    _check(logits_NK, truth_N)

    def loss(log_temperature: float) -> float:
        log_p = Temperature(float(np.exp(log_temperature))).log_probabilities(logits_NK)
        return -float(_of_truth(log_p, truth_N).mean())

    found = minimize_scalar(loss, bounds=(np.log(COLDEST), np.log(HOTTEST)), method="bounded", options={"xatol": 1e-6})
    return Temperature(float(np.exp(found.x)))


def fit_temperature_and_bias(logits_NK: Floats, truth_N: Labels) -> Temperature:
    """Also a bias for each class (Alexandari et al. 2020): what an estimate of a country's class shares should rest on.

    Convex in 1 / T and b. The biases sum to 0; a class without a pixel of truth keeps the bias of its bound.
    """
    _check(logits_NK, truth_N)
    z_NK, classes = np.asarray(logits_NK, np.float64), logits_NK.shape[1]
    true_NK = np.eye(classes)[truth_N]

    def loss_and_slope(at: Values) -> tuple[float, Values]:
        log_p = np.asarray(log_softmax(at[0] * z_NK + at[1:], axis=1))
        wrong_NK = np.exp(log_p) - true_NK
        slope = np.concatenate([[(wrong_NK * z_NK).sum(axis=1).mean()], wrong_NK.mean(axis=0)])
        return -float(_of_truth(log_p, truth_N).mean()), slope

    start = np.concatenate([[1.0], np.zeros(classes)])
    bounds = [(1 / HOTTEST, 1 / COLDEST)] + [(-10.0, 10.0)] * classes
    found = minimize(loss_and_slope, start, jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": 500})
    return Temperature(1 / float(found.x[0]), tuple(found.x[1:] - found.x[1:].mean()))


def negative_log_likelihood(p_NK: Floats, truth_N: Labels) -> float:
    """Mean of -ln of the probability given to what was true."""
    _check(p_NK, truth_N)
    return -float(np.log(np.maximum(_of_truth(np.asarray(p_NK, np.float64), truth_N), TINY)).mean())


def brier(p_NK: Floats, truth_N: Labels) -> float:
    """Mean over pixels of the squared distances of all classes: from 0 to 2."""
    _check(p_NK, truth_N)
    p = np.asarray(p_NK, np.float64)
    return float(((p - np.eye(p.shape[1])[truth_N]) ** 2).sum(axis=1).mean())


@dataclass(frozen=True, eq=False)
class Reliability:
    """Bins of equal width, lower < confidence <= upper, and what became of them: sums, so that parts add."""

    count: Values
    confident: Values
    right: Values

    def __add__(self, other: "Reliability") -> "Reliability":
        return Reliability(self.count + other.count, self.confident + other.confident, self.right + other.right)

    @property
    def error(self) -> float:
        """Expected calibration error: over bins, |accuracy - mean confidence| weighted by pixels; NaN of nothing."""
        total = self.count.sum()
        return float(np.abs(self.right - self.confident).sum() / total) if total else float("nan")


def reliability(confidence_N: Floats, right_N: NDArray[np.bool_], bins: int = 15) -> Reliability:
    """Count answers by the confidence that they were given with."""
    confidence, right = np.asarray(confidence_N, np.float64), np.asarray(right_N, np.float64)
    if confidence.ndim != 1 or confidence.shape != right.shape or not ((confidence >= 0) & (confidence <= 1)).all():
        given = f"confidence {confidence.shape} and outcomes {right.shape}"
        raise Misfit(given, "both have one axis, and confidence lies in 0..1.", "Divide percents by 100.")
    edges = np.linspace(0, 1, bins + 1)
    index = np.clip(np.searchsorted(edges, confidence, side="left") - 1, 0, bins - 1)
    summed = [np.bincount(index, weights, minlength=bins) for weights in (None, confidence, right)]
    return Reliability(*(np.asarray(values, np.float64) for values in summed))


def _of_truth(values_NK: Values, truth_N: Labels) -> Values:
    return values_NK[np.arange(len(truth_N)), truth_N]


def _check(values_NK: Floats, truth_N: Labels) -> None:
    shapes = f"values {values_NK.shape} and truth {truth_N.shape}"
    if values_NK.ndim != 2 or truth_N.shape != values_NK.shape[:1] or not len(truth_N):
        raise Misfit(shapes, "(pixel, class) and (pixel) of the same pixels are needed.", "Reshape them.")
    if truth_N.min() < 0 or truth_N.max() >= values_NK.shape[1]:
        span = f"truth {truth_N.min()} to {truth_N.max()}"
        raise Misfit(span, f"0 to {values_NK.shape[1] - 1} are known.", "Leave unlabelled pixels out.")
    if not np.isfinite(values_NK).all():
        raise Misfit(shapes, "some are not finite.", "Look for NaN where they come from.")
