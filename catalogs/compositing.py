"""Many cloudy scenes to one clear picture of a period: the median of the clear observations of each pixel."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from catalogs.bands import CLEAR_SCL


def clear_pixels(reflectance: np.ndarray, classes: np.ndarray) -> NDArray[np.bool_]:
    """Where a scene (band, y, x) shows the ground: it has data and its classification is a clear one."""
    seen: NDArray[np.bool_] = (reflectance != 0).all(axis=0)
    return seen & np.isin(classes, CLEAR_SCL)


def median_composite(reflectances: Sequence[np.ndarray], clear: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """(band, y, x) scenes and their clear masks to the median, 0 where none is clear, and the observation count.

    Of an even number the mean of the middle two, rounded half up, as counts are whole.
    """
    masks = np.stack(clear)
    count = masks.sum(axis=0)
    stack = np.where(masks[:, None], np.stack(reflectances), np.uint16(65535))
    stack.sort(axis=0)  # unclear observations go last
    low = _pick(stack, np.maximum(count - 1, 0) // 2)
    high = _pick(stack, np.maximum(count // 2, 0).clip(max=len(stack) - 1))
    median = ((low.astype(np.uint32) + high + 1) // 2).astype(np.uint16)
    return np.where(count > 0, median, np.uint16(0)), count.clip(max=255).astype(np.uint8)


def _pick(stack: np.ndarray, index: np.ndarray) -> np.ndarray:
    picked: np.ndarray = np.take_along_axis(stack, index[None, None], axis=0)[0]
    return picked
