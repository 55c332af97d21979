"""From the stored integers to what a network wants: each band with mean 0 and spread 1, and no data as 0."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import reduce
from math import prod
from operator import add
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.errors import Misfit

NO_DATA = 0
BRIGHTEST = 15_000  # reflectance x 10000; what is brighter is cloud, glint or an error, and is clipped

IN_CACHE = 1 << 18
"""Numbers, a megabyte of them as float32."""


@dataclass(frozen=True)
class Normalisation:
    """Mean and standard deviation of each band, in units of reflectance x 10000."""

    mean: tuple[float, ...]
    std: tuple[float, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "mean", tuple(float(value) for value in self.mean))
        object.__setattr__(self, "std", tuple(float(value) for value in self.std))
        if len(self.mean) != len(self.std) or not self.mean:
            given = f"{len(self.mean)} means and {len(self.std)} deviations"
            raise Misfit(given, "each band needs one of both.", "Give both.")
        if not np.isfinite(self.mean + self.std).all() or min(self.std) <= 0:
            raise Misfit(f"{self}", "a deviation must be above 0 and all must be finite.", "Estimate them again.")


def normalise(x_TCYX: NDArray[np.generic] | Tensor, normalisation: Normalisation) -> Tensor:
    """Float32 of the same shape; the bands are the third axis from the end, with any axes before them."""
    if x_TCYX.ndim < 3 or x_TCYX.shape[-3] != len(normalisation.mean):
        why = f"{len(normalisation.mean)} bands were expected."
        raise Misfit(f"pixels of shape {tuple(x_TCYX.shape)}", why, "Give (.., band, y, x).")
    if isinstance(x_TCYX, np.ndarray):
        return _piece_by_piece(x_TCYX, normalisation)
    x = x_TCYX.to(torch.float32, copy=True)
    empty = x == NO_DATA
    x.clamp_(max=BRIGHTEST).sub_(_column(normalisation.mean, x)).div_(_column(normalisation.std, x))
    return x.masked_fill_(empty, 0.0)


def _piece_by_piece(x_TCYX: NDArray[Any], normalisation: Normalisation) -> Tensor:
    """The same numbers in a third of the time: what is done to some pictures is done while they lie in the cache."""
    found = torch.empty(x_TCYX.shape, dtype=torch.float32)
    mean, std = _column(normalisation.mean, found), _column(normalisation.std, found)
    pictures_NCYX, found_NCYX = x_TCYX.reshape(-1, *x_TCYX.shape[-3:]), found.view(-1, *x_TCYX.shape[-3:])
    at_once = max(IN_CACHE // max(prod(x_TCYX.shape[-3:]), 1), 1)
    for first in range(0, len(pictures_NCYX), at_once):
        pictures = np.require(pictures_NCYX[first : first + at_once], requirements=["C", "W"])
        out = found_NCYX[first : first + at_once].copy_(torch.from_numpy(pictures))
        if not pictures.max(initial=0) <= BRIGHTEST:  # or there is a number that is none
            out.clamp_(max=BRIGHTEST)
        out.sub_(mean).div_(std)
        if pictures.min(initial=1) <= NO_DATA:
            np.copyto(out.numpy(), 0, where=pictures == NO_DATA)  # PyTorch takes five times as long
    return found


def _column(values: tuple[float, ...], like: Tensor) -> Tensor:
    return torch.tensor(values, dtype=torch.float32, device=like.device)[:, None, None]


@dataclass(frozen=True)
class Moments:
    """Exact integer sums for each band; they add in any order to the same statistics."""

    count: NDArray[np.int64]
    total: NDArray[np.int64]
    squares: NDArray[np.int64]

    def __add__(self, other: "Moments") -> "Moments":
        return Moments(self.count + other.count, self.total + other.total, self.squares + other.squares)

    def normalisation(self) -> Normalisation:
        if not (self.count > 1).all():
            given = "pixels to estimate a normalisation from"
            raise Misfit(given, "a band has fewer than two with data.", "Give more patches.")
        mean = self.total / self.count
        variance = self.squares / self.count - mean**2
        return Normalisation(tuple(mean), tuple(np.sqrt(np.maximum(variance, 1.0))))  # at least one stored unit


def moments(x_TCYX: NDArray[np.uint16]) -> Moments:
    """Sums over the pixels with data of (.., band, y, x)."""
    x = np.minimum(np.moveaxis(x_TCYX, -3, 0), BRIGHTEST).reshape(x_TCYX.shape[-3], -1).astype(np.int64)
    return Moments((x != NO_DATA).sum(axis=1), x.sum(axis=1), (x * x).sum(axis=1))


def estimate_normalisation(patches: Iterable[NDArray[np.uint16]]) -> Normalisation:
    """One mean and spread per band over all periods of all patches; no data is left out."""
    sums = [moments(patch) for patch in patches]
    if not sums:
        raise Misfit("no patches", "a normalisation needs pixels.", "Give at least one patch.")
    return reduce(add, sums).normalisation()
