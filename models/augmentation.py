"""Patches as they might also have been: turned, mirrored, brighter, hazier, cloudier, or in another year."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.errors import Misfit
from models.normalisation import NO_DATA

Array = NDArray[Any]
Floats = NDArray[np.float32]

DARKEST = 1
"""Stored units; what has data never becomes no data."""

KNOTS = 5
"""Of the curve by which `warp` bends a season's reflectance."""


@dataclass(frozen=True)
class Augmentation:
    """How much to vary. Every amount can be 0.

    The last four are off by default. Published are a shift of 60 days (TimeMatch, arXiv 2111.02682), 0.2 to 0.4 of the
    periods lost (Exchanger, arXiv 2305.02086), and a warp of 0.1 with chance 0.25 (CropNet, arXiv 2509.03497).
    """

    turn: bool = True
    gain: float = 0.03  # each band is multiplied by 1 +- this: calibration, illumination
    noise: float = 20.0  # reflectance x 10000; one offset for each period and band: haze left by the correction
    drop: float = 0.1  # chance that one period of a series has no data
    shift: float = 0.0  # days or degree-days; the whole season comes up to this much earlier or later
    lose: tuple[float, float] = (0.0, 0.0)  # the share of periods that have no data lies between these
    warp: float = 0.0  # spread of the knots of a smooth factor over the season: plants that grow thinner or denser
    warp_chance: float = 0.25

    def __post_init__(self) -> None:
        object.__setattr__(self, "lose", tuple(self.lose))
        if min(self.gain, self.noise, self.shift, self.warp, self.drop, self.warp_chance) < 0:
            raise Misfit(f"{self}", "no amount is below 0.", "Write 0 to leave one out.")
        if max(self.drop, self.warp_chance) > 1 or len(self.lose) != 2 or not 0 <= self.lose[0] <= self.lose[1] < 1:
            why = "chances are at most 1, and lose names a smaller and a larger share below 1."
            raise Misfit(f"{self}", why, "Write e.g. 0.1, 0.25 and 0.2, 0.4.")


@dataclass(frozen=True, eq=False)
class Variation:
    """What chance has decided for one patch."""

    quarters: int
    mirrored: bool
    gain_TC: Floats
    offset_TC: Floats
    lost: frozenset[int]
    """Periods without data."""
    shift: float

    def turned(self, x: Array) -> Array:
        """A view; its last two axes are Y and X."""
        x = np.rot90(x, self.quarters, axes=(-2, -1))
        return x[..., ::-1] if self.mirrored else x


def draw(settings: Augmentation, shape_TCYX: tuple[int, ...], rng: np.random.Generator) -> Variation:
    """The same generator state gives the same variation."""
    periods, bands, height, width = shape_TCYX
    quarters, mirrored = _turn(height == width, rng) if settings.turn else (0, False)
    gain_TC = np.ones((periods, 1), np.float32) * rng.uniform(1 - settings.gain, 1 + settings.gain, bands)
    offset_TC = settings.noise * rng.standard_normal((periods, bands))
    if settings.warp and rng.random() < settings.warp_chance:
        gain_TC = gain_TC * season_factor(periods, settings.warp, rng)[:, None]
    return Variation(
        quarters=quarters,
        mirrored=mirrored,
        gain_TC=gain_TC.astype(np.float32),
        offset_TC=offset_TC.astype(np.float32),
        lost=_lost(periods, settings, rng),
        shift=float(rng.uniform(-settings.shift, settings.shift)),
    )


def augment(
    x_TCYX: NDArray[np.uint16], truth_YX: NDArray[np.uint8], settings: Augmentation, rng: np.random.Generator
) -> tuple[Floats, NDArray[np.uint8]]:
    """One variation of a patch and its labels, in stored units; no data stays exactly no data."""
    variation = draw(settings, x_TCYX.shape, rng)
    x = np.array(variation.turned(x_TCYX), dtype=np.float32, order="C")
    empty = x == NO_DATA
    x = np.maximum(x * variation.gain_TC[..., None, None] + variation.offset_TC[..., None, None], np.float32(DARKEST))
    x[empty] = NO_DATA
    x[list(variation.lost)] = NO_DATA
    return x, np.ascontiguousarray(variation.turned(truth_YX))


def _lost(periods: int, settings: Augmentation, rng: np.random.Generator) -> frozenset[int]:
    """One by chance, or a share of them, and never all."""
    drops, one = rng.random() < settings.drop, int(rng.integers(periods))
    found = {one} if drops else set()
    if settings.lose[1]:
        found |= set(rng.permutation(periods)[: round(periods * rng.uniform(*settings.lose))].tolist())
    return frozenset(sorted(found)[: periods - 1])


def season_factor(periods: int, spread: float, rng: np.random.Generator) -> Floats:
    """A smooth factor over the season through KNOTS values about 1 (CropNet's magnitude warp); never below 0.1."""
    from scipy.interpolate import CubicSpline

    knots = rng.normal(1, spread, KNOTS)
    curve = CubicSpline(np.linspace(0, 1, KNOTS), knots)(np.linspace(0, 1, periods) if periods > 1 else np.array([0.5]))
    factor: Floats = np.maximum(curve, 0.1).astype(np.float32)
    return factor


def _turn(square: bool, rng: np.random.Generator) -> tuple[int, bool]:
    """One of the eight symmetries of a square, or of the four that keep an oblong patch's shape."""
    quarters = int(rng.integers(4)) if square else 2 * int(rng.integers(2))
    return quarters, bool(rng.integers(2))
