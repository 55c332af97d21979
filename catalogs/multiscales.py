"""What says that a map has coarser levels, where they lie and in which CRS: three conventions of attributes for Zarr.

zarr-conventions/multiscales, proj and spatial, each v0.1, known by their UUIDs. GDAL (3.13 and newer) takes the levels
for overviews, rio-tiler for what to read when little is asked for.
"""

from collections.abc import Sequence
from typing import Any

from pyproj import CRS

from catalogs.grid import Grid, Window
from catalogs.pyramid import FINEST, level_shape

ABOUT = {
    "multiscales": ("d35379db-88df-4056-af3a-620245f8e347", "multiscales", "Multiscale layout of zarr datasets"),
    "proj": ("f17cb550-5864-4468-aeb7-f3180cfb622f", "proj:", "Coordinate reference system of geospatial data"),
    "spatial": ("689b58e2-cf7b-45e0-9fff-9cfc0883d6b4", "spatial:", "Spatial coordinates of array indices"),
}
"""Repository -> UUID, name and description, as each convention wants to be declared."""

HERE = "/"
"""The group that the layout is an attribute of: the map's pixels lie in the store itself, so that whoever opens it has
them. The convention's text has no path for that; its readers, GDAL and rio-tiler, take this one."""


def map_attributes(grid: Grid, factors: Sequence[int]) -> dict[str, Any]:
    """Of the store: CRS and extent and, if it has coarser levels, the layout of all."""
    height, width = grid.shape
    attributes = {
        "spatial:dimensions": ["y", "x"],
        "spatial:bbox": [float(edge) for edge in grid.bounds(Window(0, 0, height, width))],
        **_crs(grid),
    }
    if not factors:
        return {"zarr_conventions": declared("proj", "spatial"), **_placed(grid, FINEST), **attributes}
    layout = [
        _finest(grid),
        *(_level(grid, finer, factor) for finer, factor in zip([1, *factors], factors, strict=False)),
    ]
    return {"zarr_conventions": declared(*ABOUT), "multiscales": {"layout": layout}, **attributes}


def level_attributes(grid: Grid, factor: int) -> dict[str, Any]:
    """Of a level on its own."""
    dimensions = {"spatial:dimensions": ["y", "x"]}
    return {"zarr_conventions": declared("proj", "spatial"), **dimensions, **_placed(grid, factor), **_crs(grid)}


def declared(*names: str) -> list[dict[str, str]]:
    return [_declaration(name, *ABOUT[name]) for name in names]


def _declaration(repository: str, uuid: str, name: str, description: str) -> dict[str, str]:
    place = "zarr-conventions/" + repository
    return {
        "uuid": uuid,
        "name": name,
        "schema_url": f"https://raw.githubusercontent.com/{place}/refs/tags/v0.1/schema.json",
        "spec_url": f"https://github.com/{place}/blob/v0.1/README.md",
        "description": description,
    }


def _finest(grid: Grid) -> dict[str, Any]:
    return {"asset": HERE, "transform": {"scale": [1.0, 1.0], "translation": [0.0, 0.0]}, **_placed(grid, FINEST)}


def _level(grid: Grid, finer: int, factor: int) -> dict[str, Any]:
    step = factor / finer
    return {
        "asset": str(factor),
        "derived_from": HERE if finer == FINEST else str(finer),
        "transform": {"scale": [step, step], "translation": [0.0, 0.0]},
        "resampling_method": "mode",
        **_placed(grid, factor),
    }


def _placed(grid: Grid, factor: int) -> dict[str, Any]:
    a, b, c, d, e, f = (float(value) for value in list(grid.transform)[:6])
    affine = [a * factor, b, c, d, e * factor, f]
    return {"spatial:shape": list(level_shape(grid, factor)), "spatial:transform": affine}


def _crs(grid: Grid) -> dict[str, str]:
    crs = CRS.from_user_input(grid.crs)
    code = crs.to_authority()
    return {"proj:code": ":".join(code)} if code else {"proj:wkt2": crs.to_wkt()}
