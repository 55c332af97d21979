"""Looking for seams: a map that depends on its windows is found and not published unasked, and any other one is."""

import io
import json
import re
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from made_map import map_here, write_cube, write_labels
from shapely import box

from catalogs.bands import BANDS
from catalogs.crops import MAP
from catalogs.crossings import crossings
from catalogs.errors import BadInput
from catalogs.grid import Grid, Window
from catalogs.region_mask import outside_region
from catalogs.stores import Store, write_shard
from cluster.progress import LineProgress
from models.checkpoint import encode
from models.exactness import CPU, processor
from models.forest_features import Features
from models.forest_fitting import fit_forest
from models.forest_settings import ContextForestSettings
from pipelines.checkpoints import card_in
from pipelines.plan import Plan, make_plan
from pipelines.project import load_project
from pipelines.publish import publish
from pipelines.seam_check import SEAMS, check_seams, find_seams, shows, summed
from pipelines.seam_looks import Look


@pytest.fixture(autouse=True)
def _without_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Starting them takes longer than the work."""
    monkeypatch.setattr("pipelines.seam_looks.on_actors", here)


def here(plan: Plan, start: Callable[..., Any], items: Sequence[Any], **_: object) -> Iterator[Any]:
    work = start()
    for item in reversed(items):  # workers answer in any order
        yield item, work(item)


def plan_of(path: Path) -> Plan:
    return make_plan(load_project(path))


def quiet() -> LineProgress:
    return LineProgress(io.StringIO())


@pytest.fixture(scope="module")
def mapped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project whose map has all the halo that its network asks for."""
    folder = tmp_path_factory.mktemp("mapped")
    path = write_cube(folder, str(folder / "root"))
    write_labels(plan_of(path))
    map_here(plan_of(path))
    return path


@pytest.fixture
def plan(mapped: Path, tmp_path: Path) -> Plan:
    return moved(mapped, tmp_path)


def moved(project: Path, folder: Path, *halo: str) -> Plan:
    """The same cube, network and labels, with the map too if nothing is said of the halo."""
    left_out = shutil.ignore_patterns("map.zarr") if halo else None
    shutil.copytree(project.parent / "root", folder / "root", ignore=left_out)
    text = project.read_text().replace(str(project.parent / "root"), str(folder / "root"))
    (folder / "project.toml").write_text("\n".join([text, *("[map]\nhalo = " + one for one in halo), ""]))
    return plan_of(folder / "project.toml")


@pytest.fixture
def narrow(mapped: Path, tmp_path: Path) -> Plan:
    plan = moved(mapped, tmp_path, "16")
    map_here(plan)
    return plan


def test_no_pixel_of_a_map_with_all_its_halo_is_another_crop(plan: Plan) -> None:
    found = check_seams(plan, quiet())
    assert (found["places"], found["differing"], found["allowed"], found["worst"]) == (16, 0, 0, [])
    assert found["pixels"] > 16 * 128 * 64 and len(found["mapped_on"]) == 1 and found["mapped_on"] == found["seen_on"]
    assert json.loads(plan.root.read(SEAMS)) == found


def test_no_pixel_of_a_forests_map_is_another_crop(mapped: Path, tmp_path: Path) -> None:
    plan = moved(mapped, tmp_path, '"auto"')
    for name, data in forest_checkpoint(plan).items():
        plan.root.write(f"checkpoints/season/{name}", data)
    map_here(plan)
    found = check_seams(plan, quiet())
    crop = Store(plan.root, MAP).read("crop")
    assert len(np.unique(crop)) > 5 and found["pixels"] > 16 * 128 * 64 and found["differing"] == 0


def forest_checkpoint(plan: Plan) -> dict[str, bytes]:
    """Fitted to what looks bright, so that all that is around a pixel matters."""
    shape = ContextForestSettings(bands=len(BANDS), periods=2, classes=11, trees=4, depth=6)
    known = card_in(plan.root, "season")
    assert known is not None
    card = replace(known, architecture="forest-context", settings=shape.as_dict())
    ground_TCYX = Store(plan.root, "cube.zarr").read("reflectance")[:, :, 100:220, 310:430]
    halo = shape.halo
    planes_FYX = Features(shape, card.bands, card.used_middles).planes(ground_TCYX, halo)
    bright = ground_TCYX.astype(float).mean(axis=(0, 1))[halo:-halo, halo:-halo].ravel()
    truth = np.digitize(bright, np.quantile(bright, np.linspace(0, 1, 12)[1:-1])).astype(np.uint8)
    return encode(fit_forest(planes_FYX.reshape(len(planes_FYX), -1).T, truth, shape), card)


def test_too_small_a_halo_is_found_and_refused_with_what_helps(narrow: Plan) -> None:
    with pytest.raises(BadInput, match="a halo of 16 pixels and the network asks for 28") as refused:
        check_seams(narrow, quiet())
    assert 'halo = "auto"' in str(refused.value) and "furrow publish --with-seams project.toml" in str(refused.value)
    found = json.loads(narrow.root.read(SEAMS))
    print(f"{found['differing']} of {found['pixels']} pixels show a halo of 16")
    assert found["differing"] > 10 and found["worst"][0]["differing"] >= found["worst"][-1]["differing"] > 0


def test_publishing_is_refused_before_anything_is_written_and_done_when_asked(narrow: Plan) -> None:
    with pytest.raises(BadInput, match="shows where its windows meet"):
        publish(narrow, quiet())
    assert not narrow.root.exists("map.json") and not narrow.root.exists("report/index.html")
    publish(narrow, quiet(), with_seams=True)
    page = narrow.root.read("report/index.html").decode()
    assert narrow.root.exists("map.json") and "was published with that" in page


def test_a_map_without_seams_is_published_with_how_many_pixels_were_compared_twice_the_same(plan: Plan) -> None:
    publish(plan, quiet())
    page, first = plan.root.read("report/index.html").decode(), json.loads(plan.root.read(SEAMS))
    assert re.search(rf"At 16 places .*: 0 of {first['pixels']:,} pixels", page.replace("\n", " "))
    before = {key: plan.root.read(key) for key in plan.root.keys("report")}
    plan.root.remove(SEAMS)
    publish(plan, quiet())
    assert {key: plan.root.read(key) for key in plan.root.keys("report")} == before


def test_other_pixels_than_were_mapped_are_found_though_the_map_was_looked_at_before(plan: Plan) -> None:
    """Published again after a tile was made anew, it is looked at again; where nothing changed, it is not."""
    first = find_seams(plan, quiet())
    said = io.StringIO()
    assert find_seams(plan, LineProgress(said)) == first and "places" not in said.getvalue()
    store = Store(plan.root, MAP)
    for tile in plan.tiles:
        where = plan.grid.window(tile).slices
        digest = write_shard(store.array("crop"), where, (store.read("crop", where) + 1) % 11)
        store.ledger.commit(str(tile), store.ledger.record(str(tile)) | {"digests": [digest, digest]})
    found = find_seams(plan, quiet())
    assert found["pixels"] == found["differing"] >= first["pixels"]
    with pytest.raises(BadInput, match="furrow verify"):
        check_seams(plan, quiet())


def lose_the_cube(plan: Plan) -> None:
    plan.root.remove("cube.zarr")


def ingest_anew(plan: Plan) -> None:
    metadata = json.loads(plan.root.read("cube.zarr/zarr.json"))
    metadata["attributes"]["furrow"]["plan"]["season"] = "another"
    plan.root.write("cube.zarr/zarr.json", json.dumps(metadata).encode())


def lose_the_weights(plan: Plan) -> None:
    plan.root.remove("checkpoints/season/weights.safetensors")


def train_anew(plan: Plan) -> None:
    card = json.loads(plan.root.read("checkpoints/season/card.json"))
    plan.root.write("checkpoints/season/card.json", json.dumps(card | {"weights_sha256": "0" * 64}).encode())


@pytest.mark.parametrize(
    ("lose", "why"),
    [
        (lose_the_cube, "the cube that was mapped is not there"),
        (ingest_anew, "the cube is another one"),
        (lose_the_weights, "the checkpoint that mapped is not there"),
        (train_anew, "the checkpoint is another one"),
    ],
)
def test_what_cannot_be_looked_at_is_said_and_stands_in_the_report(plan: Plan, lose: Callable, why: str) -> None:
    lose(plan)
    said = io.StringIO()
    assert why in check_seams(plan, LineProgress(said))["skipped"] and why in said.getvalue()
    assert why in json.loads(plan.root.read(SEAMS))["skipped"]


def look(processor: str, differing: int = 0) -> Look:
    return Look(Window(0, 0, 128, 128), 50_000, differing, processor)


@pytest.mark.parametrize(
    ("mapped_on", "seen_on", "allowed"),
    [("CPU a", "CPU a", 0), ("CPU a", "CPU b", 10), ("", "CPU a", 10), ("H100", "CPU a", 10), ("H100", "H100", 10)],
)
def test_only_cpus_of_one_kind_have_to_agree_to_the_last_pixel(mapped_on: str, seen_on: str, allowed: int) -> None:
    for differing in (0, allowed, allowed + 1, 500):
        found = summed([look(seen_on), look(seen_on, differing)], [mapped_on])
        assert found["allowed"] == allowed and shows(found) == (differing > allowed)


SIDES = st.sampled_from([64, 128, 192])


@settings(max_examples=60)
@given(side=SIDES, window=SIDES, stride=st.sampled_from([1, 8, 32]), corner=st.tuples(*[st.integers(0, 9000)] * 2))
def test_places_are_aligned_in_the_region_and_divided_by_a_border(side, window, stride, corner) -> None:
    left, bottom = corner
    region = box(left, bottom, left + 4100, bottom + 2600)
    grid = Grid.around(region.bounds, "EPSG:3035", 10, side)
    squares = crossings(grid, region, [*grid.tiles(region)], window, stride, 12)
    assert squares == crossings(grid, region, [*grid.tiles(region)], window, stride, 12) and squares
    for square in squares:
        assert square.y % stride == square.x % stride == 0
        assert square.clipped(grid.shape) == square
        inside = ~outside_region(region, grid, square)
        y, x = (np.nonzero(inside)[axis] + start for axis, start in enumerate((square.y, square.x)))
        seen_in = {(a // side, a % side // window, b // side, b % side // window) for a, b in zip(y, x, strict=True)}
        assert len(seen_in) > 1


def test_a_map_of_one_window_has_no_such_place() -> None:
    grid = Grid.around((0, 0, 1000, 1000), "EPSG:3035", 10, 128)
    assert crossings(grid, shapely.box(0, 0, 1000, 1000), [*grid.tiles()], 512, 8, 16) == []


def test_makers_of_cpus_are_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    """They share instructions, and MKL has other kernels for each."""
    makers = {}
    for maker in ("GenuineIntel", "AuthenticAMD"):
        monkeypatch.setattr(Path, "read_text", lambda path, maker=maker: f"processor\t: 0\nvendor_id\t: {maker}\n")
        makers[maker] = processor(on_gpu=False)
    assert len({*makers.values()}) == 2 and all(name.startswith(f"{CPU} {maker}") for maker, name in makers.items())
