"""Counts of a reference dataset as a cube holds them: reflectance x 10000 in uint16, where 0 means no data."""

from typing import Any

import numpy as np
from numpy.typing import NDArray


def as_cube(counts: NDArray[Any], empty: NDArray[np.bool_], offset: int = 0) -> NDArray[np.uint16]:
    """What is zero or below without the offset becomes 1: dark ground, which must not pass for no data."""
    lifted = np.clip(counts.astype(np.int32) - offset, 1, np.iinfo(np.uint16).max)
    return np.where(empty, 0, lifted).astype(np.uint16)
