"""The two stores of crops on a cube's grid: what farmers declared, and what a network saw."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from zarr.codecs import BloscCodec

from catalogs.grid import Grid, Tile
from catalogs.stores import Coordinate, Layout, plane, plane_objects, shard_key, spatial_coordinates
from catalogs.taxonomy import IGNORE, NO_DATA_COLOUR, Taxonomy

LABELS = "labels.zarr"
MAP = "map.zarr"

MAP_ARRAYS = ("crop", "confidence", "observations")
"""What is known of each pixel of a map, tile by tile."""

PROBABILITY = "probability"
"""What is known beside these of a map that was asked for the probability of each class."""

MOST_OBSERVATIONS = IGNORE - 1
"""What more observations than a byte holds are told as."""

FLAT = BloscCodec(cname="zstd", clevel=1, shuffle="noshuffle", blocksize=512 * 1024)
"""For numbers that stay the same over whole parcels: 2.3 times as fast as the cube's codec, in a third of the bytes."""


def label_layouts(grid: Grid, taxonomy: Taxonomy) -> dict[str, Layout]:
    crop = {"long_name": "declared crop", **flags(taxonomy, "ignore")}
    parcel = {"long_name": "number of the parcel in its file, from 1; 0 = none"}
    return {"crop": plane(grid, "uint8", IGNORE, crop, FLAT), "parcel": plane(grid, "uint32", 0, parcel, FLAT)}


def map_arrays(probabilities: bool) -> tuple[str, ...]:
    return (*MAP_ARRAYS, PROBABILITY) if probabilities else MAP_ARRAYS


def map_objects(grid: Grid, tile: Tile, probabilities: bool) -> tuple[str, ...]:
    """What a worker writes of a tile, in the order of `map_arrays`."""
    i, j = tile.row - grid.first.row, tile.col - grid.first.col
    flat = plane_objects(grid, tile, MAP_ARRAYS)
    return (*flat, shard_key(PROBABILITY, 0, i, j)) if probabilities else flat


def map_layouts(grid: Grid, taxonomy: Taxonomy, probabilities: bool = False) -> dict[str, Layout]:
    crop = {"long_name": "crop", **flags(taxonomy, "no_data")}
    confidence = {
        "long_name": "probability that the network gives to the crop it chose; 255 = no data",
        "units": "percent",
        "valid_range": [0, 100],
    }
    observations = {
        "long_name": "clear observations in the periods that the network uses; 255 = no data",
        "valid_range": [0, MOST_OBSERVATIONS],
    }
    flat: dict[str, Mapping[str, Any]] = {"crop": crop, "confidence": confidence, "observations": observations}
    layouts = {name: plane(grid, "uint8", IGNORE, attributes) for name, attributes in flat.items()}
    return layouts | ({PROBABILITY: _of_each_class(grid, len(taxonomy.names))} if probabilities else {})


def _of_each_class(grid: Grid, classes: int) -> Layout:
    """All classes of a tile are one shard, and a chunk has one class: who asks for maize reads maize."""
    about = {
        "long_name": "probability that the network gives to each class; 255 = no data",
        "units": "percent",
        "valid_range": [0, 100],
    }
    one = plane(grid, "uint8", IGNORE, about)
    return replace(
        one,
        dims=("crop_name", *one.dims),
        shape=(classes, *one.shape),
        shard=(classes, *one.shard),
        chunk=(1, *one.chunk),
    )


def map_coordinates(grid: Grid, taxonomy: Taxonomy, probabilities: bool = False) -> dict[str, Coordinate]:
    """The dimension of classes is not called `crop`, which is an array of the map."""
    names = Coordinate(("crop_name",), np.array(taxonomy.names, dtype=str), {"long_name": "crop"})
    return spatial_coordinates(grid) | ({"crop_name": names} if probabilities else {})


def flags(taxonomy: Taxonomy, unknown: str) -> Mapping[str, object]:
    """CF flags, so that any reader can name and colour the classes."""
    return {
        "flag_values": [*range(len(taxonomy.names)), IGNORE],
        "flag_meanings": " ".join([*taxonomy.names, unknown]),
        "flag_colors": f"{taxonomy.flag_colours} {NO_DATA_COLOUR}",
    }
