"""How a layer changes from a pixel to its neighbours: its range in 3x3 pixels and the steepness of its slope."""

import numpy as np
from numpy.typing import NDArray

Plane = NDArray[np.float32]


def texture(layer_YX: Plane, missing: np.float32) -> Plane:
    """(2, Y - 2, X - 2): range and gradient of all pixels but the outermost; missing where the pixel itself is.

    A neighbour that is missing counts as the pixel itself: no change toward it is known.
    """
    centre = layer_YX[1:-1, 1:-1]
    seen = centre != missing
    around = {(y, x): _neighbour(layer_YX, y, x, missing) for y in (-1, 0, 1) for x in (-1, 0, 1)}
    every = np.stack(list(around.values()))
    down, right = around[1, 0] - around[-1, 0], around[0, 1] - around[0, -1]
    steepness = np.sqrt(down * down + right * right) / np.float32(2)
    return np.where(seen, np.stack([every.max(axis=0) - every.min(axis=0), steepness]), missing)


def _neighbour(layer_YX: Plane, down: int, right: int, missing: np.float32) -> Plane:
    height, width = layer_YX.shape
    found = layer_YX[1 + down : height - 1 + down, 1 + right : width - 1 + right]
    return np.where(found == missing, layer_YX[1:-1, 1:-1], found)
