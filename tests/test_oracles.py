"""The stores of a finished run against plain rasterio, numpy and geopandas: the numbers are right, not only present."""

import json

import geopandas
import numpy as np
import pytest
import rasterio
import xarray as xr
from rasterio.enums import Resampling
from rasterio.features import rasterize
from rasterio.transform import from_origin
from rasterio.vrt import WarpedVRT

from catalogs.bands import BANDS, CLEAR_SCL
from catalogs.periods import split_season
from catalogs.scenes import SceneList
from catalogs.taxonomy import ten_crops
from models.metrics import confusion, score
from pipelines.plan import make_plan
from pipelines.project import load_project

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def plan(finished):
    return make_plan(load_project(finished.parent / "project.toml"))


def warped(path, grid_crs, transform, shape, resampling):
    with rasterio.open(path) as source, WarpedVRT(
        source, crs=grid_crs, transform=transform, width=shape[1], height=shape[0], resampling=resampling,
        src_nodata=0, nodata=0, tolerance=1e-5, XSCALE=source.res[1] / 10, YSCALE=source.res[0] / 10,
    ) as view:  # fmt: skip
        return view.read(1)


def test_a_tile_period_of_the_cube_is_the_median_that_rasterio_and_numpy_give(plan, finished, catalog):
    cube = xr.open_zarr(finished / "cube.zarr", decode_coords="all")
    scenes, _ = SceneList.decode((finished / "scenes.json").read_bytes())
    tile = plan.tiles[len(plan.tiles) // 2]
    window = plan.grid.window(tile)
    left, _, _, top = plan.grid.bounds(window)
    transform, shape = from_origin(left, top, 10, 10), (window.height, window.width)
    period = split_season(plan.project.season.start, plan.project.season.end, 3)[1]
    stack = []
    for scene in scenes.scenes:
        if period.holds(scene.time):
            classes = warped(catalog / scene.hrefs["SCL"], plan.grid.crs, transform, shape, Resampling.nearest)
            counts = np.stack([
                warped(catalog / scene.hrefs[band], plan.grid.crs, transform, shape, Resampling.bilinear)
                for band in BANDS
            ]).astype(float)  # fmt: skip
            picture = np.maximum(counts - scene.offset, 1)
            picture[:, (counts == 0).all(axis=0) | ~np.isin(classes, CLEAR_SCL)] = np.nan
            stack.append(picture)
    assert {scene.offset for scene in scenes.scenes if period.holds(scene.time)} == {0, 1000}
    with np.errstate(all="ignore"):
        expected = np.nan_to_num(np.floor(np.nanmedian(np.stack(stack), axis=0) + 0.5))
    found = cube.reflectance[1, :, window.slices[0], window.slices[1]].values
    assert (found == expected).all() and (found > 0).mean() > 0.3


def test_labels_are_the_declared_crops_of_plain_geopandas(plan, finished, catalog):
    labels = xr.open_zarr(finished / "labels.zarr", decode_coords="all")
    parcels = geopandas.read_file(catalog / "parcels.gpkg").to_crs(plan.grid.crs)
    parcels = parcels[parcels.geometry.notna() & parcels.is_valid & (parcels.area > 2000)]
    classes = [ten_crops().class_of(code) for code in parcels.EC_hcat_c]
    burnt = rasterize(
        zip(parcels.geometry, classes, strict=True), out_shape=plan.grid.shape, transform=plan.grid.transform, fill=254
    )
    crop = labels.crop.values
    both = (burnt != 254) & (burnt != 255) & (crop != 255)
    assert both.mean() > 0.2
    assert (crop[both] == burnt[both]).mean() > 0.999  # the rest: pixel centres on an edge, parcels declared twice


def test_scores_are_those_of_the_map_on_the_test_patches(plan, finished):
    scores = json.loads((finished / "report/scores.json").read_text())
    crop, labels = (xr.open_zarr(finished / name).crop.values for name in ("map.zarr", "labels.zarr"))
    index = geopandas.read_parquet(finished / "patches.parquet")
    margin, size = plan.project.patches.margin, plan.project.patches.size
    scored = np.zeros(crop.shape, bool)
    for row in index[index.split == "test"].itertuples():  # a block is one patch here, so its margin is the patch's
        scored[row.y + margin : row.y + size - margin, row.x + margin : row.x + size - margin] = True
    parcel = xr.open_zarr(finished / "labels.zarr").parcel.values
    others = index[index.split != "test"].itertuples()
    learned = np.unique([parcel[row.y : row.y + size, row.x : row.x + size] for row in others])
    scored &= ~np.isin(parcel, learned[learned > 0])  # a parcel of another split's ground tests nothing
    counted = confusion(labels[scored], crop[scored], 11)
    assert counted.matrix.tolist() == scores["confusion"]
    assert scores["season"]["mean_iou"] == pytest.approx(score(counted).mean_iou)
    assert scores["pixels"] == counted.matrix.sum() > 1000


def test_no_block_is_in_two_splits_and_every_split_has_some(finished):
    index = geopandas.read_parquet(finished / "patches.parquet")
    assert (index.groupby("block").split.nunique() == 1).all()
    assert set(index.split) == {"train", "validation", "test"}
    assert not index.geometry.union_all().is_empty and index.crs.to_epsg() == 31287
