"""Patches as they might also have been: turned, brighter or darker, clouded, earlier or later in the year."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import CubicSpline

from models.errors import Misfit
from models.normalisation import NO_DATA

KNOTS = 5  # of the spline that warps magnitudes, spread evenly over the periods

Array = NDArray[Any]


@dataclass(frozen=True)
class Augmentation:
    """How much to vary. Every amount can be 0.

    The last three are off by default. Published are a shift of 60 days (TimeMatch, arXiv 2111.02682), 0.2 to 0.4 of the
    periods lost (Exchanger, arXiv 2305.02086), and a warp of 0.1 with chance 0.25 (CropNet, arXiv 2509.03497).
    """

    turn: bool = True
    gain: float = 0.03  # each band is multiplied by 1 +- this: calibration, illumination
    noise: float = 20.0  # reflectance x 10000; one offset for each period and band: haze left by the correction
    drop: float = 0.1  # chance that one period of a series has no data
    shift: float = 0.0  # all periods at most this much earlier or later, in the units of `when`: days, degree-days
    lose: tuple[float, float] = (0.0, 0.0)  # the share of periods that have no data lies between these
    warp: float = 0.0  # deviation of the factors at the knots of a smooth curve over the season
    warp_chance: float = 0.25

    def __post_init__(self) -> None:
        object.__setattr__(self, "lose", tuple(self.lose))
        if min(self.gain, self.noise, self.shift, self.warp, self.drop, self.warp_chance) < 0:
            raise Misfit(f"{self}", "no amount is below 0.", "Write 0 to leave one out.")
        if max(self.drop, self.warp_chance) > 1 or len(self.lose) != 2 or not 0 <= self.lose[0] <= self.lose[1] < 1:
            why = "chances are at most 1, and lose names a smaller and a larger share below 1."
            raise Misfit(f"{self}", why, "Write e.g. 0.1, 0.25 and 0.2, 0.4.")


def augment(
    x_TCYX: NDArray[np.uint16], truth_YX: NDArray[np.uint8], settings: Augmentation, rng: np.random.Generator
) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """One variation of a patch and its labels, in stored units; the same generator state gives the same patch.

    Dates are varied by `shifted`.
    """
    if settings.turn:
        x_TCYX, truth_YX = turned(x_TCYX, truth_YX, rng)
    x = dropped(jittered(x_TCYX, settings, rng), settings.drop, rng)
    if settings.warp:
        x = warped(x, settings.warp, settings.warp_chance, rng)
    if settings.lose[1]:
        x = thinned(x, settings.lose, rng)
    return x, np.ascontiguousarray(truth_YX)


def shifted(when_T: Array, settings: Augmentation, rng: np.random.Generator) -> NDArray[np.float32]:
    """The middles of the periods, all moved by the same, as if the year had been early or late.

    Degree-days are moved in degree-days: 60 days of a growing season are some 800 of them.
    """
    when = np.asarray(when_T, dtype=np.float32)
    return when + np.float32(rng.uniform(-settings.shift, settings.shift)) if settings.shift else when


def turned(x: Array, truth: Array, rng: np.random.Generator) -> tuple[Array, Array]:
    """One of the eight symmetries of a square, or of the four that keep an oblong patch's shape."""
    square = x.shape[-2] == x.shape[-1]
    quarters = int(rng.integers(4)) if square else 2 * int(rng.integers(2))
    x, truth = np.rot90(x, quarters, axes=(-2, -1)), np.rot90(truth, quarters, axes=(-2, -1))
    return (x[..., ::-1], truth[..., ::-1]) if rng.integers(2) else (x, truth)


def jittered(x_TCYX: Array, settings: Augmentation, rng: np.random.Generator) -> NDArray[np.float32]:
    """Gain by band, offset by period and band; no data stays exactly no data, and data never becomes it."""
    periods, bands = x_TCYX.shape[:2]
    gain = rng.uniform(1 - settings.gain, 1 + settings.gain, (1, bands, 1, 1)).astype(np.float32)
    offset = (settings.noise * rng.standard_normal((periods, bands, 1, 1))).astype(np.float32)
    return _with_data(np.ascontiguousarray(x_TCYX, dtype=np.float32), gain, offset)


def dropped(x_TCYX: NDArray[np.float32], chance: float, rng: np.random.Generator) -> NDArray[np.float32]:
    """Take one period away, never the only one."""
    periods = len(x_TCYX)
    lost, period = rng.random() < chance, int(rng.integers(periods))
    return _without(x_TCYX, np.array([period])) if periods > 1 and lost else x_TCYX


def thinned(x_TCYX: NDArray[np.float32], share: tuple[float, float], rng: np.random.Generator) -> NDArray[np.float32]:
    """Take a share of the periods away, never all."""
    periods = len(x_TCYX)
    count = min(round(periods * rng.uniform(*share)), periods - 1)
    return _without(x_TCYX, rng.permutation(periods)[:count])


def warped(x_TCYX: NDArray[np.float32], amount: float, chance: float, rng: np.random.Generator) -> NDArray[np.float32]:
    """Brighter and darker in the course of the season, the same in all bands: a smooth curve around 1."""
    warps, factors = rng.random() < chance, rng.normal(1, amount, KNOTS)
    if not warps:
        return x_TCYX
    curve = CubicSpline(np.linspace(0, 1, KNOTS), factors)(np.linspace(0, 1, len(x_TCYX)))
    return _with_data(x_TCYX, np.maximum(curve, 0).astype(np.float32)[:, None, None, None], np.float32(0))


def _with_data(x: NDArray[np.float32], gain: Array, offset: Array | np.float32) -> NDArray[np.float32]:
    return np.where(x == NO_DATA, np.float32(NO_DATA), np.maximum(x * gain + offset, np.float32(1)))


def _without(x_TCYX: NDArray[np.float32], periods: NDArray[np.integer[Any]]) -> NDArray[np.float32]:
    x_TCYX = x_TCYX.copy()
    x_TCYX[periods] = NO_DATA
    return x_TCYX
