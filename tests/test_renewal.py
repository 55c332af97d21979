"""Changed inputs: only what is made of them is made anew, and the end is that of a run from nothing, whatever dies."""

import io
import json
import shutil
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from made_map import bytes_of, checkpoint, map_here, mapper_of, write_cube

from catalogs import attempts, cube
from catalogs.attempts import take_back
from catalogs.chunk_table import is_of, write_table
from catalogs.crops import MAP
from catalogs.cube import CubeUnit
from catalogs.errors import BadInput
from catalogs.grid import Grid, Tile
from catalogs.map_reading import MapReader
from catalogs.renewal import redescribe
from catalogs.root import Root
from catalogs.stores import Store, write_shard
from catalogs.versions import freeze
from cluster.items import each_here
from cluster.progress import LineProgress
from pipelines.checkpoints import read_checkpoint
from pipelines.devices import Places
from pipelines.map import make_map
from pipelines.map_inputs import Sight
from pipelines.outcomes import Unfinished
from pipelines.plan import Plan, make_plan
from pipelines.project import load_project
from pipelines.stored import ITEM
from pipelines.verify import verify

TOUCHED = 8
"""A tile whose ground changes."""


def plan_of(path: Path) -> Plan:
    return make_plan(load_project(path))


@pytest.fixture(scope="module")
def mapped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("mapped")
    map_here(plan_of(write_cube(folder, str(folder / "root"))))
    return folder


@pytest.fixture
def plan(mapped: Path, tmp_path: Path) -> Plan:
    return copy_of(mapped, tmp_path)


def copy_of(mapped: Path, folder: Path) -> Plan:
    shutil.copytree(mapped / "root", folder / "root")
    text = (mapped / "project.toml").read_text()
    (folder / "project.toml").write_text(text.replace(str(mapped / "root"), str(folder / "root")))
    return plan_of(folder / "project.toml")


def change_ground(plan: Plan) -> None:
    """What `ingest` leaves when a scene has come over one tile in one period."""
    store, tile = Store(plan.root, cube.NAME), plan.tiles[TOUCHED]
    unit, place = CubeUnit(1, tile).name, (1, slice(None), *plan.grid.window(tile).slices)
    brighter = store.read("reflectance", place) * np.uint16(2)
    record = store.ledger.record(unit)
    record["digests"][0] = write_shard(store.array("reflectance"), place, brighter)
    store.ledger.commit(unit, record)
    redescribe(store, {**(store.description() or {}), "scenes": "others"})


def change_network(plan: Plan) -> None:
    seed = torch.manual_seed
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(torch, "manual_seed", lambda _: seed(77))
        for name, data in checkpoint(plan).items():
            plan.root.write(f"checkpoints/season/{name}", data)


CHANGES: dict[str, Callable[[Plan], None]] = {"ground": change_ground, "network": change_network}


@pytest.fixture(scope="module")
def from_nothing(mapped: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, bytes]]:
    """The map of each change, made on an empty place."""
    found = {}
    for name, change in CHANGES.items():
        plan = copy_of(mapped, tmp_path_factory.mktemp(name))
        change(plan)
        plan.root.remove(MAP)
        plan.root.remove(f"ledger/{MAP}")
        map_here(plan)
        found[name] = bytes_of(plan.root)
    return found


def touched_by(plan: Plan) -> list[str]:
    """Tiles that see the changed one: with this network's halo, its neighbours too."""
    middle = plan.tiles[TOUCHED]
    near = [tile for tile in plan.tiles if max(abs(tile.row - middle.row), abs(tile.col - middle.col)) <= 1]
    return [str(tile) for tile in near]


def map_again(plan: Plan) -> str:
    said = io.StringIO()
    map_here(plan, LineProgress(said))
    return said.getvalue()


def records_of(plan: Plan) -> dict[str, bytes]:
    return {key: plan.root.read(key) for key in plan.root.keys(f"ledger/{MAP}/done")}


def test_only_tiles_that_see_changed_ground_are_made_anew(plan: Plan, from_nothing: Any) -> None:
    before, pixels = records_of(plan), bytes_of(plan.root)
    change_ground(plan)
    said = map_again(plan)
    expected = touched_by(plan)
    assert 4 < len(expected) < len(plan.tiles)
    assert f"{len(expected)} of 28 tiles are made anew: scenes have changed" in said
    after = records_of(plan)
    assert sorted(Path(key).stem for key in after if after[key] != before[key]) == sorted(expected)
    assert bytes_of(plan.root) == from_nothing["ground"] != pixels
    assert "made anew" not in map_again(plan) and records_of(plan) == after


def test_all_tiles_are_made_anew_when_the_network_has_changed(plan: Plan, from_nothing: Any) -> None:
    plan.root.write(ITEM, b"{}")
    change_network(plan)
    assert "28 of 28 tiles are made anew: the checkpoint has changed" in map_again(plan)
    assert bytes_of(plan.root) == from_nothing["network"]
    assert not plan.root.exists(ITEM), "it told of another map"


def test_a_change_that_comes_to_nothing_makes_nothing_anew(plan: Plan) -> None:
    """A scene with clouds all over: other scenes, the same pixels."""
    before = records_of(plan)
    store = Store(plan.root, cube.NAME)
    redescribe(store, {**(store.description() or {}), "scenes": "others"})
    assert "0 of 28 tiles are made anew" in map_again(plan)
    assert records_of(plan) == before


def test_published_versions_stay_what_they_were(plan: Plan) -> None:
    before = bytes_of(plan.root)
    shelf = Root(plan.root.path("published"))
    freeze(plan.root, shelf, "first", plan.root.keys(MAP))
    change_network(plan)
    map_again(plan)
    assert {key: shelf.read(f"data/first/{key}") for key in before} == before != bytes_of(plan.root)


def publish_here(plan: Plan) -> None:
    """What of it is about pixels."""
    plan.root.write(ITEM, b"{}")
    write_table(plan.root, MAP, "these")
    assert MapReader(plan.root, MAP, "crop").at(0, 0) == Store(plan.root, MAP).read("crop")[0, 0]


def test_what_was_published_of_pixels_goes_before_they_do(plan: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    change_ground(plan)
    publish_here(plan)
    with monkeypatch.context() as patched, pytest.raises(Killed):
        patched.setattr("pipelines.map.renew", dies)
        map_again(plan)
    assert not plan.root.exists(ITEM) and not is_of(plan.root, MAP, "these")
    assert MapReader(plan.root, MAP, "crop").at(0, 0) == Store(plan.root, MAP).read("crop")[0, 0]


def test_so_it_does_before_a_lost_tile_is_made_again(plan: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    publish_here(plan)
    monkeypatch.setattr("pipelines.map.mapping_places", lambda _: Places(1))
    monkeypatch.setattr("pipelines.map.on_mapping_actors", lambda plan, start, todo, places: dies() if todo else [])
    make_map(plan, LineProgress(io.StringIO()))
    assert is_of(plan.root, MAP, "these"), "nothing is to be made"
    lost, *_ = Store(plan.root, MAP).ledger.record(str(plan.tiles[0]))["objects"]
    plan.root.remove(f"{MAP}/{lost}")
    with pytest.raises(Killed):
        make_map(plan, LineProgress(io.StringIO()))
    assert not plan.root.exists(ITEM) and not is_of(plan.root, MAP, "these")


class Killed(BaseException):
    """As by a signal: nothing is cleaned up."""


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("after", [0, 1, 2, 5, 9, 20])
def test_killed_while_tiles_are_taken_back(
    plan: Plan, from_nothing: Any, monkeypatch: pytest.MonkeyPatch, change: str, after: int
) -> None:
    CHANGES[change](plan)
    remove, left = Root.remove, [after]

    def dying(root: Root, key: str) -> None:
        if MAP in key:
            if not left[0]:
                raise Killed
            left[0] -= 1
        remove(root, key)

    with monkeypatch.context() as patched, pytest.raises(Killed):
        patched.setattr(Root, "remove", dying)
        patched.setattr("catalogs.stores.TAKERS", 1)
        map_again(plan)
    map_again(plan)
    assert bytes_of(plan.root) == from_nothing[change]


def test_killed_before_the_store_says_what_it_is_made_of_now(
    plan: Plan, from_nothing: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    change_ground(plan)
    with monkeypatch.context() as patched, pytest.raises(Killed):
        patched.setattr("pipelines.renewal.redescribe", dies)
        map_again(plan)
    assert "0 of 28 tiles are made anew" in map_again(plan)
    assert bytes_of(plan.root) == from_nothing["ground"]


def dies(*_: Any, **__: Any) -> Any:
    raise Killed


@pytest.mark.parametrize("moved", [0, 1, 2])
def test_killed_between_a_new_record_and_the_move_of_its_objects(
    plan: Plan, from_nothing: Any, monkeypatch: pytest.MonkeyPatch, moved: int
) -> None:
    """The objects that lay there before must not be taken for those of the new record, also not by who sweeps first."""
    change_ground(plan)
    move, left = Root.move, [moved]

    def dying(root: Root, source: str, target: str) -> bool:
        if not left[0]:
            raise Killed
        left[0] -= 1
        return move(root, source, target)

    with monkeypatch.context() as patched, pytest.raises(Killed):
        patched.setattr(Root, "move", dying)
        map_again(plan)
    store = Store(plan.root, MAP)
    (unit,) = [unit for unit in touched_by(plan) if unit in store.ledger.done()]
    assert unit in store.missing(units(plan)), "old objects would count for new ones"
    map_again(plan)
    assert bytes_of(plan.root) == from_nothing["ground"]


def units(plan: Plan) -> Any:
    from pipelines.stored import units_of

    return units_of(plan, MAP)


@pytest.mark.parametrize("lost", [0, 1, 2])
def test_killed_while_a_tile_is_made_again_of_which_an_object_was_lost(
    plan: Plan, monkeypatch: pytest.MonkeyPatch, lost: int
) -> None:
    """The same gap, without a change: the others of its old objects go too."""
    before, store, tile = bytes_of(plan.root), Store(plan.root, MAP), plan.tiles[TOUCHED]
    (objects,) = [objects for unit, objects in units(plan) if unit == str(tile)]
    plan.root.remove(f"{MAP}/{objects[lost]}")
    assert store.to_do(units(plan)) == [str(tile)]
    assert not [key for key in objects if plan.root.exists(f"{MAP}/{key}")]
    map_again(plan)
    assert bytes_of(plan.root) == before


def test_a_worker_that_wakes_after_its_tile_was_taken_back_moves_nothing(plan: Plan) -> None:
    """It was about to move what it had committed."""
    store, tile = Store(plan.root, MAP), plan.tiles[TOUCHED]
    store.take_back([(str(tile), ())])
    attempt = store.attempt(str(tile))
    window = plan.grid.window(tile).slices
    attempt.write(store.array("crop"), window, np.full((128, 128), 3, np.uint8))
    record = {"attempt": attempt.name, "objects": [*attempt.objects], "digests": [*attempt.objects.values()]}
    assert store.ledger.create(str(tile), record)
    take_back(plan.root, MAP, str(tile))
    attempts.settle(plan.root, MAP, str(tile), record)
    assert not plan.root.exists(f"{MAP}/{record['objects'][0]}") and store.ledger.found(str(tile)) is None
    assert not list(plan.root.keys(attempts.attempts_of(plan.root, MAP)))


def test_a_worker_of_before_the_change_takes_nothing_back(plan: Plan, from_nothing: Any) -> None:
    late = mapper_of(plan)
    change_network(plan)
    map_again(plan)
    with pytest.raises(BadInput, match="planned anew since"):
        late.alone(plan.tiles[TOUCHED])
    assert bytes_of(plan.root) == from_nothing["network"]


def test_what_a_worker_of_before_the_change_commits_does_not_count(plan: Plan, from_nothing: Any) -> None:
    late = mapper_of(plan)
    change_network(plan)
    today = mapper_of(plan)
    for tile in plan.tiles:
        if tile != plan.tiles[TOUCHED]:
            today.alone(tile)
    late.alone(plan.tiles[TOUCHED])
    assert bytes_of(plan.root) != from_nothing["network"]
    today.alone(plan.tiles[TOUCHED])
    assert bytes_of(plan.root) == from_nothing["network"]


def test_one_that_commits_first_while_the_tile_is_made_does_not_count_either(plan: Plan, from_nothing: Any) -> None:
    late = mapper_of(plan)
    change_network(plan)
    today = mapper_of(plan)
    for tile in plan.tiles[1:]:
        today.alone(tile)
    overtaken = replace(today, predictor=Overtaken(today.predictor, lambda: late.alone(plan.tiles[0])))
    record = overtaken.alone(plan.tiles[0])
    assert record["weights_sha256"] == read_checkpoint(plan.root, "season")[1].weights_sha256
    assert bytes_of(plan.root) == from_nothing["network"]


class Overtaken:
    """A predictor; while it works for the first time, somebody else does something."""

    def __init__(self, predictor: Any, other: Callable[[], Any]) -> None:
        self._predictor, self._others = predictor, [other]

    def __getattr__(self, name: str) -> Any:
        return getattr(self._predictor, name)

    def predict(self, *given: Any) -> Any:
        if self._others:
            self._others.pop()()
        return self._predictor.predict(*given)


@pytest.mark.parametrize("change", CHANGES)
def test_verify_finds_tiles_that_are_not_of_what_there_is_now(
    plan: Plan, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    monkeypatch.setattr("pipelines.verify.item_workers", lambda address, count: nullcontext(each_here))
    verify(plan, LineProgress(io.StringIO()))
    CHANGES[change](plan)
    store, described = Store(plan.root, MAP), Store(plan.root, MAP).description()
    if change == "network":  # the map says that it is of the new network, and no tile is
        sha = read_checkpoint(plan.root, "season")[1].weights_sha256
        redescribe(store, {**described, "checkpoint": {"name": "season", "weights_sha256": sha}})
    count = {"ground": len(touched_by(plan)), "network": 28}[change]
    with pytest.raises(Unfinished, match=f"{count} of 28 tiles do not agree.*other scenes or by another network"):
        verify(plan, LineProgress(io.StringIO()), repair=True)
    map_again(plan)
    verify(plan, LineProgress(io.StringIO()))


def test_other_changes_are_still_refused_and_take_nothing_back(plan: Plan) -> None:
    before = bytes_of(plan.root), records_of(plan)
    change_network(plan)
    path = plan.project.path
    path.write_text(path.read_text() + "\n[map]\nhalo = 16\n")
    with pytest.raises(BadInput, match=r"planned differently \(halo"):
        map_again(plan_of(path))
    assert (bytes_of(plan.root), records_of(plan)) == before


def test_a_store_that_is_described_again_is_as_if_it_had_been_begun_so(plan: Plan) -> None:
    store, mark = Store(plan.root, MAP), f"{MAP}/zarr.json"
    described, before = store.description(), plan.root.read(mark)
    assert described is not None
    redescribe(store, {**described, "cube": "another"})
    assert json.loads(plan.root.read(mark))["attributes"]["furrow"]["plan"]["cube"] == "another"
    redescribe(store, described)
    assert plan.root.read(mark) == before


@pytest.mark.parametrize(("halo", "count"), [(0, 1), (1, 9), (128, 9), (129, 25)])
def test_a_tile_is_made_of_the_ground_that_its_halo_reaches(halo: int, count: int) -> None:
    grid = Grid.around((0, -12_800, 12_800, 0), "EPSG:3035", 10, 128)
    units_seen = Sight(grid, halo, (0, 2)).units(Tile(5, 5))
    assert len(units_seen) == len(set(units_seen)) == 2 * count
    corner = Sight(grid, halo, (0,)).units(Tile(0, 0))
    assert len(corner) == {1: 1, 9: 4, 25: 9}[count]
