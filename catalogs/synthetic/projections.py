"""Moves coordinates between the national CRS, the two UTM zones and longitude/latitude."""

from functools import lru_cache
from typing import TypeVar

import numpy as np
import shapely
from pyproj import Transformer
from shapely.geometry.base import BaseGeometry

NATIONAL_CRS = "EPSG:31287"
LONLAT = "EPSG:4326"

Shape = TypeVar("Shape", bound=BaseGeometry | np.ndarray)


def utm(zone: int) -> str:
    return f"EPSG:{32600 + zone}"


@lru_cache
def between(source: str, target: str) -> Transformer:
    """x before y on both sides."""
    return Transformer.from_crs(source, target, always_xy=True)


def project(shape: Shape, source: str, target: str) -> Shape:
    """One geometry or an array of them."""
    move = between(source, target).transform
    moved: Shape = shapely.transform(shape, lambda xy: np.column_stack(move(xy[:, 0], xy[:, 1])))  # type: ignore[type-var]
    return moved
