"""What a forest looks at: bands, indices and the season's waves of a pixel, and what surrounds it.

No data stays what no data is: 0 in bands and in means and spreads of windows without a seen pixel, -2 in all that is
made of indices. Windows count seen pixels only.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from models.errors import Misfit
from models.forest_settings import ForestSettings
from models.harmonics import fit_waves, order_for, waves
from models.normalisation import BRIGHTEST
from models.running_sums import window_sums
from models.spectral_indices import MISSING, index_plane, possible_indices
from models.texture import texture

CURVE = "NDVI"

Planes = NDArray[np.float32]
Index = NDArray[np.int64]

# Axis legend: T period, C band, Y row, X column, F feature, N pixel.


@dataclass(frozen=True)
class Features:
    """The features of one forest, in one order: those of each period, then those of the season."""

    settings: ForestSettings
    bands: tuple[str, ...]
    when: tuple[float, ...]

    @cached_property
    def indices(self) -> tuple[str, ...]:
        return possible_indices(self.bands)

    @property
    def order(self) -> int:
        """Of the waves; 0 where there is no NDVI or too few periods."""
        return order_for(len(self.when), self.settings.harmonics) if CURVE in self.indices else 0

    @cached_property
    def names(self) -> tuple[str, ...]:
        sides = self.settings.sides
        around = [f"{kind} {side} {band}" for band in self.bands for side in sides for kind in ("mean", "spread")]
        change = [f"{kind} {CURVE}" for kind in ("range", "gradient") if sides and CURVE in self.indices]
        period = [*self.bands, *self.indices, *around, *change]
        turns = [f"{turn} {step}" for step in range(1, self.order + 1) for turn in ("cosine", "sine")]
        season = [f"{CURVE} {what}" for what in ("level", *turns)] if self.order else []
        return tuple(f"{name} of period {t}" for t in range(len(self.when)) for name in period) + tuple(season)

    def planes(self, counts_TCYX: NDArray[np.uint16], halo: int) -> Planes:
        """(F, Y, X) of the pixels that lie `halo` pixels inside: the halo of the settings, or more."""
        counts_TCYX = np.minimum(counts_TCYX, BRIGHTEST)
        height, width = (length - 2 * halo for length in counts_TCYX.shape[-2:])
        planes = np.empty((len(self.names), height, width), np.float32)
        each = (len(self.names) - (2 * self.order + 1 if self.order else 0)) // len(self.when)
        curve = [self._period(counts_CYX, halo, planes[t * each :]) for t, counts_CYX in enumerate(counts_TCYX)]
        if self.order:
            planes[len(self.when) * each :] = self._season(np.stack([plane for plane in curve if plane is not None]))
        return planes

    def at(self, counts_TCYX: NDArray[np.uint16], rows_N: Index, columns_N: Index) -> Planes:
        """(N, F) of some pixels of a patch, for fitting; they must lie at least the halo inside it."""
        halo = self.settings.halo
        for place, length in zip((rows_N, columns_N), counts_TCYX.shape[-2:], strict=True):
            if len(place) and not (place.min() >= halo and place.max() < length - halo):
                given = f"pixels {place.min()} to {place.max()} of a patch of {length}"
                raise Misfit(given, f"{halo} pixels around each are looked at.", "Choose them farther inside.")
        planes = self.planes(counts_TCYX, halo)
        return np.ascontiguousarray(planes[:, rows_N - halo, columns_N - halo].T)

    def _period(self, counts_CYX: NDArray[np.uint16], halo: int, into: Planes) -> Planes | None:
        """Fill in one period; its NDVI."""
        core = _inner(counts_CYX, halo)
        into[: len(self.bands)] = core
        for i, name in enumerate(self.indices):
            into[len(self.bands) + i] = index_plane(name, core, self.bands)
        done = len(self.bands) + len(self.indices)
        if self.settings.sides:
            self._around(counts_CYX, halo, into[done:])
        return into[len(self.bands) + self.indices.index(CURVE)] if CURVE in self.indices else None

    def _around(self, counts_CYX: NDArray[np.uint16], halo: int, into: Planes) -> None:
        sides = self.settings.sides
        seen_CYX = counts_CYX > 0
        alike = bool((seen_CYX == seen_CYX[0]).all())  # as a rule a pixel has all bands or none
        number = _seen_pixels(seen_CYX[0], halo, sides)
        for c, counts in enumerate(counts_CYX):
            own = number if alike else _seen_pixels(seen_CYX[c], halo, sides)
            into[2 * len(sides) * c : 2 * len(sides) * (c + 1)] = _means_and_spreads(counts, own, halo, sides)
        if CURVE in self.indices:
            ring = index_plane(CURVE, _inner(counts_CYX, halo - 1), self.bands)
            done = 2 * len(sides) * len(self.bands)
            into[done : done + 2] = texture(ring, MISSING)

    def _season(self, curve_TYX: Planes) -> Planes:
        curve_TN = curve_TYX.reshape(len(self.when), -1)
        seen_TN = curve_TN != MISSING
        found = fit_waves(curve_TN.astype(np.float64), seen_TN, waves(self.when, self.settings.cycle, self.order))
        found[:, ~seen_TN.any(axis=0)] = MISSING
        return found.astype(np.float32).reshape(-1, *curve_TYX.shape[1:])


def _seen_pixels(seen_YX: NDArray[np.bool_], halo: int, sides: tuple[int, ...]) -> list[NDArray[np.int64]]:
    return window_sums(seen_YX.astype(np.int64), halo, sides)


def _means_and_spreads(
    counts_YX: NDArray[np.uint16], number: list[NDArray[np.int64]], halo: int, sides: tuple[int, ...]
) -> list[Planes]:
    """Mean and standard deviation of each side; sums stay whole numbers up to the last division."""
    values = counts_YX.astype(np.int64)
    found = []
    for n, s, q in zip(number, window_sums(values, halo, sides), window_sums(values**2, halo, sides), strict=True):
        divisor = np.maximum(n, 1)
        found += [(s / divisor).astype(np.float32), (np.sqrt(n * q - s * s) / divisor).astype(np.float32)]
    return found


def _inner(layers: NDArray[np.uint16], by: int) -> NDArray[np.uint16]:
    return layers[..., by : layers.shape[-2] - by, by : layers.shape[-1] - by]
