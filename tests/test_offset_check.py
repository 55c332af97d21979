"""Offsets of a whole run: a catalogue that says the truth passes, one that does not stops the run or is corrected."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from conftest import TINY

from catalogs.errors import BadInput
from catalogs.scenes import SceneList
from catalogs.synthetic import plan_country
from cluster.kept import kept
from cluster.progress import LineProgress
from pipelines.offset_check import check_offsets, offset_decisions
from pipelines.plan import make_plan
from pipelines.project import load_project
from pipelines.scene_search import find_scenes

TRUTH = {job.scene_id: job.processing.added for job in plan_country(TINY).jobs}
WORKERS = {"workers = 2": "workers = 1"}
CORRECT = WORKERS | {"periods = 3": 'periods = 3\noffset_conflict = "correct"'}


@pytest.fixture(scope="module", autouse=True)
def one_set_of_workers():
    with kept():
        yield


class Heard(LineProgress):
    """Progress that keeps what it was told."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, text: str) -> None:
        self.lines.append(text)


def found_in(path: Path):
    plan = make_plan(load_project(path))
    return plan, find_scenes(plan, Heard())


@pytest.fixture
def spoilt(catalog, tmp_path) -> Path:
    """A copy of the country whose catalogue says every other thing of the offset than is true."""
    copy = tmp_path / "spoilt"
    shutil.copytree(catalog, copy)
    for path in copy.glob("sentinel-2-l2a/*/*.json"):
        item = json.loads(path.read_text())
        item["properties"]["earthsearch:boa_offset_applied"] ^= True
        path.write_text(json.dumps(item))
    return copy


def test_a_true_catalogue_is_left_as_it_is_and_sampled_once(project_file):
    plan, scenes = found_in(project_file(WORKERS))
    first, again = Heard(), Heard()
    assert check_offsets(plan, scenes, first) == check_offsets(plan, scenes, again) == scenes
    whole = f"offsets: {len(scenes.scenes)} scenes"
    assert first.lines[0] == whole and again.lines == [f"{whole}, {len(scenes.scenes)} done before"]
    assert plan.root.exists(f"ledger/offsets/done/{scenes.scenes[0].id}.json")
    decisions = offset_decisions(plan, scenes)
    assert [decision["scene"] for decision in decisions] == [scene.id for scene in scenes.scenes]
    assert {decision["verdict"] for decision in decisions} == {"confirms", "undecided"}
    assert all(decision["used"] == decision["metadata"] == TRUTH[decision["scene"]] for decision in decisions)
    assert all(decision["figures"]["why"] for decision in decisions) and json.dumps(decisions)


def test_a_false_catalogue_stops_the_run_and_says_what_to_do(project_file, spoilt):
    plan, scenes = found_in(project_file(WORKERS, place=spoilt))
    with pytest.raises(BadInput) as stopped:
        check_offsets(plan, scenes, Heard())
    wrong = [decision for decision in offset_decisions(plan, scenes) if decision["verdict"] == "contradicts"]
    text = str(stopped.value)
    assert len(wrong) > 3 and f"{len(wrong)} scenes" in text and f"{len(wrong) - 3} more" in text
    assert all(said["scene"] in text and said["reason"] in text for said in wrong[:3])
    assert 'offset_conflict = "correct"' in stopped.value.remedy and "B12" in text


def test_a_false_catalogue_is_corrected_where_that_is_asked_for(project_file, spoilt):
    plan, scenes = found_in(project_file(CORRECT, place=spoilt))
    heard = Heard()
    checked = check_offsets(plan, scenes, heard)
    decisions = {decision["scene"]: decision for decision in offset_decisions(plan, scenes)}
    wrong = {name for name, decision in decisions.items() if decision["verdict"] == "contradicts"}
    assert len(wrong) > 3 and any(f"{len(wrong)} scenes contradict" in line for line in heard.lines)
    for before, after in zip(scenes.scenes, checked.scenes, strict=True):
        assert decisions[before.id]["used"] == after.offset
        assert after.offset == (TRUTH[before.id] if before.id in wrong else before.offset)
        assert after.offset_reason.startswith(before.offset_reason)
        assert ("contradicted by its pixels" in after.offset_reason) == (before.id in wrong)
    assert checked.left_out == scenes.left_out and checked.identity != scenes.identity


def test_one_false_scene_is_told_by_its_name(project_file, catalog, spoilt):
    true_plan, true = found_in(project_file(WORKERS, root=spoilt / "true"))
    check_offsets(true_plan, true, Heard())
    decided = [made["scene"] for made in offset_decisions(true_plan, true) if made["verdict"] == "confirms"]
    for path in catalog.glob("sentinel-2-l2a/*/*.json"):
        if path.stem != decided[0]:
            shutil.copy(path, spoilt / path.relative_to(catalog))
    plan, scenes = found_in(project_file(WORKERS, root=spoilt / "false", place=spoilt))
    with pytest.raises(BadInput, match=f"1 scene.*{decided[0]}"):
        check_offsets(plan, scenes, Heard())


def test_an_unreadable_scene_is_undecided_and_stays_so_lest_a_cube_outlive_its_offsets(project_file, catalog, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(catalog, copy)
    plan, scenes = found_in(project_file(WORKERS, place=copy))
    scene = scenes.scenes[0]
    broken = copy / scene.hrefs["B04"]
    whole = broken.read_bytes()
    broken.write_bytes(whole[: len(whole) // 3])
    assert check_offsets(plan, scenes, Heard()) == scenes
    decision = offset_decisions(plan, scenes)[0]
    assert decision["verdict"] == "undecided" and "could not be read" in decision["figures"]["why"]
    broken.write_bytes(whole)
    again = Heard()
    check_offsets(plan, scenes, again)
    assert f"{len(scenes.scenes)} done before" in again.lines[0]
    assert offset_decisions(plan, scenes)[0] == decision


def test_other_files_under_the_same_name_are_judged_anew(project_file):
    plan, scenes = found_in(project_file(WORKERS))
    few = SceneList(scenes.scenes[:1], ())
    check_offsets(plan, few, Heard())
    scene = scenes.scenes[0]
    other = replace(scene, hrefs={**scene.hrefs, "B02": scene.hrefs["B03"]})
    heard = Heard()
    check_offsets(plan, SceneList((other,), ()), heard)
    assert "done before" not in heard.lines[0]


def test_a_name_that_is_no_file_name_is_kept_under_a_digest(project_file):
    plan, scenes = found_in(project_file(WORKERS))
    odd = replace(scenes.scenes[0], id="../a scene/of:another kind")
    for told in ("offsets: 1 scenes", "offsets: 1 scenes, 1 done before"):
        heard = Heard()
        check_offsets(plan, SceneList((odd,), ()), heard)
        assert heard.lines[0] == told
