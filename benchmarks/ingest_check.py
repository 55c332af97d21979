"""Whether a contestant's cube holds the right counts: against plain rasterio and numpy."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import zarr
from ingest_task import Task
from speed_scenes import STEP, Land

from catalogs.bands import BANDS, CLEAR_SCL
from catalogs.synthetic.items import ASSETS

SOME = 16
"""Of a composite every so many rows are checked: numpy's median that passes over NaN is slow."""


def wrong_bands(task: Task) -> list[str]:
    """Bands whose counts are not what they should be, on any date."""
    group = _group(Path(task.out))
    return [band for band in BANDS if not all(map(np.array_equal, _written(group, band, task), _expected(band, task)))]


def _group(out: Path) -> zarr.Group:
    ours = out / "root" / "cube.zarr"
    return zarr.open_group(str(ours if ours.exists() else out), mode="r")


def _written(group: zarr.Group, band: str, task: Task) -> Iterator[np.ndarray]:
    """One picture for each date, or for the composite, cut to the scenes' ground."""
    y, x = _corner(group, task.land)
    cut = slice(y, y + task.land.side, SOME if task.composite else 1), slice(x, x + task.land.side)
    for time in range(1 if task.composite else task.land.dates):
        if ASSETS[band] in group:  # an array a band, as odc-stac makes them
            yield _array(group, ASSETS[band])[time, *cut]
        else:
            yield _array(group, "reflectance")[time, BANDS.index(band), *cut]


def _corner(group: zarr.Group, land: Land) -> tuple[int, int]:
    """Where the scenes begin in its arrays; coordinates may stand for a pixel's centre or its corner."""
    y, x = (float(_array(group, name)[0]) for name in ("y", "x"))
    return int((y - land.top) // STEP + (y % STEP > 0)), int(-((x - land.left) // STEP))


def _array(group: zarr.Group, name: str) -> Any:
    return group[name]


def _expected(band: str, task: Task) -> Iterator[np.ndarray]:
    if not task.composite:
        return (_at_10_m(item["assets"][ASSETS[band]]["href"], task.land) for item in _files(task))
    return iter([_median(band, task)])


def _files(task: Task) -> list[dict[str, Any]]:
    return replace(task, url=None).items()


def _at_10_m(link: str, land: Land) -> np.ndarray:
    with rasterio.open(link) as raster:
        pixels: np.ndarray = raster.read(1)
    times = land.side // len(pixels)
    return pixels.repeat(times, axis=0).repeat(times, axis=1)


def _median(band: str, task: Task) -> np.ndarray:
    dates = []
    for item in _files(task):
        counts, classes = (_at_10_m(item["assets"][ASSETS[name]]["href"], task.land)[::SOME] for name in (band, "SCL"))
        dates.append(np.where(np.isin(classes, CLEAR_SCL), counts.astype(np.float32), np.float32(np.nan)))
    seen = ~np.isnan(dates).all(axis=0)
    median = np.zeros(seen.shape, np.float32)
    median[seen] = np.nanmedian(np.stack(dates)[:, seen], axis=0)
    rounded: np.ndarray = np.floor(median + 0.5).astype(np.uint16)
    return rounded
