"""Real bands and real declarations from end to end: 19 groups of parcels, so a smoke test and no accuracy."""

import io
import json
from typing import Any

import numpy as np
import pytest
import rasterio
from flanders import BELGIUM, COLUMN, CROPS, HERE, LEFT, MARKS, ROW, SIDE, TOP, laid_out, native
from flanders import native_as_published as raw

from catalogs.stores import Store
from cluster.kept import kept
from cluster.progress import LineProgress
from pipelines.audit import JSON
from pipelines.ingest import ingest
from pipelines.label import label
from pipelines.plan import Plan

pytestmark = MARKS


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
