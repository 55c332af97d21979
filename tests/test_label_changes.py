"""A parcel file that has changed: tiles with the same parcels stay, and the end is that of a run from nothing."""

import io
import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import geopandas as gpd
import pytest
import shapely
from conftest import PROJECT, TINY

from catalogs import crops
from catalogs.errors import BadInput
from catalogs.parcels.table import FOLDER
from catalogs.root import Root
from catalogs.stores import Store
from catalogs.synthetic import write_declarations
from cluster.items import each_here
from cluster.progress import LineProgress
from pipelines.audit import audit
from pipelines.harmonise import harmonise
from pipelines.label import burn, label
from pipelines.label_plan import check_burning
from pipelines.plan import Plan, make_plan
from pipelines.project import parse_project


@pytest.fixture(scope="module")
def declared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small country with its labels."""
    folder = tmp_path_factory.mktemp("declared")
    write_declarations(TINY, str(folder))
    with here():
        label_again(plan_of(folder))
    return folder


@pytest.fixture
def folder(declared: Path, tmp_path: Path) -> Path:
    shutil.copytree(declared, tmp_path / "country")
    return tmp_path / "country"


@pytest.fixture(autouse=True)
def without_workers() -> Iterator[None]:
    with here():
        yield


@contextmanager
def here() -> Iterator[None]:
    """Everything in this process, one after the other."""
    with pytest.MonkeyPatch.context() as patched:
        for module in ("harmonise", "label"):
            patched.setattr(f"pipelines.{module}.item_workers", lambda *_: nullcontext(each_here))
        patched.setattr("catalogs.stores.TAKERS", 1)
        yield


def plan_of(folder: Path, root: str = "root", **replaced: str) -> Plan:
    text = PROJECT.format(catalog=folder, root=folder / root)
    for old, new in replaced.items():
        assert old in text
        text = text.replace(old, new)
    return make_plan(parse_project(text, folder / "project.toml"))


def label_again(plan: Plan) -> str:
    """What `label` does, but for its audits, which take seconds to draw; what was said."""
    progress = LineProgress(said := io.StringIO())
    check_burning(plan)
    harmonise(plan, progress)
    burn(plan, progress)
    return said.getvalue()


def contents(plan: Plan) -> dict[str, bytes]:
    """Table and labels."""
    return {key: plan.root.read(key) for folder in (FOLDER, crops.LABELS) for key in plan.root.keys(folder)}


def records(plan: Plan) -> dict[str, dict[str, Any]]:
    return dict(Store(plan.root, crops.LABELS).ledger.records([str(tile) for tile in plan.tiles]))


def from_nothing(folder: Path) -> dict[str, bytes]:
    label_again(fresh := plan_of(folder, "fresh"))
    return contents(fresh)


def with_declarations(folder: Path, change: Callable[[gpd.GeoDataFrame], gpd.GeoDataFrame]) -> gpd.GeoDataFrame:
    """Change the file; what it was before."""
    frame = gpd.read_file(folder / "parcels.gpkg")
    (folder / "parcels.gpkg").unlink()
    change(frame.copy()).to_file(folder / "parcels.gpkg", layer="parcels")
    return frame


def another_crop(frame: gpd.GeoDataFrame) -> gpd.GeoDataFrame:
    """Of the first parcel, which had oats."""
    frame.loc[0, "EC_hcat_c"] = SUNFLOWER
    return frame


def another_outline(frame: gpd.GeoDataFrame) -> gpd.GeoDataFrame:
    frame.loc[[0], "geometry"] = frame.geometry.iloc[[0]].scale(0.8, 0.8)
    return frame


def without_one(frame: gpd.GeoDataFrame) -> gpd.GeoDataFrame:
    """A feature without an outline keeps the place, and the numbers of the others."""
    frame.loc[[LEFT_OUT], "geometry"] = None
    return frame


def one_more(frame: gpd.GeoDataFrame) -> gpd.GeoDataFrame:
    added = frame.iloc[[len(frame) // 2]].copy()
    added.geometry = added.geometry.scale(0.5, 0.5)
    return gpd.GeoDataFrame(gpd.pd.concat([frame, added], ignore_index=True), crs=frame.crs)


SUNFLOWER = "3301060500"
LEFT_OUT = 7

TOUCHED = {another_crop: 0, another_outline: 0, without_one: LEFT_OUT, one_more: None}
"""The number of the parcel over which something changes; None for the one in the middle."""


def tiles_under(plan: Plan, shape: Any) -> set[str]:
    boxes = {str(tile): shapely.box(*plan.grid.bounds(plan.grid.window(tile))) for tile in plan.tiles}
    extent = shapely.box(*shape.bounds)
    return {tile for tile, box in boxes.items() if box.intersects(extent)}


@pytest.mark.parametrize("change", TOUCHED)
def test_only_tiles_with_other_parcels_are_burnt_anew(folder: Path, change: Any) -> None:
    plan = plan_of(folder)
    before, kept = contents(plan), records(plan)
    frame = with_declarations(folder, change)
    place = len(frame) // 2 if TOUCHED[change] is None else TOUCHED[change]
    touched = tiles_under(plan, frame.to_crs(plan.grid.crs).geometry.iloc[place])
    assert 0 < len(touched) < len(plan.tiles)
    said = label_again(plan)
    assert "parcels: all are read anew: another file\n" in said
    assert f"labels.zarr: {len(touched)} of {len(plan.tiles)} tiles are made anew: parcels have changed" in said
    same = {tile for tile, record in records(plan).items() if record == kept[tile]}
    assert same == {str(tile) for tile in plan.tiles} - touched
    assert contents(plan) == from_nothing(folder) != before
    assert "anew" not in label_again(plan)


def test_a_new_file_with_the_same_parcels_burns_nothing_anew(folder: Path) -> None:
    plan = plan_of(folder)
    kept = records(plan)
    with_declarations(folder, lambda frame: frame.assign(note="another column"))
    assert f"0 of {len(plan.tiles)} tiles are made anew" in label_again(plan)
    assert records(plan) == kept and contents(plan) == from_nothing(folder)


def test_parcels_that_are_read_in_another_way_are_another_table(folder: Path) -> None:
    plan = plan_of(folder, **{'country = "AT"': 'country = "AT"\nyear = 2021'})
    assert "parcels: all are read anew: another year\n" in label_again(plan)


def test_another_crop_of_the_same_class_burns_nothing_anew(folder: Path) -> None:
    plan = plan_of(folder)
    with_declarations(folder, lambda frame: frame.replace({"EC_hcat_c": {"3301010502": "3301020600"}}))
    assert f"0 of {len(plan.tiles)} tiles are made anew" in label_again(plan)
    assert contents(plan) == from_nothing(folder)


def test_labels_of_before_records_told_of_parcels_are_burnt_anew(folder: Path) -> None:
    plan = plan_of(folder)
    ledger = Store(plan.root, crops.LABELS).ledger
    for tile, record in records(plan).items():
        ledger.commit(tile, {key: value for key, value in record.items() if key != "made_of"})
    with_declarations(folder, another_crop)
    count = len(plan.tiles)
    assert f"{count} of {count} tiles are made anew" in label_again(plan)


class Killed(BaseException):
    """As by a signal: nothing is cleaned up."""


@pytest.mark.parametrize("after", [0, 1, 2, 3, 4, 6])
def test_killed_while_things_are_taken_back_it_goes_on(
    folder: Path, monkeypatch: pytest.MonkeyPatch, after: int
) -> None:
    """A part of the table and its record first, then objects and records of tiles."""
    with_declarations(folder, another_crop)
    plan, remove, left = plan_of(folder), Root.remove, [after]

    def dying(root: Root, key: str) -> None:
        if FOLDER in key or crops.LABELS in key:
            if not left[0]:
                raise Killed
            left[0] -= 1
        remove(root, key)

    with monkeypatch.context() as patched, pytest.raises(Killed):
        patched.setattr(Root, "remove", dying)
        label_again(plan)
    label_again(plan)
    assert contents(plan) == from_nothing(folder)


@pytest.mark.parametrize("moment", ["pipelines.harmonise.describe_again", "pipelines.renewal.redescribe"])
def test_killed_before_it_is_said_what_things_are_made_of_now(
    folder: Path, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    with_declarations(folder, another_crop)
    plan = plan_of(folder)

    def dies(*_: Any) -> None:
        raise Killed

    with monkeypatch.context() as patched, pytest.raises(Killed):
        patched.setattr(moment, dies)
        label_again(plan)
    label_again(plan)
    assert contents(plan) == from_nothing(folder)


def test_a_worker_of_before_the_change_writes_nothing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It outlived its run, and wakes when everything has been made anew."""
    plan, jobs = plan_of(folder), list[tuple[Any, Any]]()
    Store(plan.root, FOLDER).ledger.clear()
    Store(plan.root, crops.LABELS).ledger.clear()

    @contextmanager
    def asleep(*_: Any) -> Iterator[Any]:
        yield lambda work, items: ((item, jobs.append((work, item))) for item in items)

    with monkeypatch.context() as patched:
        for module in ("harmonise", "label"):
            patched.setattr(f"pipelines.{module}.item_workers", asleep)
        patched.setattr("pipelines.harmonise._workers_for", asleep)
        with pytest.raises(FileNotFoundError):  # no part has a record
            harmonise(plan, LineProgress(io.StringIO()))
        burn(plan, LineProgress(io.StringIO()))
    with_declarations(folder, another_crop)
    label_again(plan)
    expected = from_nothing(folder)
    assert len(jobs) == 1 + len(plan.tiles) and contents(plan) == expected
    for work, item in jobs:
        with pytest.raises(BadInput, match="planned anew since this run began"):
            work(item)
    assert contents(plan) == expected


def test_an_audit_with_another_way_of_burning_takes_nothing_back(folder: Path) -> None:
    before = contents(plan_of(folder))
    with_declarations(folder, another_crop)
    plan = plan_of(folder, **{"[patches]": 'rule = "touched"\n[patches]'})
    with pytest.raises(BadInput, match=r"labels.*planned differently \(rule"):
        audit(plan, LineProgress(io.StringIO()))
    assert contents(plan) == before


def test_another_way_of_burning_is_refused_before_anything_is_taken_back(folder: Path) -> None:
    before = contents(plan_of(folder))
    with_declarations(folder, another_crop)
    plan = plan_of(folder, **{"[patches]": 'rule = "touched"\n[patches]'})
    with pytest.raises(BadInput, match=r"labels.*planned differently \(rule"):
        label(plan, LineProgress(io.StringIO()))
    assert contents(plan) == before


def test_an_audit_of_new_parcels_tells_nothing_of_old_labels(folder: Path) -> None:
    plan, kept = plan_of(folder), records(plan_of(folder))
    with_declarations(folder, another_crop)
    audit(plan, LineProgress(io.StringIO()))
    assert "labels" not in json.loads(plan.root.read("labels/audit.json"))
    assert records(plan) == kept
    label(plan, LineProgress(said := io.StringIO()))
    assert f"1 of {len(plan.tiles)} tiles are made anew" in said.getvalue()
    assert json.loads(plan.root.read("labels/audit.json"))["labels"]
    assert contents(plan) == from_nothing(folder)
