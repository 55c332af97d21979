"""export: the map, or a part of it, as two GeoTIFFs that any program opens: crop.tif and confidence.tif."""

from collections.abc import Iterator
from math import ceil, floor
from pathlib import Path
from typing import Any

import numpy as np
from affine import Affine
from numpy.typing import NDArray
from shapely import prepare
from shapely.geometry.base import BaseGeometry

from catalogs.cog_writing import Picture, colours_of, write_cog
from catalogs.crops import MAP, map_layouts
from catalogs.description import identity
from catalogs.errors import BadInput
from catalogs.grid import Grid, Tile, Window
from catalogs.region import region_from_file
from catalogs.region_mask import outside_region
from catalogs.stores import Store
from catalogs.taxonomy import IGNORE
from cluster.progress import Bar, Progress
from pipelines.plan import Plan
from pipelines.stored import check_whole, identity_of

RESAMPLING = {"crop": "MODE", "confidence": "AVERAGE"}
MAP_TAG, REGION_TAG = "FURROW_MAP", "FURROW_REGION"
"""Which map a file was made of, and of which ground: how `publish` knows its own."""


SAID = ("long_name", "flag_values", "flag_meanings")


def export(plan: Plan, progress: Progress, region: Path | None, out: Path) -> dict[str, Any]:
    """Write both files; ground outside the region is no data."""
    check_whole(plan, MAP)
    shape = plan.region if region is None else _part(plan, region)
    window = frame(plan.grid, shape)
    tiles = list(plan.grid.tiles(shape))
    files = {name: out / f"{name}.tif" for name in RESAMPLING}
    prepare(shape)
    with progress.stage("export", len(files) * len(tiles), "tiles") as bar:
        for name, path in files.items():
            write_cog(path, picture(plan, name, shape, window), _parts(plan, name, shape, window, tiles, bar))
    return {name: str(path) for name, path in files.items()}


def frame(grid: Grid, shape: BaseGeometry) -> Window:
    """The rectangle of pixels around a shape."""
    left, bottom, right, top = shape.bounds
    step = grid.resolution
    y, x = floor((grid.transform.f - top) / step), floor((left - grid.transform.c) / step)
    height, width = ceil((grid.transform.f - bottom) / step) - y, ceil((right - grid.transform.c) / step) - x
    return Window(y, x, height, width).clipped(grid.shape)


def picture(plan: Plan, name: str, shape: BaseGeometry, window: Window) -> Picture:
    layout = map_layouts(plan.grid, plan.taxonomy)[name]
    said = {key: _text(layout.attributes[key]) for key in SAID if key in layout.attributes}
    about = {MAP_TAG: identity_of(plan.root, MAP, "map"), REGION_TAG: identity({"wkb": shape.wkb_hex})}
    return Picture(
        crs=plan.grid.crs,
        transform=plan.grid.transform @ Affine.translation(window.x, window.y),
        shape=(window.height, window.width),
        resampling=RESAMPLING[name],
        description=name,
        tags=about | said,
        colours=colours_of(plan.taxonomy) if name == "crop" else {},
    )


def _text(value: object) -> str:
    return " ".join(map(str, value)) if isinstance(value, list) else str(value)


def _part(plan: Plan, region: Path) -> BaseGeometry:
    """The ground of a boundary file that the map has."""
    shape: BaseGeometry = region_from_file(region, plan.grid.crs).intersection(plan.region)
    if shape.area == 0:
        raise BadInput(f"boundary {region}", "shares no ground with the map.", "Give a part of the map's region.")
    return shape


def _parts(
    plan: Plan, name: str, shape: BaseGeometry, window: Window, tiles: list[Tile], bar: Bar
) -> Iterator[tuple[Window, NDArray[np.uint8]]]:
    """Tile by tile, in places of the file."""
    store = Store(plan.root, MAP)
    for tile in tiles:
        here = _common(plan.grid.window(tile), window)
        if here.height and here.width:
            pixels = store.read(name, here.slices)
            pixels[outside_region(shape, plan.grid, here)] = IGNORE
            yield Window(here.y - window.y, here.x - window.x, here.height, here.width), pixels
        bar.advance()


def _common(a: Window, b: Window) -> Window:
    inside = Window(a.y - b.y, a.x - b.x, a.height, a.width).clipped((b.height, b.width))
    return Window(inside.y + b.y, inside.x + b.x, inside.height, inside.width)
