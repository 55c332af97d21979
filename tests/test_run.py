"""The whole path on a small country: it ends in a map that anyone can read, and kills at any moment change nothing."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import rioxarray  # noqa: F401  (gives xarray its .rio)
import xarray as xr
from conftest import PROJECT, finish, furrow

from catalogs.bands import BANDS
from catalogs.errors import BadInput
from catalogs.root import Root
from cluster.progress import LineProgress
from pipelines.plan import make_plan
from pipelines.project import parse_project
from pipelines.run import call

pytestmark = pytest.mark.slow

PATIENCE = 240
"""Seconds in which a stage must show itself on the slowest machine."""


def until(ready: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    """Wait for a moment in a command's life; fails if it ends before, or if the moment never comes."""
    deadline = time.monotonic() + PATIENCE
    while not ready():
        with suppress(subprocess.TimeoutExpired):  # a loop without a pause would take a core from the command
            process.wait(timeout=0.02)
        assert process.poll() is None, f"it ended too early: {process.stdout.read()}"  # type: ignore[union-attr]
        assert time.monotonic() < deadline, "the moment never came"


def kill_when(process: subprocess.Popen[str], ready: Callable[[], bool]) -> None:
    """SIGKILL the whole group as soon as `ready`."""
    until(ready, process)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def files_of(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_everything_that_was_promised_is_there(finished):
    for key in (
        "cube.zarr/zarr.json", "labels.zarr/zarr.json", "patches.parquet", "patches.zarr/zarr.json",
        "map.zarr/zarr.json", "checkpoints/season/weights.safetensors", "checkpoints/season/card.json",
        "checkpoints/single-date/card.json",
        "report/index.html", "report/scores.json", "map.json",
    ):  # fmt: skip
        assert (finished / key).exists(), key
    assert not list(finished.rglob("*.partial"))


def test_the_map_says_what_it_is_to_any_reader(finished):
    """In a Python without any of ours on its path."""
    code = (
        "import sys, xarray as xr, rioxarray; d = xr.open_zarr(sys.argv[1], decode_coords='all');"
        "print(d.crop.attrs['flag_meanings'].split()[1], d.rio.crs.to_epsg(), d.x.attrs['units'], int(d.crop.min()))"
    )
    shown = subprocess.run(
        [sys.executable, "-c", code, str(finished / "map.zarr")], capture_output=True, text=True, check=True, cwd="/"
    )
    assert shown.stdout.split() == ["maize", "31287", "metre", "0"]


def test_the_cube_is_plain_zarr_with_names_and_times(finished):
    cube = xr.open_zarr(finished / "cube.zarr", decode_coords="all")
    assert cube.reflectance.dims == ("time", "band", "y", "x") and cube.reflectance.dtype == np.uint16
    assert tuple(cube.band.values) == BANDS and str(cube.time.values[0])[:10] == "2021-03-01"
    seen = cube.observations.values > 0
    assert ((cube.reflectance.values > 0).all(axis=1) == seen).all() and 0.2 < seen.mean() < 1


def test_a_second_run_finds_everything_done_and_changes_nothing(finished):
    before = files_of(finished)
    output = finish(furrow("run", finished.parent / "project.toml"))
    assert "done before" in output
    assert files_of(finished) == before


def test_status_counts_what_is_done(finished):
    output = finish(furrow("status", finished.parent / "project.toml", "--json"))
    result = [json.loads(line) for line in output.splitlines() if '"result"' in line][0]
    assert result["published"] and set(result["checkpoints"]) == {"season", "single-date"}
    for found in result["stores"].values():
        assert found["done"] == found["planned"] > 0 and found["failed"] == 0


def test_killed_in_every_stage_and_started_again_the_map_is_the_same_to_the_last_byte(finished, project_file, tmp_path):
    path, root = project_file(), tmp_path / "root"
    done = {store: Root(str(root)).path(f"ledger/{store}/done") for store in ("cube.zarr", "labels.zarr", "map.zarr")}

    def commits(store: str) -> int:
        folder = Path(done[store])
        return len(list(folder.iterdir())) if folder.exists() else 0

    moments = {
        "ingest": lambda: commits("cube.zarr") >= 5,
        "label": lambda: commits("labels.zarr") >= 1,
        "train": lambda: (root / "checkpoints/season/training-state-0.safetensors").exists(),
        "map": lambda: commits("map.zarr") >= 1,
    }
    for stage, ready in moments.items():
        kill_when(furrow("run", path), ready)
        print(f"killed in {stage}: {commits('cube.zarr')} tile periods, {commits('map.zarr')} map tiles were committed")
    finish(furrow("run", path))
    assert files_of(root / "map.zarr") == files_of(finished / "map.zarr")
    weights = "checkpoints/season/weights.safetensors"
    assert (root / weights).read_bytes() == (finished / weights).read_bytes()


def interrupt_when(process: subprocess.Popen[str], ready: Callable[[], bool], number: int) -> str:
    """Send a signal to the whole group, as a terminal does; returns what the command said."""
    until(ready, process)
    os.killpg(process.pid, number)
    output, _ = process.communicate(timeout=90)
    assert process.returncode == 130, output
    return output


def test_ctrl_c_and_sigterm_stop_cleanly_and_say_how_to_go_on(finished, project_file, tmp_path):
    path, root = project_file(), tmp_path / "root"
    ledger, state = root / "ledger/cube.zarr/done", root / "checkpoints/season/training-state-0.safetensors"
    moments = [
        (signal.SIGINT, lambda: ledger.exists() and bool(list(ledger.iterdir()))),
        (signal.SIGINT, state.exists),
        (signal.SIGTERM, lambda: (root / "map.zarr/zarr.json").exists()),
    ]
    for number, ready in moments:
        output = interrupt_when(furrow("run", path), ready, number)
        assert f"to go on: furrow run {path}" in output and "Traceback" not in output
        if not state.exists():  # what lies between the first moment and the second is no part of this test
            shutil.rmtree(root)
            shutil.copytree(finished, root, ignore=shutil.ignore_patterns("checkpoints", "map.*", "report"))


@pytest.mark.parametrize("verb", ["patch", "map", "validate", "publish"])
def test_every_verb_refuses_stores_of_other_ground(finished, verb, catalog):
    text = PROJECT.format(catalog=catalog, root=finished).replace("tile = 128", "tile = 256")
    plan = make_plan(parse_project(text, finished.parent / "other.toml"))
    before = files_of(finished)
    with pytest.raises(BadInput, match="was planned differently"):
        call(verb, plan, LineProgress(sys.stderr))
    call("status", plan, LineProgress(sys.stderr))
    assert files_of(finished) == before


def test_a_checkpoint_that_was_trained_differently_is_not_overwritten(finished, catalog):
    text = PROJECT.format(catalog=catalog, root=finished).replace("epochs = 3", "epochs = 4")
    plan = make_plan(parse_project(text, finished.parent / "other.toml"))
    with pytest.raises(BadInput, match=r"training.epochs: it has 3, the project says 4"):
        call("train", plan, LineProgress(sys.stderr))
