"""Parcels left out: nothing of them is learned, each is scored once, and the checkpoint of all maps another place."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from io import StringIO
from pathlib import Path

import numpy as np
import pytest
from flanders import HERE, LABELS, MARKS, laid_out, native
from hypothesis import given
from hypothesis import strategies as st
from made_parcels import CLASSES, TABLES, place, raster
from scipy.ndimage import distance_transform_cdt

from catalogs import crops, patch_store
from catalogs.errors import BadInput
from catalogs.patch_store import read_index
from catalogs.stores import Store
from catalogs.taxonomy import IGNORE
from cluster.items import Each, each_here
from cluster.progress import LineProgress
from models.parcel_folds import NEVER, deal, learned
from models.pixel_sampling import PixelLimits
from pipelines import crossfold as verb
from pipelines.checkpoints import card_in, read_checkpoint
from pipelines.crossfold import crossfold, task_of
from pipelines.crossfolding import ground as grounds
from pipelines.crossfolding.forest import chosen_places
from pipelines.crossfolding.ground import ground_of
from pipelines.crossfolding.scoring import Task, learn, work
from pipelines.crossfolding.table import TABLE
from pipelines.crossfolding.windows import FOLDER, cut_windows, labels_of, root_of, windows_around
from pipelines.outcomes import Unfinished
from pipelines.plan import Plan
from pipelines.project import parse_project
from pipelines.run import call

SCORED = len(CLASSES) - 1
"""Parcels of the made-up place that are left out in turn."""


@contextmanager
def here(address: str, count: int) -> Iterator[Each]:
    yield each_here


@pytest.fixture
def in_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """The plain twin of workers."""
    monkeypatch.setattr(verb, "item_workers", here)


def run(plan: Plan) -> tuple[dict, str]:
    said = StringIO()
    crossfold(plan, LineProgress(said))
    return json.loads(plan.root.read(TABLE)), said.getvalue()


def timeless(table: dict) -> dict:
    return table | {"models": [{key: row[key] for key in row if key != "seconds"} for row in table["models"]]}


# Dealing, and what may be learned

CLASS_LISTS = st.lists(st.integers(0, 4), min_size=1, max_size=60)


@given(CLASS_LISTS, st.integers(2, 8), st.integers(0, 5))
def test_folds_are_even_in_all_and_of_each_class(classes: list[int], folds: int, seed: int) -> None:
    class_P = np.array(classes)
    fold_P = deal(class_P, folds, seed)
    scored = fold_P != NEVER
    assert (fold_P == deal(class_P, folds, seed)).all() and fold_P.max() < folds
    for group in (scored, *(scored & (class_P == crop) for crop in range(5))):
        if group.any():
            counts = np.bincount(fold_P[group], minlength=folds)
            assert counts.max() - counts.min() <= 1
    assert set(class_P[~scored]) == {crop for crop in range(5) if classes.count(crop) == 1}


@given(CLASS_LISTS, st.integers(2, 8))
def test_a_class_is_never_left_out_whole(classes: list[int], folds: int) -> None:
    class_P = np.array(classes)
    fold_P = deal(class_P, folds, 1)
    for fold in range(folds):
        assert set(class_P[fold_P == fold]) <= set(class_P[fold_P != fold])


@pytest.mark.parametrize("margin", [0, 1, 3])
def test_labels_end_a_margin_before_what_is_left_out(margin: int) -> None:
    crop, parcel = raster()
    away = (2, 9, 10)
    found = learned(crop, parcel, away, margin)
    distance = distance_transform_cdt(~np.isin(parcel, away), "chessboard")
    assert (found[distance <= margin] == IGNORE).all()
    assert (found[distance > margin] == crop[distance > margin]).all()


def test_windows_lie_around_learned_parcels_in_turn() -> None:
    crop, parcel = raster()
    left = learned(crop, parcel, (1, 2, 20), 2)
    there = np.unique(parcel[left != IGNORE])
    windows = windows_around(left, parcel, 32, 2 * len(there[there > 0]), 3)
    centres = [parcel[window.y + 16, window.x + 16] for window in windows]
    assert sorted(centres) == sorted([*there[there > 0]] * 2)
    again, others = (windows_around(left, parcel, 32, len(windows), seed) for seed in (3, 4))
    assert windows == again and windows != others
    corner = np.full((128, 128), IGNORE, np.uint8)
    corner[0, 0] = corner[127, 127] = 1
    ends = windows_around(corner, np.arange(128**2, dtype=np.uint32).reshape(128, 128) + 1, 32, 2, 0)
    assert [(end.y, end.x) for end in ends] == [(0, 0), (96, 96)]


# Nothing of what is left out is learned


@pytest.fixture(scope="module")
def laid(tmp_path_factory: pytest.TempPathFactory) -> Plan:
    return place(tmp_path_factory.mktemp("place"))


def first_task(plan: Plan, model: str) -> Task:
    ground = ground_of(plan)
    cut_windows(plan, ground, ground.folds[0])
    return task_of(plan, ground.folds[0], model, model)


def test_no_label_of_a_left_out_parcel_is_in_a_window_or_chosen(laid: Plan) -> None:
    ground, crop_pixels = ground_of(laid), 0
    for fold in ground.folds:
        cut_windows(laid, ground, fold)
        stored = Store(root_of(laid, fold), patch_store.NAME).read("crop")
        for row, crop in zip(read_index(root_of(laid, fold)).itertuples(), stored, strict=True):
            square = slice(row.y, row.y + 32), slice(row.x, row.x + 32)
            away = np.isin(ground.parcel_YX[square], fold.left_out)
            assert (crop[away] == IGNORE).all() and (
                crop[crop != IGNORE] == ground.crop_YX[square][crop != IGNORE]
            ).all()
            crop_pixels += (crop != IGNORE).sum()
        chosen = chosen_places(labels_of(laid, ground, fold), ground.parcel_YX, PixelLimits())
        assert len(chosen) and not np.isin(ground.parcel_YX.ravel()[chosen], fold.left_out).any()
    assert crop_pixels > 1000


@pytest.mark.parametrize("model", ["forest-context", "unet"])
def test_weights_do_not_depend_on_labels_that_are_left_out(model: str, tmp_path: Path) -> None:
    """The same fold, with another class in place of that of every parcel it leaves out."""
    weights = []
    for turn in range(2):
        plan = place(tmp_path / str(turn))
        task, ground = first_task(plan, model), ground_of(plan)
        away = np.isin(ground.parcel_YX, task.fold.left_out) & (ground.crop_YX != IGNORE)
        lies = replace(
            ground, crop_YX=np.where(away, (ground.crop_YX + 3 * turn) % 11, ground.crop_YX).astype(np.uint8)
        )
        task.recipe.root.remove("")
        cut_windows(plan, lies, task.fold)
        learn(plan, lies, task)
        weights.append(read_checkpoint(task.recipe.root, task.recipe.card.name)[0])
    assert weights[0].keys() == weights[1].keys()
    assert all((weights[0][name] == weights[1][name]).all() for name in weights[0])


# The whole verb, on the made-up place


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Plan, dict, str]:
    plan = place(tmp_path_factory.mktemp("undisturbed"))
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(verb, "item_workers", here)
        return plan, *run(plan)


def test_each_scored_parcel_is_counted_once(undisturbed: tuple[Plan, dict, str]) -> None:
    plan, table, said = undisturbed
    crop, parcel = raster()
    scored = (crop != IGNORE) & (parcel > 0) & (crop != 7)
    assert (table["parcels"], table["pixels"], table["folds"]) == (SCORED, scored.sum(), 4)
    assert {row["name"] for row in table["models"]} == {"forest-spectral", "unet"}
    for row in table["models"]:
        assert (row["parcels"], row["pixels"] + row["unmapped_pixels"]) == (SCORED, scored.sum())
        assert row["unmapped_pixels"] == scored[24:26].sum() > 0
        truth = np.bincount(crop[scored & (np.arange(128)[:, None] > 25)], minlength=11)
        assert np.sum(row["confusion"], axis=1).tolist() == truth.tolist()
        assert f"on {SCORED} parcels, {row['pixels']} pixels" in said
        ious = [row["classes"][plan.taxonomy.names[crop]]["iou"] for crop in (0, 1, 2, 10)]
        assert row["scored_iou"]["value"] == pytest.approx(np.mean(ious))
    forest = next(row for row in table["models"] if row["name"] == "forest-spectral")
    assert forest["pixel_accuracy"]["value"] > 0.95 and forest["parcels_right"] == SCORED


def test_a_class_of_one_parcel_is_named(undisturbed: tuple[Plan, dict, str]) -> None:
    plan, table, said = undisturbed
    name = plan.taxonomy.names[7]
    assert table["never_left_out"] == [name] and f"{name} has one parcel" in said
    assert table["classes"][name]["scored"] == 0 and name in plan.root.read(f"{FOLDER}/index.html").decode()


def test_the_checkpoint_of_all_carries_its_scores_with_their_size(undisturbed: tuple[Plan, dict, str]) -> None:
    plan, table, _ = undisturbed
    card = card_in(plan.root, "season")
    assert card is not None
    (row,) = [row for row in table["models"] if row["name"] == "unet"]
    assert card.scores["crossfold"]["parcels"] == SCORED and card.scores["crossfold"]["mean_iou"] == row["mean_iou"]
    read_checkpoint(plan.root, "season")


def test_what_is_done_stays_done(undisturbed: tuple[Plan, dict, str], in_process: None) -> None:
    plan, table, _ = undisturbed
    folder = Path(plan.root.url)

    def times() -> dict[Path, int]:
        kinds = ("crossfold/scores/*", "crossfold/folds/*/*", "checkpoints/*/*")
        return {path: path.stat().st_mtime_ns for kind in kinds for path in folder.glob(kind)}

    before = times()
    assert run(plan)[0] == table and times() == before and len(before) > 10


def test_a_run_that_was_cut_off_ends_as_an_undisturbed_one(
    undisturbed: tuple[Plan, dict, str], tmp_path: Path, in_process: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan, done = place(tmp_path), []

    def fails_at_the_fourth(plan: Plan, task: Task) -> None:
        if len(done) == 3:
            learn(plan, ground_of(plan), task)  # trained, and not yet scored
            raise RuntimeError("the machine is gone")
        work(plan, task)
        done.append(task.key)

    with monkeypatch.context() as patched:
        patched.setattr(verb, "work", fails_at_the_fourth)
        with pytest.raises(Unfinished, match="the machine is gone"):
            run(plan)
    assert not plan.root.exists(TABLE) and card_in(plan.root, "season") is None
    written = {key: (Path(plan.root.url) / key).stat().st_mtime_ns for key in done}
    table, said = run(plan)
    assert timeless(table) == timeless(undisturbed[1]) and "9 trainings, 3 done before" in said
    assert written == {key: (Path(plan.root.url) / key).stat().st_mtime_ns for key in done}


def test_other_settings_are_scored_anew_and_another_checkpoint_is_left_alone(tmp_path: Path, in_process: None) -> None:
    plan = place(tmp_path, TABLES.replace('"unet"', '"forest-spectral"').replace("settings", "#"))
    first = run(plan)[0]
    again = parse_project((tmp_path / "project.toml").read_text().replace("folds = 4", "folds = 3"), plan.project.path)
    assert run(Plan(again))[0]["folds"] == 3 != first["folds"]
    other = parse_project(
        (tmp_path / "project.toml").read_text().replace("[training]", "[training]\nseed = 5"), again.path
    )
    with pytest.raises(BadInput, match="was trained differently"):
        run(Plan(other))


# What is refused


def test_too_few_parcels_and_too_much_ground(laid: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(grounds, "MOST_PARCELS", SCORED)
        with pytest.raises(BadInput, match=r"20 parcels, and 19 are the most.*furrow compare"):
            ground_of(laid)
        patched.setattr(grounds, "MOST_PIXELS", 100)
        with pytest.raises(BadInput, match="128 x 128 pixels"):
            ground_of(laid)


def test_a_class_needs_two_parcels(tmp_path: Path) -> None:
    plan = place(tmp_path)
    crop, parcel = raster()
    for name, layer in (("crop", np.where(parcel < 2, crop, IGNORE)), ("parcel", parcel)):
        Store(plan.root, crops.LABELS).array(name)[:] = layer
    with pytest.raises(BadInput, match="no class has two of them"):
        ground_of(plan)


def test_a_model_that_nobody_knows(laid: Plan) -> None:
    text = laid.project.path.read_text().replace('"forest-spectral"', '"swiift"')
    with pytest.raises(BadInput, match=r"crossfold\.models: 'swiift'.*Did you mean 'swift'"):
        run(Plan(parse_project(text, laid.project.path)))


@pytest.mark.parametrize(
    ("written", "root", "name"), [("mine", "root", "mine"), ("../flanders season", "flanders", "season")]
)
def test_a_checkpoint_of_another_root(laid: Plan, written: str, root: str, name: str) -> None:
    text = laid.project.path.read_text() + f'\n[map]\ncheckpoint = "{written}"\n'
    project = parse_project(text, laid.project.path)
    assert (Path(project.checkpoint_root).name, project.checkpoint) == (root, name)
    with pytest.raises(BadInput, match="is not a plain name"):
        parse_project(text.replace(written, f"{written}/x"), laid.project.path)


# A real place

BELGIUM = (
    LABELS
    + """
[crossfold]
models = ["forest-spectral", "forest-context", "swift"]
[model]
architecture = "unet"
settings = {{widths = [16, 32, 64]}}
[training]
epochs = 15
"""
)

ELSEWHERE = """
[labels]
source = "none"
country = "BE_VLG"
[map]
checkpoint = "../labelled/root season"
"""


class TestFlanders:
    """19 parcels: what is printed shows that the way works, and measures nothing else."""

    pytestmark = [*MARKS, pytest.mark.slow]

    def test_leave_parcels_out_and_map_another_place(self, tmp_path: Path) -> None:
        for name in ("labelled", "elsewhere"):
            (tmp_path / name).mkdir()
        plan, said = laid_out(tmp_path / "labelled", native, BELGIUM, workers=2), StringIO()
        for name in ("ingest", "label", "crossfold"):
            call(name, plan, LineProgress(said))
        print("\n".join(line for line in said.getvalue().splitlines() if line.startswith("crossfold")))
        table = json.loads(plan.root.read(TABLE))
        assert (table["parcels"], table["never_left_out"]) == (18, ["potato"])
        assert {row["name"] for row in table["models"]} == {"forest-spectral", "forest-context", "swift", "unet"}
        for row in table["models"]:
            assert row["parcels"] == 18 and row["pixels"] + row["unmapped_pixels"] == table["pixels"]
            assert 0 <= row["mean_iou"]["low"] <= row["mean_iou"]["value"] <= row["mean_iou"]["high"] <= 1
        self._map_its_mirror_image(tmp_path, plan)

    def _map_its_mirror_image(self, folder: Path, plan: Plan) -> None:
        """Real pixels, turned over and laid 20 km further east, in a project of their own without labels."""

        def turned(date: str) -> dict[str, np.ndarray]:
            return {band: counts[:, ::-1].copy() for band, counts in native(date).items()}

        other = laid_out(folder / "elsewhere", turned, ELSEWHERE, east=16 * 1280)  # the same place in a tile
        for name in ("ingest", "map"):
            call(name, other, LineProgress(StringIO()))
        found = Store(other.root, crops.MAP).read("crop", HERE)[:, ::-1]
        truth = Store(plan.root, crops.LABELS).read("crop", HERE)
        known = (truth != IGNORE) & (found != IGNORE)
        right = (truth == found)[known].mean()
        print(f"the mirror image is mapped as the place was labelled on {right:.2f} of {known.sum()} pixels")
        assert card_in(other.root, "season") is None and known.sum() > 2000 and right > 0.6
