"""Miniature copies of PASTIS and DACIA5 in the exact format of the downloads, made from nothing but chance."""

import json
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray
from PIL import Image
from rasterio.errors import NotGeoreferencedWarning
from scipy.io import savemat

from catalogs.references.band_order import ALL_BANDS
from catalogs.references.checking import Published
from catalogs.references.dacia5_layout import COLUMNS, IMAGES, MASKS, PARTS, PATCHES, ROWS, YEARS
from catalogs.references.published import Archive, Dacia5Counts, PastisCounts


@dataclass(frozen=True)
class Made:
    """One patch of PASTIS to be made."""

    id: int
    fold: int
    tile: str
    dates: tuple[date, ...]


FIRST = date(2018, 9, 17)
DAYS = tuple(FIRST + timedelta(days) for days in (0, 5, 5, 150, 318, 400))
"""The second and the third image are of one day; the last but one is of 1 August 2019."""

PATCHES_MADE = tuple(
    Made(10000 + n, fold, tile, DAYS)
    for n, (fold, tile) in enumerate([(1, "T30UXV"), (2, "T31TFJ"), (3, "T31TFM"), (4, "T32ULU"), (5, "T30UXV")])
)


def series(dates: int, seed: int) -> NDArray[np.int16]:
    """Clear but for: the first image is cloudy, the second all zero, the third has negatives and no data."""
    images = np.random.default_rng(seed).integers(200, 1400, (dates, 10, 128, 128)).astype(np.int16)
    images[0, :, :100] += 5000
    images[1] = 0
    images[2, :, :4] = -10000
    images[2, 0, 10, 10:12] = (-35, 0)
    return images


def labels_of(seed: int) -> NDArray[np.uint8]:
    """Rectangles of every label from 0 to 19."""
    rectangles = np.random.default_rng(seed).permutation(20)[:16].reshape(4, 4)
    rectangles[0, :2] = (0, 19)
    return np.kron(rectangles, np.ones((32, 32))).astype(np.uint8)


def make_pastis(
    folder: Path, patches: Sequence[Made] = PATCHES_MADE, dates_as_text: bool = False, radar: bool = False
) -> Path:
    for name in ("DATA_S2", "ANNOTATIONS", *(["DATA_S1A", "INSTANCE_ANNOTATIONS"] if radar else [])):
        (folder / name).mkdir(parents=True, exist_ok=True)
    for patch in patches:
        target = np.stack([labels_of(patch.id), np.zeros((128, 128)), np.ones((128, 128))]).astype(np.uint8)
        np.save(folder / "DATA_S2" / f"S2_{patch.id}.npy", series(len(patch.dates), patch.id))
        np.save(folder / "ANNOTATIONS" / f"TARGET_{patch.id}.npy", target)
        np.save(folder / "ANNOTATIONS" / f"ParcelIDs_{patch.id}.npy", np.zeros((128, 128), np.int32))
        if radar:
            np.save(folder / "DATA_S1A" / f"S1A_{patch.id}.npy", np.zeros((70, 3, 8, 8), np.float16))
    norm = {f"Fold_{fold}": {"mean": [1000.0 + fold] * 10, "std": [100.0 * fold] * 10} for fold in range(1, 6)}
    (folder / "NORM_S2_patch.json").write_text(json.dumps(norm))
    write_metadata(folder, [feature(patch, dates_as_text) for patch in patches])
    return folder


def write_metadata(folder: Path, features: Sequence[dict[str, Any]]) -> None:
    crs = {"type": "name", "properties": {"name": "urn:ogc:def:crs:EPSG::2154"}}
    collection = {"type": "FeatureCollection", "name": "metadata", "crs": crs, "features": list(features)}
    (folder / "metadata.geojson").write_text(json.dumps(collection))


def feature(patch: Made, dates_as_text: bool = False) -> dict[str, Any]:
    dates: Any = {str(place): int(f"{day:%Y%m%d}") for place, day in enumerate(patch.dates)}
    corners = [[[[800000.0, 6900000.0], [801280.0, 6900030.0], [801250.0, 6898750.0], [800000.0, 6900000.0]]]]
    return {
        "type": "Feature",
        "id": str(patch.id),
        "properties": {
            "Fold": patch.fold,
            "ID_PATCH": patch.id,
            "N_Parcel": 42,
            "Parcel_Cover": 0.7,
            "TILE": patch.tile[1:].lower() if dates_as_text else patch.tile,
            "dates-S2": json.dumps(dates) if dates_as_text else dates,
            "dates-S1A": {"0": 20180901},
        },
        "geometry": {"type": "MultiPolygon", "coordinates": corners},
    }


GROUND = {  # reflectance x 10000 of forest, grass and bare soil
    "B01": (150, 350, 800), "B02": (180, 400, 900), "B03": (350, 700, 1200), "B04": (200, 500, 1600),
    "B05": (500, 1000, 1900), "B06": (1500, 2500, 2200), "B07": (1900, 3000, 2400), "B08": (2000, 3200, 2600),
    "B8A": (2100, 3300, 2700), "B09": (2150, 3350, 2750), "B11": (900, 1900, 3300), "B12": (400, 1000, 2600),
}  # fmt: skip


def scene(offset: int, seed: int) -> NDArray[np.uint16]:
    """Fields of 60 to 120 m with texture that is as fine as each band's pixels; the last ten rows have no data."""
    random = np.random.default_rng(seed)
    kinds = np.kron(random.choice(3, (ROWS // 10, COLUMNS // 10), p=(0.3, 0.5, 0.2)), np.ones((10, 10), int))
    bands = [np.array(GROUND[band])[kinds] + _texture(band, random) + offset for band in ALL_BANDS]
    pixels = np.stack([_coarser(band, counts) for band, counts in zip(ALL_BANDS, bands, strict=True)])
    pixels[:, -10:] = 0
    return pixels.astype(np.uint16)


def _texture(band: str, random: np.random.Generator) -> NDArray[np.int64]:
    return random.integers(-4, 5, (ROWS, COLUMNS)) * 4


def _coarser(band: str, counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """As a band of 20 or 60 m looks at 10 m: each of its pixels several times."""
    side = 6 if band in ("B01", "B09") else 1 if band in ("B02", "B03", "B04", "B08") else 2
    rows, columns = (np.arange(length) // side * side for length in counts.shape)
    return counts[np.ix_(rows, columns)]


def mask(year: int) -> NDArray[np.uint8]:
    """Strips of every label of that year; most of the ground has none."""
    labels = np.zeros((ROWS, COLUMNS), np.uint8)
    for label in range(1, 18):
        labels[40 * label : 40 * label + 20, 50 : 60 + year % 10] = label
    return labels


SCENES = {"20200601": 1000, "20210601": 0, "20220715": 1000, "20230601": 0, "20240601": 1000}
"""Day -> offset."""

APIA = (("20200601", "101", 1), ("20210601", "9748", 2), ("20240601", "3017", 1), ("20240601", "151", 2))


def make_dacia5(folder: Path, days: Sequence[str] = tuple(SCENES)) -> Path:
    for day in days:
        write_tiff(folder / IMAGES / f"Sentinel2_{day[:4]}" / f"Sentinel2_L2A_{day}.tif", scene(SCENES[day], int(day)))
    for year in YEARS:
        write_mask(folder, year, mask(year))
    for part in PARTS:
        (folder / PATCHES / part / "patches_tiff").mkdir(parents=True)
    small = scene(0, 7)[:, :32, :32]
    for day, apia, number in APIA:
        write_tiff(patch_path(folder, "problem1", day, apia, number), small + SCENES.get(day, 0))
        write_tiff(patch_path(folder, "problem2", day, apia, number), small + SCENES.get(day, 0))
    return folder


def patch_path(folder: Path, problem: str, day: str, apia: str, number: int) -> Path:
    spring = "training_before_20May" if day[4:] <= "0520" else "test_after_20May"
    part = spring if problem == "problem2" else "test_2024" if day[:4] == "2024" else "training_2020-2023"
    return folder / PATCHES / problem / part / "patches_tiff" / f"patch_{day}_{apia}_{number}.tif"


def write_mask(folder: Path, year: int, labels: NDArray[np.uint8]) -> None:
    place = folder / MASKS / f"Sentinel2_{year}"
    place.mkdir(parents=True, exist_ok=True)
    savemat(place / f"Labels_mask_{year}.mat", {"mask": labels}, do_compression=True)
    Image.fromarray(labels).save(place / f"Labels_mask_{year}.png")


def write_tiff(path: Path, pixels: NDArray[Any], names: Sequence[str] = (), **options: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    count, height, width = pixels.shape
    placed = {"crs": "EPSG:32635", "transform": rasterio.Affine(10, 0, 4e5, 0, -10, 5.08e6)} if height > 32 else {}
    shape = {"count": count, "height": height, "width": width, "dtype": pixels.dtype}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with rasterio.open(path, "w", driver="GTiff", **shape, **placed, **options) as file:
            file.write(pixels)
            for place, name in enumerate(names, 1):
                file.set_band_description(place, name)


MADE = Published(
    PastisCounts(5, {"T30UXV": 2, "T31TFJ": 1, "T31TFM": 1, "T32ULU": 1}, {(1, 2, 3): 3}, 6, 6),
    Dacia5Counts(
        len(SCENES),
        dict(zip(PARTS, (2, 2, 0, 4), strict=True)),
        {year: tuple(np.bincount(mask(year).ravel(), minlength=18).tolist()) for year in YEARS},
    ),
    {"PASTIS.zip": Archive("PASTIS.zip", "PASTIS", 4, "900150983cd24fb0d6963f7d28e17f72", "https://example.org")},
)
"""What a check has to find in both; the MD5 is that of the three letters abc, one byte short."""
