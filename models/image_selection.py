"""Which images a first network labels well enough to train a second on, and its masks freed of what depth denies."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from models.depth_masks import intersection_over_union
from models.errors import Misfit

Mask = NDArray[np.bool_]

EIGHT_NEIGHBOURS = np.ones((3, 3), bool)


@dataclass(frozen=True)
class ImageSettings:
    """What an image's prediction must reach."""

    least_confidence: float = 0.9
    """Mean over pixels of the highest probability."""
    least_agreement: float = 0.7
    """Intersection over union with the depth mask."""
    least_support: float = 0.5
    """Share of a connected piece of the prediction that the depth mask has too."""

    def __post_init__(self) -> None:
        if not all(0 <= share <= 1 for share in (self.least_confidence, self.least_agreement, self.least_support)):
            raise Misfit(f"{self}", "all are shares from 0 to 1.", "Correct them.")


@dataclass(frozen=True)
class ImageVerdict:
    """Why an image is taken or not; `rejected` is the first rule that it fails, empty if none."""

    confidence: float
    agreement: float
    rejected: str


def judge_image(p_KYX: NDArray[np.floating[Any]], depth_YX: Mask, settings: ImageSettings) -> ImageVerdict:
    """For stage 2: class 0 is background, any other is crop."""
    confidence = float(np.asarray(p_KYX, np.float64).max(axis=0).mean())
    agreement = intersection_over_union(p_KYX.argmax(axis=0) > 0, depth_YX)
    if confidence < settings.least_confidence:
        return ImageVerdict(confidence, agreement, "unsure")
    return ImageVerdict(confidence, agreement, "depth_differs" if agreement < settings.least_agreement else "")


def supported_pieces(mask_YX: Mask, depth_YX: Mask, settings: ImageSettings) -> Mask:
    """The connected pieces of a mask (also over corners) of which the depth mask has a fair share."""
    piece, count = ndimage.label(mask_YX, EIGHT_NEIGHBOURS)
    size = np.bincount(piece.ravel(), minlength=count + 1)
    both = np.bincount(piece.ravel(), weights=depth_YX.ravel(), minlength=count + 1)
    kept = both >= settings.least_support * size
    kept[0] = False
    return np.asarray(kept[piece])
