"""What a layer of parcels says of itself, whatever format it is in."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray

from catalogs.errors import BadInput
from catalogs.grid import Bounds

Objects = NDArray[np.object_]
Columns = dict[str, NDArray[Any]]

NOWHERE: Bounds = (np.nan, np.nan, np.nan, np.nan)


@dataclass(frozen=True)
class Layer:
    """`count` is -1 and `bounds` are NaN where only reading all of it would tell."""

    name: str
    crs: str
    count: int
    columns: tuple[str, ...]
    bounds: Bounds
    fid: str = ""
    """the column that numbers the rows of a GeoPackage's table"""


def shapes_of(wkb: Any) -> Objects:
    """ "fix" closes open rings and gives None for what is no geometry, where the default ends the run."""
    return np.asarray(shapely.from_wkb(np.asarray(wkb, dtype=object), on_invalid="fix"), dtype=object)


def lock_of(file: Path) -> Path:
    """The lock that a download leaves beside its file, which tells it from a user's own."""
    return file.with_name(f"{file.name}.lock")


def not_vector(path: Path | str) -> BadInput:
    why = "It is not a file of parcels that can be read here, or it is damaged."
    remedy = "Give a shapefile, GeoPackage, GeoParquet, FlatGeobuf, GeoJSON or GML file, or a zip or 7z archive of one."
    return BadInput(f"parcel file {path}", why, remedy)
