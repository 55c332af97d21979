"""Repeatable chance: random streams that have names, and smooth random surfaces over a piece of ground."""

from dataclasses import dataclass
from hashlib import blake2b

import numpy as np
from scipy.ndimage import map_coordinates

from catalogs.grid import Bounds

Array = np.ndarray


def stream(*name: int | str) -> np.random.Generator:
    """The random numbers of this name: the same in every process, whatever was drawn before."""
    digest = blake2b("/".join(map(str, name)).encode(), digest_size=16).digest()
    return np.random.default_rng(int.from_bytes(digest, "little"))


@dataclass(frozen=True, eq=False)
class Surface:
    """Values on a coarse lattice (row 0 in the south), read between its points by straight lines."""

    bounds: Bounds
    cell: float
    values: Array

    def at(self, x: Array, y: Array) -> Array:
        rows = (y - self.bounds[1]) / self.cell
        cols = (x - self.bounds[0]) / self.cell
        found: Array = map_coordinates(self.values, [rows, cols], order=1, mode="nearest")
        return found

    def threshold(self, share: float) -> float:
        """The level above which `share` of the surface lies."""
        return float(np.quantile(self.values, 1.0 - share))


def rough_surface(
    rng: np.random.Generator, bounds: Bounds, longest: float, octaves: int, cell: float, roughness: float = 0.5
) -> Surface:
    """Mean 0 and spread 1; bumps from `longest` metres down by halves, each octave `roughness` times as high."""
    left, bottom, right, top = bounds
    shape = int((top - bottom) / cell) + 2, int((right - left) / cell) + 2
    total = np.zeros(shape)
    for octave in range(octaves):
        total += roughness**octave * _bumps(rng, shape, longest / 2**octave / cell)
    return Surface(bounds, cell, ((total - total.mean()) / (total.std() + 1e-9)).astype("float32"))


def _bumps(rng: np.random.Generator, shape: tuple[int, int], length: float) -> Array:
    """Cubic B-splines with random heights, `length` lattice steps apart."""
    knots = rng.standard_normal((int(shape[0] / length) + 5, int(shape[1] / length) + 5))
    by_rows = _blend(knots, np.arange(shape[0]) / length)
    return _blend(by_rows.T, np.arange(shape[1]) / length).T


def _blend(knots: Array, at: Array) -> Array:
    """Element by element and not by a matrix product, whose last digits differ between machines."""
    first = at.astype(int)
    u = (at - first)[:, None]
    weights = (1 - u) ** 3 / 6, (3 * u**3 - 6 * u**2 + 4) / 6, (-3 * u**3 + 3 * u**2 + 3 * u + 1) / 6, u**3 / 6
    total: Array = weights[0] * knots[first]
    for step in (1, 2, 3):
        total += weights[step] * knots[first + step]
    return total
