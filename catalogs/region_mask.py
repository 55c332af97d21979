"""Which pixels of a window lie in the region."""

import numpy as np
from numpy.typing import NDArray
from shapely import box, clip_by_rect
from shapely.geometry.base import BaseGeometry

from catalogs.grid import Grid, Window


def outside_region(region: BaseGeometry, grid: Grid, window: Window) -> NDArray[np.bool_]:
    """Pixels of a window whose centre does not lie in the region."""
    shape = window.height, window.width
    left, bottom, right, top = grid.bounds(window)
    step = grid.resolution  # a little around, so that the cut makes no edge inside
    here = clip_by_rect(region, left - step, bottom - step, right + step, top + step)  # a country's outline is long
    if here.is_empty:
        return np.ones(shape, dtype=bool)
    if here.covers(box(left, bottom, right, top)):
        return np.zeros(shape, dtype=bool)
    from rasterio.features import geometry_mask  # 30 MB that most tiles' workers can do without

    mask: NDArray[np.bool_] = geometry_mask([here], shape, grid.transform_of(window))
    return mask
