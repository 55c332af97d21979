"""A catalogue searched again: new scenes are told, what they lie over is composed anew, and the rest stays."""

import io
from pathlib import Path
from typing import Any

import made_scenes as made
import numpy as np
import pytest

from catalogs import cube
from catalogs.root import Root
from catalogs.scenes import SceneList
from catalogs.stores import Store
from cluster.progress import LineProgress
from pipelines.compose import compose
from pipelines.ingest import compositions, take_back_changed
from pipelines.plan import Plan
from pipelines.scene_search import SCENES, find_scenes
from pipelines.stored import units_of

SIDE = 2 * made.TILE
HALF = made.TILE - 20
"""Pixels that the new scene has in the east: it ends short of the tiles in the west."""


class Ground:
    """Two by two tiles in one month and the scenes of a catalogue, which grows."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.items = [self.scene("first", 1, 5), self.scene("second", 2, 10)]

    def scene(self, name: str, seed: int, day: int, east: bool = False, **about: Any) -> dict[str, Any]:
        width, left = (HALF, made.LEFT + 10 * (SIDE - HALF)) if east else (SIDE, made.LEFT)
        pixels = made.random_pixels(seed, SIDE, width)
        files = made.write_pixels(self.folder / name, pixels, left)
        ground = made.ground_of_pixels(pixels, left)
        return made.plain_item(name, files, ground, f"2021-06-{day:02d}T10:00:00Z", **about)

    def plan(self, root: str = "root", **imagery: Any) -> Plan:
        self.folder.joinpath("catalog.json").unlink(missing_ok=True)
        return made.plan_of(self.folder, made.static_catalogue(self.folder, self.items), root=root, **imagery)


@pytest.fixture
def ground(tmp_path: Path) -> Ground:
    return Ground(tmp_path)


def ingest_here(plan: Plan, again: bool = False) -> str:
    """What `ingest` does, without workers and report; what was said."""
    said = io.StringIO()
    progress, store = LineProgress(said), Store(plan.root, cube.NAME)
    scenes = find_scenes(plan, progress, again)
    take_back_changed(plan, store, scenes, progress)
    made.begin(plan)
    missing = set(store.missing(units_of(plan, cube.NAME)))
    for composition in compositions(plan, scenes, missing):
        assert not [one for one in compose(composition).values() if isinstance(one, Exception)]
    return said.getvalue()


def cube_bytes(plan: Plan) -> dict[str, bytes]:
    return {key: plan.root.read(key) for key in plan.root.keys(cube.NAME)}


def records(plan: Plan) -> dict[str, bytes]:
    return {key: plan.root.read(key) for key in plan.root.keys(f"ledger/{cube.NAME}/done")}


def test_a_new_scene_makes_anew_what_it_lies_over(ground: Ground) -> None:
    plan = ground.plan()
    ingest_here(plan)
    before, told = cube_bytes(plan), records(plan)
    ground.items.append(ground.scene("third", 3, 20, east=True))
    plan = ground.plan()
    assert ingest_here(plan) == "" and cube_bytes(plan) == before, "nobody asked for a search"
    said = ingest_here(plan, again=True)
    assert "searched again: 1 new (third)" in said
    assert "2 of 4 tile periods are made anew: scenes have changed" in said
    kept = [key for key, record in records(plan).items() if record == told[key]]
    east = max(tile.col for tile in plan.tiles)
    assert sorted(Path(key).stem for key in kept) == sorted(f"t000-{t}" for t in plan.tiles if t.col != east)
    ingest_here(fresh := ground.plan("fresh"))
    assert cube_bytes(plan) == cube_bytes(fresh) != before
    assert plan.root.read(SCENES) == fresh.root.read(SCENES)


def test_a_scene_that_is_gone_is_taken_out(ground: Ground) -> None:
    ground.items.append(ground.scene("third", 3, 20, east=True))
    ingest_here(plan := ground.plan())
    ground.items.pop()
    said = ingest_here(ground.plan(), again=True)
    assert "1 gone (third)" in said and "2 of 4 tile periods" in said
    ingest_here(fresh := ground.plan("fresh"))
    assert cube_bytes(plan) == cube_bytes(fresh)


def test_nothing_new_changes_nothing_and_known_scenes_stay_as_they_were_told(ground: Ground) -> None:
    """But for links, which may lead to another place now."""
    ingest_here(plan := ground.plan(composite="best"))
    before = cube_bytes(plan), records(plan)
    for item in ground.items:
        item["properties"]["eo:cloud_cover"] = 3.0
        files = made.linked(
            {name: asset["href"] for name, asset in item["assets"].items()}, ground.folder / "new" / item["id"]
        )
        item["assets"] = {name: {"href": path} for name, path in files.items()}
    said = ingest_here(plan := ground.plan(composite="best"), again=True)
    assert "nothing has changed" in said and "made anew" not in said
    assert (cube_bytes(plan), records(plan)) == before
    found, _ = SceneList.decode(plan.root.read(SCENES))
    assert [scene.cloud for scene in found.scenes] == [10.0, 10.0]
    assert [scene.hrefs["B02"] for scene in found.scenes] == ["new/first/B02.tif", "new/second/B02.tif"]


def test_a_scene_that_was_processed_anew_is_told_and_read_anew(ground: Ground) -> None:
    ingest_here(ground.plan())
    ground.items[1] = ground.scene("second", 7, 10, **{"s2:processing_baseline": "05.12"})
    made.close_files()
    said = ingest_here(plan := ground.plan(), again=True)
    assert "1 processed anew (second)" in said and "4 of 4 tile periods" in said
    ingest_here(fresh := ground.plan("fresh"))
    assert cube_bytes(plan) == cube_bytes(fresh)


class Killed(BaseException):
    """As by a signal: nothing is cleaned up."""


@pytest.mark.parametrize("after", range(7))
def test_killed_half_way_it_goes_on(ground: Ground, monkeypatch: pytest.MonkeyPatch, after: int) -> None:
    """While units are taken back (each has two objects and a record), and before the cube says what it is made of."""
    ingest_here(ground.plan())
    ground.items.append(ground.scene("third", 3, 20, east=True))
    plan, remove, left = ground.plan(), Root.remove, [after]

    def dying(root: Root, key: str) -> None:
        if cube.NAME in key:
            if not left[0]:
                raise Killed
            left[0] -= 1
        remove(root, key)

    def dies(*_: Any) -> None:
        raise Killed

    with monkeypatch.context() as patched, pytest.raises(Killed):
        patched.setattr(Root, "remove", dying)
        patched.setattr("catalogs.stores.TAKERS", 1)
        patched.setattr("pipelines.renewal.redescribe", dies)
        ingest_here(plan, again=True)
    said = ingest_here(plan)  # the list was frozen before anything was taken back
    assert f"{2 - after // 3} of 4 tile periods" in said
    ingest_here(fresh := ground.plan("fresh"))
    assert cube_bytes(plan) == cube_bytes(fresh)


def test_records_say_which_scenes_lie_over_a_unit_whether_they_can_be_read_or_not(ground: Ground) -> None:
    ingest_here(plan := ground.plan())
    alone = {record["made_of"] for record in all_records(plan)}
    Path(ground.folder / "second" / "B03.tif").write_bytes(b"no picture")
    made.close_files()
    ingest_here(again := ground.plan("again"))
    lost = all_records(again)
    assert all([one["scene"] for one in record["unreadable"]] == ["second"] for record in lost)
    assert {record["made_of"] for record in lost} == alone and len(alone) == 1
    assert np.unique([len(record["scenes"]) for record in lost]).tolist() == [1]


def all_records(plan: Plan) -> list[dict[str, Any]]:
    return [
        record
        for _, record in Store(plan.root, cube.NAME).ledger.records([unit for unit, _ in units_of(plan, cube.NAME)])
    ]
