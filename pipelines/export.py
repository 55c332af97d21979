"""export: the map, or a part of it, as GeoTIFFs that any program opens: crop.tif, confidence.tif, observations.tif."""

from collections.abc import Iterator
from math import ceil, floor
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
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
from pipelines.pyramid import map_pixels
from pipelines.stored import check_whole

RESAMPLING = {"crop": "MODE", "confidence": "AVERAGE", "observations": "AVERAGE"}
SAID = ("long_name", "flag_values", "flag_meanings")
"""Attributes of the map's arrays that files repeat."""

PIXELS_TAG, REGION_TAG = "FURROW_PIXELS", "FURROW_REGION"
"""What pixels a file was made of, and of which ground: how `publish` knows its own."""

FOLDER = "cog"
"""In the root: files of the whole map there become assets of the map's item."""


def export(plan: Plan, progress: Progress, region: Path | None = None, out: Path | None = None) -> dict[str, Any]:
    """Write all files; ground outside the region is no data."""
    out = out or _home(plan)
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


def exported(plan: Plan, pixels: str) -> dict[str, str]:
    """Array -> key in the root of the file that holds all of this very map."""
    keys = {name: f"{FOLDER}/{name}.tif" for name in RESAMPLING}
    wanted = _made_of(plan.region, pixels)
    return {
        name: key for name, key in keys.items() if plan.root.is_local and _tags(plan, key).items() >= wanted.items()
    }


def _tags(plan: Plan, key: str) -> dict[str, str]:
    if not plan.root.exists(key):
        return {}
    with rasterio.open(plan.root.path(key)) as file:
        found: dict[str, str] = file.tags()
    return found


def _made_of(shape: BaseGeometry, pixels: str) -> dict[str, str]:
    return {PIXELS_TAG: pixels, REGION_TAG: identity({"wkb": shape.wkb_hex})}


def _home(plan: Plan) -> Path:
    if not plan.root.is_local:
        raise BadInput(
            f"store root {plan.root.url}", "is no folder of this machine.", "Say where to write: --out FOLDER."
        )
    return Path(plan.root.path(FOLDER))


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
    return Picture(
        crs=plan.grid.crs,
        transform=plan.grid.transform @ Affine.translation(window.x, window.y),
        shape=(window.height, window.width),
        resampling=RESAMPLING[name],
        description=name,
        tags=_made_of(shape, map_pixels(plan)) | said,
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
        here = plan.grid.window(tile).within(window)
        if here.height and here.width:
            pixels = store.read(name, here.slices)
            pixels[outside_region(shape, plan.grid, here)] = IGNORE
            yield here.seen_from(window), pixels
        bar.advance()
