"""What every predictor is asked and answers: a window of a cube, and what stands for no class."""

import numpy as np
from numpy.typing import NDArray

from models.card import Card
from models.errors import Misfit

NO_CLASS = 255

Labels = NDArray[np.uint8]


def check_window(card: Card, x_TBYX: NDArray[np.uint16]) -> None:
    expected = len(card.periods), len(card.bands)
    if x_TBYX.ndim != 4 or x_TBYX.shape[:2] != expected or x_TBYX.dtype != np.uint16 or 0 in x_TBYX.shape:
        why = f"uint16 ({expected[0]}, {expected[1]}, y, x) was expected."
        raise Misfit(f"window of {x_TBYX.dtype} {x_TBYX.shape}", why, "Read it from a cube that fits.")
