"""Real bands and real declarations from end to end: 19 groups of parcels, so a smoke test and no accuracy."""

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import geopandas
import made_scenes as made
import numpy as np
import pytest
import rasterio
import shapely
from flanders import BELGIUM, COLUMN, DATES, EPSG, HERE, LEFT, MARKS, ROW, SIDE, TOP, classes, item, native
from flanders import native_as_published as raw

from catalogs.bands import CLEAR_SCL
from catalogs.stores import Store
from cluster.kept import kept
from cluster.progress import LineProgress
from pipelines.audit import JSON
from pipelines.ingest import ingest
from pipelines.label import label
from pipelines.plan import Plan, make_plan
from pipelines.project import parse_project

pytestmark = MARKS

PROJECT = """
[region]
name = "Flanders"
boundary = "region.gpkg"
crs = "EPSG:{epsg}"
tile = 128

[season]
start = 2018-04-01
end = 2018-10-31

[imagery]
provider = "local"
catalog = "{catalog}"

[labels]
source = "national"
file = "{parcels}"
country = "BE_VLG"
code_column = "croptype"
name_column = "croptype_name"
mapping = "crops.csv"

[store]
root = "root"

[compute]
workers = 1
"""

CROPS = {1200: 1, 2130: 0, 5100: 7, 7900: 0, 9120: 10}
"""The legend of the place to ours: maize, cabbages, potatoes, other leguminous crops, permanent grass."""


def laid_out(folder: Path, pixels: Callable[[str], dict[str, np.ndarray]]) -> Plan:
    """A run of the season of 2018 on scenes that hold these pixels of each clear date."""
    season = [date for date in DATES if "201804" <= date < "201811"]
    clear = [date for date in season if np.isin(classes(date), CLEAR_SCL).mean() > 0.95]
    items = [item(folder, date, pixels(date), f"{date[:4]}-{date[4:6]}-{date[6:8]}T10:56:00Z") for date in clear]
    square = shapely.box(LEFT, TOP - 10 * SIDE, LEFT + 10 * SIDE, TOP)
    geopandas.GeoSeries([square], crs=EPSG).to_file(folder / "region.gpkg")
    (folder / "crops.csv").write_text("\n".join(["code,class", *(f"{code},{crop}" for code, crop in CROPS.items())]))
    parcels = BELGIUM / "parcels_from_raster.gpkg"
    text = PROJECT.format(epsg=EPSG, catalog=made.static_catalogue(folder, items), parcels=parcels)
    return make_plan(parse_project(text, folder / "project.toml"))


def audited(plan: Plan) -> dict[str, Any]:
    progress = LineProgress(io.StringIO())
    with kept():  # the same workers for both
        ingest(plan, progress)
        label(plan, progress)
    return dict(json.loads(plan.root.read(JSON)))


@pytest.fixture(scope="module")
def aligned(tmp_path_factory):
    plan = laid_out(tmp_path_factory.mktemp("aligned"), native)
    return plan, audited(plan)


def test_labels_are_the_published_raster(aligned):
    plan, _ = aligned
    with rasterio.open(BELGIUM / "croptype.tif") as raster:
        truth = raster.read(1)
    crop = Store(plan.root, "labels.zarr").read("crop")
    assert (plan.grid.x[COLUMN], plan.grid.y[ROW]) == (LEFT + 5, TOP - 5)
    known = np.isin(truth, list(CROPS))
    assert known.sum() > 0.5 * SIDE**2
    ours = np.array([CROPS.get(int(code), 255) for code in truth.flat]).reshape(truth.shape)
    assert (crop[HERE][known] == ours[known]).all() and (crop[HERE][~known] == 255).all()


def test_the_audit_counts_the_parcels_and_finds_the_imagery_in_its_place(aligned):
    _, audit = aligned
    print(f"{audit['totals']['kept']} groups of parcels: a smoke test, not a measure of accuracy")
    assert audit["totals"]["read"] == 19 and audit["verdict"]["fit"]
    shift = audit["curves"]["shift"]
    assert (shift["south"], shift["east"], shift["found"]) == (0, 0, False) and shift["known"]


def test_imagery_as_published_is_told_to_lie_a_pixel_too_far_south(tmp_path):
    shift = audited(laid_out(tmp_path, raw))["curves"]["shift"]
    assert (shift["south"], shift["east"], shift["found"]) == (1, 0, True)
    assert "south" in shift["words"]
