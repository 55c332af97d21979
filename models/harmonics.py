"""A season's curve as the coefficients of a mean and a few waves, fitted to the periods that have data."""

from itertools import product

import numpy as np
from numpy.typing import NDArray

RIDGE = 0.01  # of one observation: holds waves near 0 that too few periods determine

Values = NDArray[np.float64]

# Axis legend: T period, P coefficient, N pixel. No sum here is left to a library: each is taken period by period and
# coefficient by coefficient, so that a pixel's answer is the same bits whatever pixels stand beside it.


def order_for(periods: int, most: int) -> int:
    """As many waves as the periods can determine: a wave needs two, the mean one."""
    return max(0, min(most, (periods - 1) // 2))


def waves(when_T: tuple[float, ...], cycle: float, order: int) -> Values:
    """(T, 1 + 2 order): 1, then cosine and sine of each wave; `cycle` is a year's length in the units of `when`."""
    angle = 2 * np.pi * np.asarray(when_T, np.float64) / cycle
    columns = [turn(step * angle) for step in range(1, order + 1) for turn in (np.cos, np.sin)]
    return np.stack([np.ones(len(angle)), *columns], axis=1)


def fit_waves(curve_TN: Values, seen_TN: NDArray[np.bool_], waves_TP: Values) -> Values:
    """(P, N) coefficients of least squares with a small penalty on the waves; 0 for a pixel that was never seen."""
    count = waves_TP.shape[1]
    weight_TN = seen_TN.astype(np.float64)
    held_TN = np.where(seen_TN, curve_TN, 0.0)
    right = [_summed(held_TN, waves_TP[:, p]) for p in range(count)]
    normal = {
        (p, q): _summed(weight_TN, waves_TP[:, p] * waves_TP[:, q])
        for p, q in product(range(count), repeat=2)
        if q <= p
    }
    normal[0, 0][normal[0, 0] == 0] = 1.0
    for p in range(1, count):
        normal[p, p] += RIDGE
    return np.stack(_solved(normal, right))


def _summed(rows_TN: Values, factors_T: Values) -> Values:
    total: Values = rows_TN[0] * factors_T[0]
    for row, factor in zip(rows_TN[1:], factors_T[1:], strict=True):
        total += row * factor
    return total


def _solved(normal: dict[tuple[int, int], Values], right: list[Values]) -> list[Values]:
    """Cholesky's decomposition and two substitutions, for all pixels at once."""
    count = len(right)
    lower: dict[tuple[int, int], Values] = {}
    for p in range(count):
        for q in range(p + 1):
            rest = normal[p, q].copy()
            for k in range(q):
                rest -= lower[p, k] * lower[q, k]
            lower[p, q] = np.sqrt(rest) if p == q else rest / lower[q, q]
    found = [value.copy() for value in right]
    for p in range(count):
        for k in range(p):
            found[p] -= lower[p, k] * found[k]
        found[p] /= lower[p, p]
    for p in reversed(range(count)):
        for k in range(p + 1, count):
            found[p] -= lower[k, p] * found[k]
        found[p] /= lower[p, p]
    return found
