"""A published map in the hands of others: xarray, rioxarray, rio-tiler, GDAL, and a notebook that follows the docs."""

import asyncio
import hashlib
import io
import re
import warnings
from pathlib import Path

import numpy as np
import pytest
import rioxarray  # noqa: F401  (gives xarray its .rio)
import xarray as xr
import zarr
from affine import Affine
from servers import gdal_looks
from test_publish import LEFT, TOP, lay_plan, write_root
from zarr.storage import LocalStore

from catalogs.crops import MAP
from catalogs.stores import Store
from catalogs.taxonomy import ten_crops
from cluster.progress import LineProgress
from pipelines.plan import Plan
from pipelines.publish import publish

DOCS = Path(__file__).parents[1] / "docs"
AFFINE = Affine(10, 0, LEFT, 0, -10, TOP)
MAIZE = 1


@pytest.fixture(scope="module")
def published(tmp_path_factory) -> Plan:
    """A map of 1280 x 1280 pixels: stripes of crops, confidence falling from west to east."""
    plan = lay_plan(tmp_path_factory.mktemp("published"), tile=256, size=(12_800, 12_800))
    percent = np.broadcast_to(100 - np.arange(1280) // 20, plan.grid.shape).astype(np.uint8)
    publish(write_root(plan, confidence=percent), LineProgress(io.StringIO()))
    return plan


def place(plan: Plan) -> str:
    return plan.root.path(MAP)


def test_xarray_and_rioxarray(published):
    for group, step in ((None, 1), ("2", 2), ("8", 8)):
        opened = xr.open_zarr(place(published), group=group, decode_coords="all")
        assert opened.rio.crs.to_epsg() == 3035 and opened.rio.transform() == AFFINE @ Affine.scale(step)
        assert opened.crop.dtype == np.uint8
        meanings, colours = (opened.crop.attrs[name].split() for name in ("flag_meanings", "flag_colors"))
        assert meanings[: len(ten_crops().names)] == list(ten_crops().names)
        assert colours[: len(ten_crops().names)] == list(ten_crops().colours)
    assert set(opened.data_vars) == {"crop", "confidence", "observations"}


def test_rio_tiler_reads_what_xarray_opened(published):
    pytest.importorskip("rio_tiler")
    from rio_tiler.io.xarray import XarrayReader

    opened = xr.open_zarr(place(published), decode_coords="all")
    with XarrayReader(opened.crop) as reader:
        assert reader.crs.to_epsg() == 3035 and reader.bounds == (LEFT, TOP - 12_800, LEFT + 12_800, TOP)
        found = reader.point(LEFT + 5 + 80, TOP - 5, coord_crs=reader.crs)
        assert found.data.tolist() == [MAIZE]


def test_rio_tiler_picks_the_level(published):
    pytest.importorskip("rio_tiler")
    pytest.importorskip("obstore")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it says that it is experimental
        from rio_tiler.experimental.zarr import GeoZarrReader

    async def preview(most: int) -> tuple[np.ndarray, object]:
        store = LocalStore(place(published), read_only=True)
        group = await zarr.api.asynchronous.open_group(store=store, mode="r", use_consolidated=False)
        async with GeoZarrReader(group) as reader:
            picture = await reader.preview(variables="crop", max_size=most)
            return picture.data[0], picture.crs

    level = xr.open_zarr(place(published), group="8").crop.values
    thin, crs = asyncio.run(preview(160))
    assert (np.asarray(thin) == level).all() and crs.to_epsg() == 3035
    whole, _ = asyncio.run(preview(1280))
    assert (np.asarray(whole) == Store(published.root, MAP).read("crop")).all()


def digest(pixels: np.ndarray) -> str:
    return hashlib.sha256(pixels.tobytes()).hexdigest()


def test_gdal_reads_the_map_and_takes_levels_for_overviews(published):
    """Its Zarr driver, which is QGIS's too: CRS, transform, no data, flags as attributes. It reads no colours."""
    seen = gdal_looks(place(published), "crop", "confidence")
    for name in ("crop", "confidence"):
        info = seen[name]["info"]
        assert info["size"] == [1280, 1280] and info["geoTransform"] == list(AFFINE.to_gdal())
        assert seen[name]["epsg"] == "3035" and info["bands"][0]["noDataValue"] == 255
        assert [one["size"] for one in info["bands"][0]["overviews"]] == [[640, 640], [320, 320], [160, 160]]
        assert seen[name]["pixels"] == digest(Store(published.root, MAP).read(name))
        assert seen[name]["overviews"] == [digest(Store(published.root, f"{MAP}/{n}").read(name)) for n in (2, 4, 8)]
    assert seen["crop"]["attributes"]["flag_meanings"].split()[MAIZE] == "maize"
    assert len(seen["crop"]["attributes"]["flag_colors"].split()) == len(ten_crops().colours) + 1


def notebook(plan: Plan, page: str) -> dict:
    """The names that a page's snippets leave behind."""
    names: dict = {}
    for snippet in re.findall(r"```python\n(.*?)```", (DOCS / page).read_text(), flags=re.DOTALL):
        exec(snippet.replace("furrow-demo", plan.root.url), names)
    return names


def test_the_notebook_of_the_docs_runs(published, capsys):
    names = notebook(published, "map.md")
    assert names["overview"].crop.shape == (320, 320)
    columns = np.bincount(np.arange(1280) // 8 % 11, minlength=11)
    assert names["hectares"]["maize"] == pytest.approx(columns[MAIZE] * 1280 * 0.01)
    assert names["pixels"].sum() == 1280 * 640 and "maize" in capsys.readouterr().out


def test_a_published_version_opens_as_the_docs_say(published):
    assert (notebook(published, "versions.md")["crops"].crop == Store(published.root, MAP).read("crop")).all()
