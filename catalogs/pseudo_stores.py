"""The stores of self-training: what an ensemble saw of a region, and the labels that were made of it."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from catalogs.crops import flags
from catalogs.grid import Grid
from catalogs.stores import Coordinate, Layout, chunk_side, plane, shard_key, spatial_coordinates
from catalogs.taxonomy import IGNORE, Taxonomy

LOOKS = "looks.zarr"
WHOLE = 65_535
"""What a probability of 1 is stored as."""


def look_layouts(grid: Grid, taxonomy: Taxonomy) -> dict[str, Layout]:
    classes, chunk = len(taxonomy.names), chunk_side(grid.side)
    probability = {"long_name": "mean probability x 65535; all 0 = not seen", "grid_mapping": "spatial_ref"}
    agree = {"long_name": "1 where all views name the same class"}
    return {
        "probability": Layout(
            dims=("class", "y", "x"),
            shape=(classes, *grid.shape),
            dtype="uint16",
            shard=(classes, grid.side, grid.side),
            chunk=(classes, chunk, chunk),
            fill=0,
            attributes=probability,
        ),
        "agree": plane(grid, "uint8", 0, agree),
    }


def look_coordinates(grid: Grid, taxonomy: Taxonomy) -> dict[str, Coordinate]:
    return {"class": Coordinate(("class",), np.array(taxonomy.names, dtype=str)), **spatial_coordinates(grid)}


def look_objects(i: int, j: int) -> tuple[str, str]:
    """The objects of the tile in row i and column j of the grid."""
    return shard_key("probability", 0, i, j), shard_key("agree", i, j)


def stored(p_KYX: NDArray[np.float64]) -> NDArray[np.uint16]:
    return np.rint(p_KYX * WHOLE).astype(np.uint16)


def restored(p_KYX: NDArray[np.uint16]) -> NDArray[np.float64]:
    """Sums to 1 again where something was seen."""
    total = p_KYX.sum(axis=0, dtype=np.float64)
    return np.asarray(p_KYX / np.where(total > 0, total, 1.0))


def pseudo_layouts(grid: Grid, taxonomy: Taxonomy) -> dict[str, Layout]:
    """A label store with weights: what reads declared labels reads these."""
    crop: Mapping[str, Any] = {"long_name": "crop that the teachers surely see", **flags(taxonomy, "ignore")}
    return {
        "crop": plane(grid, "uint8", IGNORE, crop),
        "parcel": plane(grid, "uint32", 0, {"long_name": "number of the accepted field; 0 = none"}),
        "weight": plane(grid, "uint8", 0, {"long_name": "confidence of the label", "units": "percent"}),
    }
