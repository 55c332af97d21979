"""Self-training from end to end: killed in several places it ends with the undisturbed run's labels and weights."""

import json
import os
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from conftest import PROJECT, TINY, finish, furrow

from catalogs.root import Root
from catalogs.stores import Store
from catalogs.synthetic import plan_country, write_catalogue, write_declarations, write_scene
from catalogs.taxonomy import IGNORE
from pipelines.checkpoints import card_in
from pipelines.plan import Plan, make_plan
from pipelines.project import load_project
from pipelines.selftraining.ground import ground_of

pytestmark = pytest.mark.slow

HOUSE = Path(__file__).parents[1]
ELSEWHERE = replace(TINY, seed=9, season_shift=40.0)
"""Other land, whose spring comes up to 40 days later."""

LOOSE = """
[selftrain]
teachers = ["{source} season"]
source = ["{source}"]
views = 2
least_pixels = 1
least_agreement = 0.1
most_doubt = 1.0
most_drift = 1.0
least_left = 0.0
tolerance = 1.0

[store]"""
"""A teacher that has hardly been trained is sure of little, and everything is to be run through."""

KILLED = [("look", 2), ("paint", 3), ("patch", 1), ("train", 3)]
"""After how many units of which part the driver is killed, once each."""

DRIVER = """
import os, signal, sys
from contextlib import contextmanager
from pathlib import Path
from cluster.progress import LineProgress
from pipelines.plan import make_plan
from pipelines.project import load_project
from pipelines.run import call

class Deadly(LineProgress):
    @contextmanager
    def stage(self, name, total, unit, already=0):
        with super().stage(name, total, unit, already) as bar:
            advance, done = bar.advance, [0]
            def counted(count=1, note=""):
                advance(count, note)
                done[0] += count
                if name == sys.argv[2] and done[0] >= int(sys.argv[3]):
                    os.kill(os.getpid(), signal.SIGKILL)
            bar.advance = counted
            yield bar

if __name__ == "__main__":
    call("selftrain", make_plan(load_project(sys.argv[1])), Deadly(sys.stdout))
"""


@pytest.fixture(scope="module")
def source(catalog: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The root of a labelled region with a network."""
    folder = tmp_path_factory.mktemp("source")
    text = PROJECT.format(catalog=catalog, root=folder / "root").replace("compare_single_date = true", "")
    (folder / "project.toml").write_text(text)
    for verb in ("ingest", "label", "patch", "train"):
        finish(furrow(verb, folder / "project.toml"))
    return folder / "root"


@pytest.fixture(scope="module")
def region(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project file of a region without declarations, whose cube is there."""
    folder = tmp_path_factory.mktemp("region")
    for job in plan_country(ELSEWHERE).jobs:
        write_scene(ELSEWHERE, job, str(folder))
    write_declarations(ELSEWHERE, str(folder))
    write_catalogue(ELSEWHERE, str(folder))
    text = PROJECT.format(catalog=folder, root="root").replace("compare_single_date = true", "")
    text = text.replace(f'file = "{folder}/parcels.gpkg"', 'source = "none"')
    path = folder / "project.toml"
    path.write_text(text.replace("[store]", LOOSE.format(source=source)))
    finish(furrow("ingest", path))
    shutil.copytree(folder / "root", folder / "killed")
    return path


@pytest.fixture(scope="module")
def undisturbed(region: Path) -> Plan:
    finish(furrow("selftrain", region))
    return make_plan(load_project(region))


def layers(root: Root, stage: str) -> dict[str, np.ndarray]:
    store = Store(Root(root.path(f"selftrain/{stage}")), "labels.zarr")
    return {name: store.read(name) for name in ("crop", "parcel", "weight")}


def test_both_rounds_are_run_and_a_student_is_kept(undisturbed: Plan) -> None:
    log = json.loads(undisturbed.root.read("selftrain/log.json"))
    assert [stage["name"] for stage in log["stages"]] == ["A", "B"] and len(log["rounds"]) == 3
    assert log["kept"] == 2 and {one["agreement_with"] for one in log["rounds"]} == {"nothing"}
    card = card_in(undisturbed.root, "season-student")
    assert card and card.training["planned"]["loss"]["label_smoothing"] == 0.1
    assert b"Nothing was known" in undisturbed.root.read("selftrain/index.html")
    for stage in log["stages"]:
        crop = layers(undisturbed.root, stage["name"])["crop"]
        counted = np.bincount(crop[crop != IGNORE], minlength=len(log["classes"]))
        assert stage["labelled_pixels"] == counted.tolist() and counted.sum() > 0


def test_no_label_and_no_patch_lies_on_held_out_ground(undisturbed: Plan) -> None:
    ground = ground_of(undisturbed)
    for stage in "AB":
        crop = layers(undisturbed.root, stage)["crop"]
        for tile in undisturbed.tiles:
            window = undisturbed.grid.window(tile)
            assert not (ground.is_held_out(window) & (crop[window.slices] != IGNORE)).any()


def test_the_student_maps_its_region(undisturbed: Plan, region: Path) -> None:
    path = region.with_name("map.toml")
    path.write_text(region.read_text() + '\n[map]\ncheckpoint = "season-student"\n')
    finish(furrow("map", path))
    assert (Store(undisturbed.root, "map.zarr").read("crop") != IGNORE).any()


def test_killed_in_several_places_it_ends_the_same(undisturbed: Plan, region: Path) -> None:
    path = region.with_name("killed.toml")
    path.write_text(region.read_text().replace('root = "root"', 'root = "killed"'))
    script = region.with_name("driver.py")
    script.write_text(DRIVER)
    environment = os.environ | {"PYTHONPATH": str(HOUSE)}
    for part, units in KILLED:
        words = [sys.executable, str(script), str(path), part, str(units)]
        done = subprocess.run(words, capture_output=True, text=True, check=False, env=environment)
        assert done.returncode == -signal.SIGKILL, f"{part}: {done.stdout[-2000:]} {done.stderr[-2000:]}"
    finish(furrow("selftrain", path))
    killed = Root(str(region.with_name("killed")))
    for stage in "AB":
        expected, found = (layers(root, stage) for root in (undisturbed.root, killed))
        assert all((found[name] == layer).all() for name, layer in expected.items()), stage
    for key in ("checkpoints/season-student/weights.safetensors", "selftrain/log.json"):
        assert killed.read(key) == undisturbed.root.read(key), key
