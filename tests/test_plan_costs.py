"""What a run will take: tried beside it before it begins, read from its own records afterwards, and kept to."""

import io
import json
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
from conftest import PROJECT, finish, furrow
from made_map import write_cube

from catalogs.cube import NAME as CUBE
from catalogs.errors import BadInput
from cluster.progress import Bar, LineProgress
from pipelines.estimates import STAGES, estimate
from pipelines.leases import cost
from pipelines.outcomes import Unfinished
from pipelines.plan import Plan, make_plan
from pipelines.probing import probe_map, scratch
from pipelines.project import load_project
from pipelines.run import call
from pipelines.scene_search import find_scenes
from pipelines.spending import Metered
from pipelines.status import status

pytestmark = pytest.mark.slow

PRICES = "\n[prices]\nworker_hour = 36.0\ngpu_hour = 3600.0\nstorage_month = 1e6\ncurrency = 'CHF'\n"


def plan_of(path: Path) -> Plan:
    return make_plan(load_project(path))


def quietly() -> LineProgress:
    return LineProgress(io.StringIO())


@pytest.fixture
def priced(project_file: Callable[..., Path]) -> Path:
    path = project_file()
    path.write_text(path.read_text() + PRICES)
    return path


@pytest.fixture(scope="module")
def ingested(catalog: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("ingested")
    path = folder / "project.toml"
    path.write_text(PROJECT.format(catalog=catalog, root=folder / "root") + PRICES)
    call("ingest", plan_of(path), quietly())
    return path


@pytest.fixture(scope="module")
def printed(catalog: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[dict[str, Any]]]:
    """The root of a project that was planned, and what was said."""
    folder = tmp_path_factory.mktemp("planned")
    (folder / "project.toml").write_text(PROJECT.format(catalog=catalog, root=folder / "root") + PRICES)
    output = finish(furrow("plan", folder / "project.toml", "--probes", "3", "--json"))
    return folder / "root", [json.loads(line) for line in output.splitlines() if line.startswith("{")]


Printed = tuple[Path, list[dict[str, Any]]]


class TestBeforeARun:
    def test_hours_bytes_and_costs_have_intervals(self, printed: Printed) -> None:
        result = next(line for line in printed[1] if line["event"] == "result")
        assert [one["stage"] for one in result["stages"]] == [*STAGES]
        for one in result["stages"]:
            hours, cost = one["hours"], one["cost"]
            assert one["left"] == one["units"] > 0 and one["basis"] == "3 probes" and one["stored_bytes"] > 0
            assert 0 <= hours["low"] < hours["value"] < hours["high"]
            for end, value in cost.items():  # 36 an hour of each worker, and no GPU here
                assert value == pytest.approx(hours[end] * one["workers"] * 36)
        assert result["cost"]["value"] == pytest.approx(sum(one["cost"]["value"] for one in result["stages"]))
        assert result["cost"]["currency"] == "CHF"
        stored = sum(one["stored_bytes"] for one in result["stages"])
        assert result["storage_month"] == pytest.approx(stored / 1e6, rel=0.01)

    def test_nothing_is_left_of_the_probes(self, printed: Printed) -> None:
        assert [path.name for path in printed[0].iterdir()] == ["scenes.json"]

    def test_what_follows_from_the_file_needs_no_probe(self, printed: Printed, priced: Path) -> None:
        told = finish(furrow("plan", priced, "--probes", "0"))
        assert told.count("not known before something of it was probed or done") == 2 and "probe:" not in told


def test_a_run_tells_of_itself_what_is_left(ingested: Path) -> None:
    """Of a cube that is there, its records tell; tiles of it are mapped to learn what mapping takes."""
    plan = plan_of(ingested)
    read, mapped = estimate(plan, find_scenes(plan, quietly()), quietly(), 2)
    assert (read.left, read.worker_seconds.value, read.basis) == (0, 0.0, f"{read.units} records")
    pixels = sum(plan.root.size(f"{CUBE}/{name}/c") for name in ("reflectance", "observations"))
    assert read.stored_bytes == pytest.approx(pixels)
    assert mapped.left == mapped.units == len(plan.tiles) and mapped.worker_seconds.value > 0
    assert status(plan, quietly())["stores"]["map.zarr"] is None, "a probe is no map"


def test_what_is_expected_to_cost_too_much_is_not_begun(ingested: Path) -> None:
    output, _ = (process := furrow("map", ingested, "--max-cost", "0")).communicate(timeout=300)
    assert process.returncode == 2 and "--max-cost 0" in output and "is expected to cost CHF" in output
    assert not (ingested.parent / "root/map.zarr").exists()


def test_without_prices_nothing_can_cost_too_much(project_file: Callable[..., Path]) -> None:
    with pytest.raises(BadInput, match=r"does not say what work costs.*\[prices\]"):
        call("ingest", plan_of(project_file()), quietly(), max_cost=10)


class PriceRise(Metered):
    """Prices explode when reading begins."""

    def stage(self, name: str, *about: Any, **more: Any) -> AbstractContextManager[Bar]:
        self.price_of_an_hour = 1e12 if name == "ingest" else 0.0
        return super().stage(name, *about, **more)


def test_what_costs_more_than_expected_is_stopped_and_goes_on(priced: Path) -> None:
    plan = plan_of(priced)
    with pytest.raises(Unfinished, match=r"has cost CHF [\d,.]+, and --max-cost allows CHF 1\.00"):
        call("ingest", plan, PriceRise(quietly(), 0, most=1, currency="CHF"))
    kept = status(plan, quietly())["stores"][CUBE]
    assert 0 < kept["done"] < kept["planned"]
    call("ingest", plan, quietly())
    assert status(plan, quietly())["stores"][CUBE]["done"] == kept["planned"]


def test_probes_of_lone_tiles_tell_of_those_that_flow_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If each took ten seconds alone: the last takes as long, and those of groups take less."""
    plan = plan_of(write_cube(tmp_path, str(tmp_path / "root")))
    monkeypatch.setattr("pipelines.probing.tile_seconds", lambda _: 10.0)
    with scratch(plan) as beside:
        last, all_of_it = (probe_map(plan, beside, left, 1, quietly()).seconds for left in (1, 28))
    tiles, halo = 28 / 2, plan.model.halo
    share = cost((4, 2), 128, halo, tiles) / cost((1, 1), 128, halo, tiles)
    assert share < 0.8 and last == [10.0, 10.0] and all_of_it == pytest.approx([10 * share] * 2)
