"""How stackstac and odc-stac bring scenes to Zarr: by default, changed only so far that the counts come out right."""

import warnings
from typing import Any

import dask
import numpy as np
import odc.stac
import pystac
import stackstac
import xarray as xr
from ingest_task import Clock, Task
from speed_scenes import EPSG, STEP

from catalogs.bands import BANDS, CLEAR_SCL
from catalogs.stores import CODEC
from catalogs.synthetic.items import ASSETS

NAMES = [ASSETS[band] for band in BANDS]
CHUNK = 1024
"""Pixels: stackstac's default, and the COGs' blocks."""


def stackstac_to_zarr(task: Task, clock: Clock, ours: bool = False) -> None:
    items = task.items()
    with clock(), _threads(task), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it is older than today's numpy and pandas
        cube = _stacked(items, NAMES)
        if task.composite:
            classes = _stacked(items, [ASSETS["SCL"]]).isel(band=0, drop=True)
            cube = _median(cube, classes)
        # other coordinates and attributes hold what Zarr cannot
        cube = cube.assign_coords(band=list(BANDS)).drop_vars(set(cube.coords) - {"time", "band", "y", "x"})
        _write(cube.drop_attrs().to_dataset(name="reflectance"), task, ours)


def odc_to_zarr(task: Task, clock: Clock, ours: bool = False) -> None:
    items = [pystac.Item.from_dict(item) for item in task.items()]
    with clock(), _threads(task):
        names = NAMES + [ASSETS["SCL"]] * task.composite
        chunks = {"x": CHUNK, "y": CHUNK}
        cube = odc.stac.load(items, bands=names, crs=f"EPSG:{EPSG}", resolution=STEP, chunks=chunks)
        if task.composite:
            cube = _median(cube[NAMES], cube[ASSETS["SCL"]])
        _write(cube.drop_attrs().drop_encoding(), task, ours)


def _stacked(items: list[dict[str, Any]], names: list[str]) -> xr.DataArray:
    # Its default, float64 and no data as NaN, would write four times the bytes and round nothing back.
    stack: xr.DataArray = stackstac.stack(
        items, assets=names, resolution=STEP, dtype=np.dtype("uint16"), fill_value=np.uint16(0), rescale=False
    )
    return stack


def _median(counts: Any, classes: xr.DataArray) -> Any:
    """As Furrow rounds: of an even number of dates the mean of the middle two, halves up."""
    whole = counts.where(classes.isin(CLEAR_SCL)).chunk(time=-1)
    median = whole.median("time", keep_attrs=False).expand_dims(time=[0])
    return (median + 0.5).fillna(0).astype("uint16")


def _write(cube: xr.Dataset, task: Task, ours: bool) -> None:
    encoding = {name: {"compressors": (CODEC,)} for name in cube.data_vars} if ours else None
    cube.to_zarr(task.out, mode="w", encoding=encoding, zarr_format=3, consolidated=False)


def _threads(task: Task) -> Any:
    return dask.config.set(scheduler="threads", num_workers=task.cores)
