"""Small made-up scenes on disk, the catalogues that list them, and runs of the real path upon them in this process."""

import copy
import io
import json
import os
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import rasterio
import rasterio.shutil
import shapely
from affine import Affine
from rasterio.io import MemoryFile
from shapely.geometry import box, mapping

from catalogs import cube
from catalogs.bands import BANDS, NATIVE_RESOLUTION
from catalogs.files import open_files
from catalogs.region import lonlat
from catalogs.stac.items import Item
from catalogs.stac.providers import Provider, provider_of
from catalogs.stores import Store
from catalogs.synthetic.cogs import write_cog
from cluster.progress import LineProgress
from pipelines.compose import compose
from pipelines.ingest import compositions, describe_cube
from pipelines.plan import Plan, make_plan
from pipelines.project import parse_project
from pipelines.scene_search import find_scenes

EPSG = 32633
TILE = 128
LEFT, TOP = 400 * TILE * 10, 4140 * TILE * 10
"""The corner of a tile of the lattice."""

EARTH_SEARCH = provider_of("earth-search", "sentinel-2-l2a")

PROJECT = """
[region]
name = "Made up"
boundary = "{folder}/region{tile}.gpkg"
crs = "EPSG:{epsg}"
tile = {tile}
[season]
start = 2021-06-01
end = 2021-06-30
[imagery]
catalog = "{catalog}"
{imagery}
[labels]
file = "parcels.gpkg"
country = "AT"
[store]
root = "{root}"
[compute]
workers = 1
"""

Pixels = Mapping[str, np.ndarray]
"""Counts by band, and SCL, each at its native resolution."""

Writer = Callable[[str, np.ndarray, int, Affine], None]


def cog(path: str, pixels: np.ndarray, epsg: int, transform: Affine) -> None:
    write_cog(path, pixels, epsg, transform, averaged=False)


def lossless_jp2(path: str, pixels: np.ndarray, epsg: int, transform: Affine) -> None:
    height, width = pixels.shape
    about = {"height": height, "width": width, "count": 1, "dtype": pixels.dtype, "crs": f"EPSG:{epsg}"}
    with MemoryFile() as memory:
        with memory.open(driver="GTiff", transform=transform, **about) as raster:
            raster.write(pixels, 1)
        with memory.open() as raster:
            rasterio.shutil.copy(raster, path, driver="JP2OpenJPEG", QUALITY="100", REVERSIBLE="YES")


def blocks_of_a_tile(path: str, pixels: np.ndarray, epsg: int, transform: Affine) -> None:
    """A GeoTIFF with a block for each tile of the grid, so that one tile's pixels can be broken alone."""
    height, width = pixels.shape
    side = TILE * 10 // int(transform.a)
    with rasterio.open(
        path, "w", driver="GTiff", height=height, width=width, count=1, dtype=pixels.dtype, crs=f"EPSG:{epsg}",
        transform=transform, nodata=0, tiled=True, blockxsize=side, blockysize=side, compress="deflate",
    ) as raster:  # fmt: skip
        raster.write(pixels, 1)


def write_pixels(
    folder: Path, pixels: Pixels, left: int = LEFT, top: int = TOP, epsg: int = EPSG, write: Writer = cog
) -> dict[str, str]:
    """A file for each band; band -> its path."""
    folder.mkdir(parents=True, exist_ok=True)
    ending = "jp2" if write is lossless_jp2 else "tif"
    for band, counts in pixels.items():
        step = NATIVE_RESOLUTION[band]
        write(str(folder / f"{band}.{ending}"), counts, epsg, Affine(step, 0, left, 0, -step, top))
    return {band: str(folder / f"{band}.{ending}") for band in pixels}


def ground_of_pixels(pixels: Pixels, left: int = LEFT, top: int = TOP, epsg: int = EPSG) -> dict[str, Any]:
    height, width = pixels["B02"].shape
    found = lonlat(box(left, top - 10 * height, left + 10 * width, top), f"EPSG:{epsg}")
    return json.loads(json.dumps(mapping(found)))


def moved(item: Item, provider: Provider, files: Mapping[str, str], ground: dict[str, Any], when: str) -> dict:
    """A recorded item as if of this ground, day and files; only the fields that place it are written anew."""
    item = copy.deepcopy(dict(item)) | {"geometry": ground, "collection": provider.collection, "links": []}
    item["bbox"] = list(shapely.geometry.shape(ground).bounds)
    properties = item["properties"] | {"datetime": when}
    for place in (properties, *item["assets"].values()):
        for name in ("proj:epsg", "proj:code"):
            if name in place:
                place[name] = EPSG if name == "proj:epsg" else f"EPSG:{EPSG}"
    assets = {asset: item["assets"][asset] | {"href": files[band]} for band, asset in provider.assets.items()}
    return item | {"properties": properties, "assets": assets}


def plain_item(name: str, files: Mapping[str, str], ground: dict[str, Any], when: str, **properties: Any) -> dict:
    """What Earth Search tells of a scene whose offset is gone, and no more than is needed."""
    about = {
        "datetime": when,
        "platform": "sentinel-2b",
        "proj:epsg": EPSG,
        "grid:code": "MGRS-33UWP",
        "eo:cloud_cover": 10.0,
        "s2:processing_baseline": "05.11",
        "earthsearch:boa_offset_applied": True,
        "s2:datatake_id": f"GS2B_{datetime.fromisoformat(when):%Y%m%dT%H%M%S}_022000_N05.11",
    }
    assets = {asset: {"href": files[band]} for band, asset in EARTH_SEARCH.assets.items()}
    return {
        "type": "Feature", "stac_version": "1.0.0", "id": name, "collection": "sentinel-2-l2a", "geometry": ground,
        "bbox": list(shapely.geometry.shape(ground).bounds), "properties": about | properties, "assets": assets,
        "links": [],
    }  # fmt: skip


def static_catalogue(folder: Path, items: Sequence[Item]) -> Path:
    """A catalog.json over one collection, with the items' links as they are."""
    collection = str(items[0]["collection"])
    _write(folder / "catalog.json", {
        "type": "Catalog", "stac_version": "1.0.0", "id": "made-up", "description": "made up",
        "links": [{"rel": "child", "href": f"./{collection}.json"}],
    })  # fmt: skip
    _write(folder / f"{collection}.json", {
        "type": "Collection", "stac_version": "1.0.0", "id": collection, "description": "made up", "license": "other",
        "extent": {"spatial": {"bbox": [[-180, -90, 180, 90]]}, "temporal": {"interval": [[None, None]]}},
        "links": [{"rel": "item", "href": f"./{item['id']}.json"} for item in items],
    })  # fmt: skip
    for item in items:
        _write(folder / f"{item['id']}.json", item)
    return folder / "catalog.json"


def parquet_catalogue(folder: Path, items: Sequence[Item]) -> Path:
    """One row an item, as stac-geoparquet writes them: properties in columns, times as times, WKB."""
    rows = []
    for item in items:
        properties = _without_empty(item["properties"])
        moment = datetime.fromisoformat(properties.pop("datetime"))
        geometry = shapely.to_wkb(shapely.geometry.shape(item["geometry"]))
        told = {"id": item["id"], "collection": item["collection"], "assets": _without_empty(item["assets"])}
        rows.append(properties | told | {"datetime": moment, "geometry": geometry})
    pq.write_table(pa.Table.from_pylist(rows), folder / "items.parquet")
    return folder / "items.parquet"


def _without_empty(value: Any) -> Any:
    """Parquet has no column for an object without fields."""
    if isinstance(value, Mapping):
        return {name: _without_empty(inner) for name, inner in value.items() if inner not in ({}, [], None)}
    return value


def _write(path: Path, content: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(content))


def plan_of(
    folder: Path, catalog: Path, tiles: tuple[int, int] = (2, 2), root: str = "root", tile: int = TILE,
    corner: tuple[int, int] = (LEFT, TOP), epsg: int = EPSG, **imagery: Any,
) -> Plan:  # fmt: skip
    """A run of one month over that many tiles, from a corner of the lattice on southwards and eastwards."""
    left, top = corner
    rows, cols = (count * 10 * tile for count in tiles)
    region = geopandas.GeoDataFrame(geometry=[box(left + 1, top - rows + 1, left + cols - 1, top - 1)], crs=epsg)
    region.to_file(folder / f"region{tile}.gpkg", engine="pyogrio")
    told = {"provider": "earth-search", "max_cloud": 100} | imagery
    lines = "\n".join(f"{name} = {json.dumps(value)}" for name, value in told.items())
    text = PROJECT.format(folder=folder, catalog=catalog, epsg=epsg, tile=tile, root=folder / root, imagery=lines)
    (folder / "project.toml").write_text(text)
    return make_plan(parse_project(text, folder / "project.toml"))


def begin(plan: Plan) -> tuple[Store, Any]:
    """The scenes of a run, and its empty cube."""
    scenes = find_scenes(plan, LineProgress(io.StringIO()))
    store = Store(plan.root, cube.NAME)
    layouts = cube.cube_layouts(plan.grid, len(plan.periods), plan.project.imagery.composite)
    store.begin(layouts, {}, describe_cube(plan, scenes))
    return store, scenes


def names_of(plan: Plan) -> list[str]:
    return [unit.name for unit in cube.cube_units(plan.tiles, plan.periods)]


def composed(plan: Plan) -> tuple[Store, dict[str, Any]]:
    """The cube of a run, and what became of each of its units."""
    store, scenes = begin(plan)
    outcomes: dict[str, Any] = {}
    for composition in compositions(plan, scenes, names_of(plan)):
        outcomes |= compose(composition)
    return store, outcomes


def cube_of(plan: Plan) -> tuple[np.ndarray, np.ndarray]:
    """Reflectance (band, y, x) and observations (y, x) of a run's one month."""
    store, _ = composed(plan)
    return store.read("reflectance")[0], store.read("observations")[0]


def on_10_metres(pixels: Pixels, band: str) -> np.ndarray:
    """The oracle of a native grid: pixels of 20 m are repeated."""
    times = NATIVE_RESOLUTION[band] // 10
    return pixels[band].repeat(times, axis=0).repeat(times, axis=1)


def stacked(pixels: Pixels) -> np.ndarray:
    """(band, y, x) on 10 m."""
    return np.stack([on_10_metres(pixels, band) for band in BANDS])


def random_pixels(seed: int, height: int, width: int, classes: Sequence[int] = (4, 5, 6, 7)) -> dict[str, np.ndarray]:
    """Counts without an offset, all of them data; `height` and `width` in pixels of 10 m."""
    rng = np.random.default_rng(seed)
    shapes = {band: (height * 10 // step, width * 10 // step) for band, step in NATIVE_RESOLUTION.items()}
    pixels = {band: rng.integers(1, 6000, shapes[band], np.uint16) for band in BANDS}
    return pixels | {"SCL": rng.choice(np.array(classes, np.uint8), shapes["SCL"])}


def linked(files: Mapping[str, str], folder: Path) -> dict[str, str]:
    """The same files under other names, so that they count as other files."""
    folder.mkdir(parents=True)
    for path in files.values():
        os.link(path, folder / Path(path).name)
    return {band: str(folder / Path(path).name) for band, path in files.items()}


def close_files() -> None:
    """So that what has been written to them since is seen."""
    while open_files.files:
        open_files.files.popitem()[1].dataset.close()
