"""verify: a whole map agrees, and whatever is done to its pixels, records or tiles is found and can be made anew."""

import io
import json
import re
import shutil
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from made_map import bytes_of, map_here, write_cube

from catalogs.crops import MAP, MAP_ARRAYS
from catalogs.stores import Store, plane_objects, write_shard
from cluster.items import each_here
from cluster.progress import LineProgress
from pipelines.checkpoints import read_checkpoint
from pipelines.outcomes import Unfinished
from pipelines.plan import Plan, make_plan
from pipelines.project import load_project
from pipelines.status import status
from pipelines.verify import verify


@pytest.fixture(scope="module")
def mapped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("mapped")
    map_here(plan_of(write_cube(folder, str(folder / "root"))))
    return folder


def plan_of(path: Path) -> Plan:
    return make_plan(load_project(path))


@pytest.fixture
def plan(mapped: Path, tmp_path: Path) -> Plan:
    shutil.copytree(mapped / "root", tmp_path / "root")
    text = (mapped / "project.toml").read_text()
    (tmp_path / "project.toml").write_text(text.replace(str(mapped / "root"), str(tmp_path / "root")))
    return plan_of(tmp_path / "project.toml")


@pytest.fixture
def without_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Starting them takes longer than the work."""
    monkeypatch.setattr("pipelines.verify.item_workers", lambda address, count: nullcontext(each_here))


def verified(plan: Plan, repair: bool = False) -> dict[str, object]:
    return verify(plan, LineProgress(io.StringIO()), repair)


def test_a_whole_map_agrees(plan: Plan) -> None:
    found = verified(plan)
    crop = Store(plan.root, MAP).read("crop")
    assert found["tiles"] == len(plan.tiles) == 28
    assert found["hectares"] == pytest.approx((crop != 255).sum() / 100)


TILE = 7


def object_of(plan: Plan, name: str = "crop") -> str:
    return f"{MAP}/{plane_objects(plan.grid, plan.tiles[TILE], [name])[0]}"


def flip_a_bit(plan: Plan) -> None:
    data = bytearray(plan.root.read(object_of(plan)))
    data[len(data) // 2] ^= 1
    plan.root.write(object_of(plan), bytes(data))


def lose_pixels(plan: Plan) -> None:
    plan.root.remove(object_of(plan, "confidence"))


def lose_observations(plan: Plan) -> None:
    plan.root.remove(object_of(plan, "observations"))


def forget_an_observation(plan: Plan) -> None:
    """As a worker with a mistake in it would commit it: digest and bytes agree."""
    window, store = plan.grid.window(plan.tiles[TILE]), Store(plan.root, MAP)
    counts = store.read("observations", window.slices)
    counts[np.unravel_index(np.argmin(counts), counts.shape)] = 255
    digest = write_shard(store.array("observations"), window.slices, counts)
    change_record(plan, lambda record: record["digests"].__setitem__(MAP_ARRAYS.index("observations"), digest))


def lose_the_record(plan: Plan) -> None:
    Store(plan.root, MAP).ledger.forget(str(plan.tiles[TILE]))


def change_the_count(plan: Plan) -> None:
    change_record(plan, lambda record: record["classes"].update({"1": 5}))


def from_another_plan(plan: Plan) -> None:
    change_record(plan, lambda record: record.update(plan="0123456789abcdef"))


def change_record(plan: Plan, change: Callable[[dict], object]) -> None:
    ledger, unit = Store(plan.root, MAP).ledger, str(plan.tiles[TILE])
    record = ledger.record(unit)
    change(record)
    ledger.commit(unit, record)


def write_over(plan: Plan) -> None:
    """By somebody who takes no notice of records."""
    window = plan.grid.window(plan.tiles[TILE])
    write_shard(Store(plan.root, MAP).array("crop"), window.slices, np.full((128, 128), 4, np.uint8))


def cut_the_record(plan: Plan) -> None:
    plan.root.write(f"ledger/{MAP}/done/{plan.tiles[TILE]}.json", b'{"classes": ')


@pytest.mark.usefixtures("without_workers")
@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (flip_a_bit, "has other bytes in crop/c/"),
        (lose_pixels, "lacks confidence/c/"),
        (lose_observations, "lacks observations/c/"),
        (forget_an_observation, "has a crop without a number of observations"),
        (lose_the_record, "has no commit record"),
        (change_the_count, "has other crops than were counted"),
        (from_another_plan, "planned differently"),
        (write_over, "has other bytes in crop/c/"),
        (cut_the_record, "cannot be read"),
    ],
)
def test_damage_is_found_named_and_made_anew(plan: Plan, damage: Callable[[Plan], None], words: str) -> None:
    before = bytes_of(plan.root)
    damage(plan)
    with pytest.raises(Unfinished, match=f"1 of 28 tiles do not agree: {re.escape(str(plan.tiles[TILE]))} .*{words}"):
        verified(plan)
    with pytest.raises(Unfinished, match="taken back"):
        verified(plan, repair=True)
    map_here(plan)
    verified(plan)
    assert bytes_of(plan.root) == before


@pytest.mark.usefixtures("without_workers")
def test_what_no_plan_asked_for_is_found(plan: Plan) -> None:
    ledger = Store(plan.root, MAP).ledger
    record = ledger.record(str(plan.tiles[0]))
    ledger.commit("r+00001c+00001", record)
    plan.root.write(f"{MAP}/crop/c/77/77", b"?")
    with pytest.raises(Unfinished, match=r"2 of 28 tiles do not agree.*crop/c/77/77 belongs to no tile.*r\+00001c"):
        verified(plan)


def test_records_say_what_made_each_tile(plan: Plan) -> None:
    record = Store(plan.root, MAP).ledger.record(str(plan.tiles[TILE]))
    _, card = read_checkpoint(plan.root, "season")
    assert record["weights_sha256"] == card.weights_sha256 and record["valid"] == sum(
        count for value, count in record["classes"].items() if value != "255"
    )
    assert len(record["digests"]) == len(record["objects"]) == len(MAP_ARRAYS)
    assert json.dumps(record)  # plain values


def test_status_tells_the_pace_of_the_map(plan: Plan) -> None:
    said = io.StringIO()
    found = status(plan, LineProgress(said))
    assert found["stores"][MAP]["done"] == 28 and found["pace"]["seconds_left"] == 0
    Store(plan.root, MAP).ledger.forget(str(plan.tiles[TILE]))
    found = status(plan, LineProgress(said))
    tile_km2 = 1.28**2
    assert found["pace"]["seconds_left"] == pytest.approx(tile_km2 / found["pace"]["km2_per_second"])
    assert "km2 per second on 2 workers" in said.getvalue() and " left" in said.getvalue()


def test_status_tells_what_the_rest_will_cost(plan: Plan) -> None:
    prices = plan.project.prices.model_copy(update={"worker_hour": 36.0, "gpu_hour": 1000.0, "currency": "CHF"})
    priced = replace(plan, project=plan.project.model_copy(update={"prices": prices}))
    Store(plan.root, MAP).ledger.forget(str(plan.tiles[TILE]))
    said = io.StringIO()
    pace = status(priced, LineProgress(said))["pace"]
    assert pace["cost_left"] == pytest.approx(pace["seconds_left"] * pace["workers"] * 36 / 3600)
    assert "CHF" in said.getvalue()
    assert "cost_left" not in status(plan, LineProgress(io.StringIO()))["pace"]
