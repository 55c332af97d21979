"""First masks of crops from depth, and which of them to believe: two humps, a fair cover, and a cue that agrees."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.errors import Misfit
from models.otsu import Cut, otsu

Mask = NDArray[np.bool_]
Floats = NDArray[np.floating[Any]]


@dataclass(frozen=True)
class DepthMaskSettings:
    """An image is believed if its depth has two humps, its mask has a fair cover, and a cue of its own agrees."""

    least_separation: float = 0.6
    least_cover: float = 0.02
    most_cover: float = 0.98
    least_agreement: float = 0.8
    """Intersection over union with the cue."""

    def __post_init__(self) -> None:
        shares = (self.least_separation, self.least_cover, self.most_cover, self.least_agreement)
        if not all(0 <= share <= 1 for share in shares) or self.least_cover > self.most_cover:
            raise Misfit(f"{self}", "all are shares from 0 to 1.", "Correct them.")


@dataclass(frozen=True, eq=False)
class DepthMask:
    """A mask, how it came about, and the first rule that rejects it: empty if none does."""

    mask_YX: Mask
    cut: Cut
    rejected: str
    agreement: float = float("nan")


def depth_mask(depth_YX: Floats, cue_YX: Mask | None = None, settings: DepthMaskSettings | None = None) -> DepthMask:
    """What is near (inverse depth above Otsu's cut), and whether to believe it; a cue may be `green_mask`."""
    settings = settings or DepthMaskSettings()
    stretched = stretch(depth_YX)
    cut = otsu(stretched)
    mask = stretched > cut.threshold
    agreement = float("nan") if cue_YX is None else intersection_over_union(mask, cue_YX)
    return DepthMask(mask, cut, _rejected(cut, agreement, settings), agreement)


def _rejected(cut: Cut, agreement: float, settings: DepthMaskSettings) -> str:
    if cut.separation < settings.least_separation:
        return "one_hump"
    if not settings.least_cover <= cut.cover <= settings.most_cover:
        return "cover"
    return "cue_differs" if agreement < settings.least_agreement else ""


def stretch(depth_YX: Floats) -> NDArray[np.float64]:
    """From the 2nd to the 98th percentile onto 0..1, clipped: a relative depth has neither unit nor origin."""
    depth = np.asarray(depth_YX, np.float64)
    low, high = np.nanpercentile(np.where(np.isfinite(depth), depth, np.nan), [2, 98])
    return np.clip((depth - low) / (high - low), 0, 1) if high > low else np.zeros_like(depth)


def excess_green(rgb_3YX: Floats) -> NDArray[np.float64]:
    """2 g - r - b of the shares of red, green and blue (Woebbecke et al. 1995); 0 where it is black."""
    rgb = np.asarray(rgb_3YX, np.float64)
    total = rgb.sum(axis=0)
    share = np.divide(rgb, total, out=np.full_like(rgb, 1 / 3), where=total > 0)
    return np.asarray(2 * share[1] - share[0] - share[2])


def green_mask(rgb_3YX: Floats) -> Mask:
    """The cue: greener than Otsu's cut, and green at all."""
    green = excess_green(rgb_3YX)
    return np.asarray(green > max(otsu(green).threshold, 0.0))


def intersection_over_union(one: Mask, other: Mask) -> float:
    """1 for two empty masks: they agree."""
    if one.shape != other.shape:
        raise Misfit(f"masks {one.shape} and {other.shape}", "the shapes differ.", "Give the same pixels of both.")
    union = np.count_nonzero(one | other)
    return np.count_nonzero(one & other) / union if union else 1.0
