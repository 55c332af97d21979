"""Patches as they might also have been: turned, mirrored, brighter, hazier, cloudier, or in another year."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.normalisation import NO_DATA

Array = NDArray[Any]

KNOTS = 5
"""Of the curve by which `warp` bends a season's reflectance."""


@dataclass(frozen=True)
class Augmentation:
    """How much to vary. Every amount can be 0."""

    turn: bool = True
    gain: float = 0.03  # each band is multiplied by 1 +- this: calibration, illumination
    noise: float = 20.0  # reflectance x 10000; one offset for each period and band: haze left by the correction
    drop: float = 0.1  # chance that one period of a series has no data
    shift: float = 0.0  # days or degree-days; the whole season comes up to this much earlier or later
    warp: float = 0.0  # spread of the knots of a smooth factor over the season: plants that grow thinner or denser


def augment(
    x_TCYX: NDArray[np.uint16], truth_YX: NDArray[np.uint8], settings: Augmentation, rng: np.random.Generator
) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """One variation of a patch and its labels, in stored units; the same generator state gives the same patch."""
    if settings.turn:
        x_TCYX, truth_YX = turned(x_TCYX, truth_YX, rng)
    x = dropped(jittered(x_TCYX, settings, rng), settings.drop, rng)
    return x, np.ascontiguousarray(truth_YX)


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
    if settings.warp:
        gain = gain * season_factor(periods, settings.warp, rng)[:, None, None, None]
    x = np.array(x_TCYX, dtype=np.float32, order="C")
    empty = x == NO_DATA
    x *= gain
    x += offset
    np.maximum(x, np.float32(1), out=x)
    x[empty] = NO_DATA
    return x


def season_factor(periods: int, spread: float, rng: np.random.Generator) -> NDArray[np.float32]:
    """A smooth factor over the season through KNOTS values about 1 (CropNet's magnitude warp); never below 0.1."""
    from scipy.interpolate import CubicSpline

    knots = rng.normal(1, spread, KNOTS)
    curve = CubicSpline(np.linspace(0, 1, KNOTS), knots)(np.linspace(0, 1, periods) if periods > 1 else np.array([0.5]))
    factor: NDArray[np.float32] = np.maximum(curve, 0.1).astype(np.float32)
    return factor


def dropped(x_TCYX: NDArray[np.float32], chance: float, rng: np.random.Generator) -> NDArray[np.float32]:
    """Take one period away, never the only one."""
    periods = len(x_TCYX)
    lost, period = rng.random() < chance, int(rng.integers(periods))
    if periods > 1 and lost:
        x_TCYX = x_TCYX.copy()
        x_TCYX[period] = NO_DATA
    return x_TCYX


def shifted(middles: tuple[float, ...], shift: float, rng: np.random.Generator) -> NDArray[np.float32]:
    """When the periods of a season that came earlier or later would have been."""
    return np.asarray(middles, np.float32) + np.float32(rng.uniform(-shift, shift))
