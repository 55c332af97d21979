"""Scenes for measuring how fast imagery is read: made-up land in COGs and items as Earth Search has them."""

import json
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import rasterio.shutil
from affine import Affine
from rasterio.io import MemoryFile
from shapely import box
from shapely.geometry import mapping

from catalogs.bands import BANDS, NATIVE_RESOLUTION
from catalogs.region import lonlat
from catalogs.synthetic.items import ASSETS, COG, COLLECTION

EPSG = 32633
STEP = 10
PARCEL = 20
"""Pixels of 10 m from one field to the next."""
NOISE = 25
"""Standard deviation, counts; with it a file without overviews is about 0.65 of its pixels."""
BRIGHTNESS = dict(zip(BANDS, (500, 750, 800, 1200, 2300, 2800, 3000, 3100, 2100, 1300), strict=True))
WEATHERS = ("clear", "cloudy")
"""Two catalogues of the same pixels: in one every pixel is classified as clear, in the other as clouds pass over."""


@dataclass(frozen=True)
class Land:
    """`dates` scenes of one square, `side` pixels of 10 m, that lies on Furrow's tiles or `shift` pixels off them."""

    side: int
    dates: int
    tile: int
    """Pixels of the side of Furrow's tiles, and of a COG's blocks in the pixels of its own band."""
    shift: int = 0
    fine: bool = False
    """All bands have pixels of 10 m."""

    @property
    def name(self) -> str:
        return f"{self.side}px-{self.dates}dates-{self.tile}tile-{self.shift}off" + "-fine" * self.fine

    def step(self, band: str) -> int:
        """Metres of a band's pixels."""
        return STEP if self.fine and band != "SCL" else NATIVE_RESOLUTION[band]

    @property
    def left(self) -> int:
        return (500_000 // (STEP * self.tile) + 1) * STEP * self.tile + self.shift * STEP

    @property
    def top(self) -> int:
        return 5_300_000 // (STEP * self.tile) * STEP * self.tile - self.shift * STEP

    def square(self, side: int | None = None) -> Any:
        """Its ground, or that of the `side` pixels at its north-western corner."""
        reach = STEP * (side or self.side)
        return box(self.left, self.top - reach, self.left + reach, self.top)


def day(date: int) -> str:
    """One scene a month from April on."""
    return f"2021-{4 + date:02d}-15"


def write_scenes(land: Land, parent: Path) -> Path:
    """Write them below `parent` unless they lie there already: the catalogues, which come last, tell."""
    folder = parent / land.name
    if not (folder / f"{WEATHERS[-1]}.json").exists():
        fields = _parcels(land.side)
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            list(pool.map(lambda job: _write_band(land, fields, folder, *job), _bands(land)))
        for date in range(land.dates):
            _write_classes(land, fields, folder, date)
        for weather in WEATHERS:
            _write_catalogue(land, folder, weather)
    return folder


def items_of(folder: Path, weather: str, url: str | None = None) -> list[dict[str, Any]]:
    """Its items, oldest first, with links that open from anywhere: to files, or to `url` which serves the folder."""
    items = [json.loads(path.read_text()) for path in sorted((folder / weather).glob("*.json"))]
    for item in items:
        for asset in item["assets"].values():
            asset["href"] = f"{url or folder}/{asset['href'].removeprefix('../')}"
    return items


def _bands(land: Land) -> Iterator[tuple[int, str]]:
    return ((date, band) for date in range(land.dates) for band in BANDS)


def _parcels(side: int) -> np.ndarray:
    """The number of the field in which each pixel lies: the nearest of points that are strewn one to a cell."""
    cells = side // PARCEL + 3
    points = np.random.default_rng(1).random((2, cells, cells), dtype=np.float32)
    points += np.stack(np.meshgrid(*[np.arange(cells, dtype=np.float32)] * 2, indexing="ij"))
    return np.concatenate([_nearest(points, np.arange(row, min(row + 128, side)), side) for row in range(0, side, 128)])


def _nearest(points: np.ndarray, rows: np.ndarray, side: int) -> np.ndarray:
    y, x = (rows / PARCEL + 1).astype(np.float32)[:, None], (np.arange(side) / PARCEL + 1).astype(np.float32)[None]
    best, found = np.full((len(rows), side), np.inf, np.float32), np.zeros((len(rows), side), np.int32)
    for north in (-1, 0, 1):
        for east in (-1, 0, 1):
            i, j = y.astype(np.int32) + north, x.astype(np.int32) + east
            far = (points[0, i, j] - y) ** 2 + (points[1, i, j] - x) ** 2
            closer = far < best
            best, found = np.where(closer, far, best), np.where(closer, i * points.shape[1] + j, found)
    return found


def _hills(rng: np.random.Generator, side: int, knots: int = 9) -> np.ndarray:
    """A smooth surface of mean 0 and deviation about 1."""
    place = np.linspace(0, knots - 1, side)
    weights = np.maximum(1 - np.abs(place[:, None] - np.arange(knots)), 0).astype(np.float32)
    surface: np.ndarray = weights @ rng.standard_normal((knots, knots)).astype(np.float32) @ weights.T
    return surface


def _write_band(land: Land, fields: np.ndarray, folder: Path, date: int, band: str) -> None:
    rng = np.random.default_rng([2, date, BANDS.index(band)])
    every = land.step(band) // STEP
    seen = fields[::every, ::every]
    colours = (rng.gamma(4, 0.25, int(fields.max()) + 1) * BRIGHTNESS[band]).astype(np.float32)
    counts = colours[seen] + 0.08 * BRIGHTNESS[band] * _hills(rng, len(seen))
    counts += NOISE * rng.standard_normal(seen.shape, dtype=np.float32)
    _write_cog(land, folder / day(date) / f"{ASSETS[band]}.tif", counts.clip(1, 20000).astype(np.uint16))


def _write_classes(land: Land, fields: np.ndarray, folder: Path, date: int) -> None:
    clear = (4 + fields[::2, ::2] % 2).astype(np.uint8)
    weather = _hills(np.random.default_rng([3, date]), len(clear), knots=13)
    cloud, shadow = np.quantile(weather[::8, ::8], (0.7, 0.6))
    cloudy = np.where(weather > cloud, 9, np.where(weather > shadow, 3, clear)).astype(np.uint8)
    for name, classes in zip(WEATHERS, (clear, cloudy), strict=True):
        _write_cog(land, folder / day(date) / f"scl-{name}.tif", classes)


def _write_cog(land: Land, path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    side, step = len(pixels), STEP * land.side // len(pixels)
    profile = {"driver": "GTiff", "height": side, "width": side, "count": 1, "dtype": pixels.dtype, "nodata": 0}
    place = {"crs": f"EPSG:{EPSG}", "transform": Affine(step, 0, land.left, 0, -step, land.top)}
    with MemoryFile() as memory:
        with memory.open(**profile, **place) as raster:
            raster.write(pixels, 1)
        with memory.open() as raster:
            rasterio.shutil.copy(
                raster, path, driver="COG", COMPRESS="DEFLATE", PREDICTOR="YES", BLOCKSIZE=land.tile,
                OVERVIEW_RESAMPLING="NEAREST" if pixels.dtype == np.uint8 else "AVERAGE",
            )  # fmt: skip


def _write_catalogue(land: Land, folder: Path, weather: str) -> None:
    (folder / weather).mkdir(exist_ok=True)
    links = []
    for date in range(land.dates):
        item = _item(land, date, weather)
        (folder / weather / f"{item['id']}.json").write_text(json.dumps(item))
        links.append({"rel": "item", "href": f"./{weather}/{item['id']}.json", "type": "application/json"})
    about = {"type": "Catalog", "stac_version": "1.0.0", "id": weather, "description": "Made-up land.", "links": links}
    (folder / f"{weather}.json").write_text(json.dumps(about))


def _item(land: Land, date: int, weather: str) -> dict[str, Any]:
    ground = lonlat(land.square().segmentize(STEP * land.side / 8), f"EPSG:{EPSG}")
    return {
        "type": "Feature",
        "stac_version": "1.0.0",
        "id": f"S2B_33UWP_{day(date).replace('-', '')}_0_L2A",
        "collection": COLLECTION,
        "geometry": mapping(ground),
        "bbox": list(ground.bounds),
        "properties": {
            "datetime": f"{day(date)}T10:00:00Z",
            "platform": "sentinel-2b",
            "proj:epsg": EPSG,
            "grid:code": "MGRS-33UWP",
            "eo:cloud_cover": 0 if weather == "clear" else 30,
            "s2:datatake_id": f"GS2B_{day(date).replace('-', '')}T100000_000001_N05.11",
            "s2:processing_baseline": "05.11",
            "s2:nodata_pixel_percentage": 0,
            "earthsearch:boa_offset_applied": True,
        },
        "links": [],
        "assets": {name: _asset(land, date, band, weather) for band, name in ASSETS.items()},
    }


def _asset(land: Land, date: int, band: str, weather: str) -> dict[str, Any]:
    step, is_classes = land.step(band), band == "SCL"
    side = land.side * STEP // step
    raster = {"nodata": 0, "data_type": "uint8" if is_classes else "uint16", "spatial_resolution": step}
    return {
        "href": f"../{day(date)}/{f'scl-{weather}' if is_classes else ASSETS[band]}.tif",
        "type": COG,
        "roles": ["data"] if is_classes else ["data", "reflectance"],
        "gsd": step,
        "proj:shape": [side, side],
        "proj:transform": [step, 0, land.left, 0, -step, land.top],
        "raster:bands": [raster if is_classes else raster | {"scale": 0.0001, "offset": -0.1}],
    }
