"""Self-training, part by part, without a network that takes long to train: views, calibration, ground, labels."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import geopandas
import numpy as np
import pytest
import torch
from made_training import PERIODS, SIZE, recipe_of
from shapely import box

from catalogs import crops
from catalogs.bands import BANDS
from catalogs.errors import BadInput
from catalogs.grid import Window
from catalogs.pseudo_stores import LOOKS, WHOLE, look_coordinates, look_layouts, restored, stored
from catalogs.stores import Store, write_shard
from catalogs.taxonomy import IGNORE
from cluster.items import Each
from cluster.progress import LineProgress
from models.architectures import build
from models.calibration import Temperature
from models.ensemble import Ensemble, Member, View, views_of
from models.errors import Misfit
from models.field_votes import pieces_as_fields
from models.predictor import NetworkPredictor
from models.pseudo_labels import PseudoLabelSettings
from pipelines.patch import thinned_out
from pipelines.plan import Plan, make_plan
from pipelines.project.file import parse_project
from pipelines.run import call
from pipelines.selftraining import choosing
from pipelines.selftraining.choosing import CHOICE, FIELDS, accepted, choose, choosing_of, elected, vote_tile
from pipelines.selftraining.ground import ground_of, held_out_blocks
from pipelines.selftraining.judging import judged_pixels
from pipelines.selftraining.looking import as_seen, seen_in
from pipelines.selftraining.shares import FARTHEST, held_near, read_shares
from pipelines.selftraining.stage import Stage, stage_of
from pipelines.selftraining.teachers import fit_where_known

PROJECT = """
[region]
name = "Nowhere"
bbox = [16.50, 48.20, 16.56, 48.24]
crs = "EPSG:31287"
tile = 128
[season]
start = 2021-03-01
end = 2021-10-31
[labels]
source = "none"
country = "AT"
[patches]
size = 128
block = 128
[selftrain]
teachers = ["../elsewhere season"]
source = ["../elsewhere"]
[store]
root = "{root}"
[compute]
workers = 2
"""

MUTE = LineProgress(open("/dev/null", "w"))  # noqa: SIM115


def plan_in(folder: Path, more: str = "") -> Plan:
    return make_plan(
        parse_project(PROJECT.format(root=folder / "root").replace("[store]", f"{more}\n[store]"), folder / "p.toml")
    )


# Views and calibration


def test_views_come_back_and_differ() -> None:
    x = np.arange(2 * 5 * 7).reshape(2, 5, 7)
    views = views_of(8, 10.0)
    assert all((view.back(view.of(x)) == x).all() for view in views)
    assert views[0] == View() and len({view.of(x).tobytes() for view in views}) == 8
    assert {view.shift for view in views} == {-10.0, 0.0, 10.0}
    with pytest.raises(Misfit, match="9 views"):
        views_of(9, 0.0)


@pytest.fixture
def network() -> NetworkPredictor:
    torch.manual_seed(0)
    card = recipe_of("unused").card
    return NetworkPredictor(card, build(card).eval(), torch.device("cpu"))


def window(rng: np.random.Generator) -> np.ndarray:
    return rng.integers(200, 5000, (PERIODS, len(BANDS), SIZE, SIZE - 5)).astype(np.uint16)


def test_an_ensemble_of_one_sees_what_its_network_maps(network: NetworkPredictor) -> None:
    x = window(np.random.default_rng(1))
    x[..., :4, :6] = 0
    p_KYX = Ensemble((Member(network, Temperature(1.0)),)).plain(x)
    crop, confidence = network.predict(x).layers
    seen = crop != IGNORE
    assert (p_KYX.argmax(axis=0)[seen] == crop[seen]).all() and not p_KYX[:, ~seen].any() and (~seen).sum() == 24
    np.testing.assert_allclose(100 * p_KYX.max(axis=0)[seen], confidence[seen], atol=0.51)


def test_shares_and_temperature_change_what_is_seen(network: NetworkPredictor) -> None:
    x, even = window(np.random.default_rng(1)), np.full(4, 0.25)
    member = Member(network, Temperature(1.0))
    usual = next(Ensemble((member,)).looks(x, views_of(1, 0.0), even, even))
    rare = next(Ensemble((member,)).looks(x, views_of(1, 0.0), even, np.array([0.7, 0.1, 0.1, 0.1])))
    cold = next(Ensemble((Member(network, Temperature(0.1)),)).looks(x, views_of(1, 0.0), even, even))
    assert (rare[0] > usual[0]).all() and (cold.max(axis=0) >= usual.max(axis=0)).all()
    np.testing.assert_allclose(rare.sum(axis=0), 1)


def test_a_class_without_truth_gets_no_bias() -> None:
    rng = np.random.default_rng(2)
    truth = rng.integers(0, 2, 500)
    logits = np.column_stack([2.0 * (truth == 0), 2.0 * (truth == 1) + 1.5, np.full(500, -1.0)])
    logits += rng.normal(0, 1, logits.shape)
    found = fit_where_known(logits, truth)
    assert found.bias[2] == 0 and found.bias[0] > found.bias[1]


def test_probabilities_are_kept_to_the_last_digit_but_four() -> None:
    p_KYX = np.moveaxis(np.random.default_rng(3).dirichlet(np.ones(5), (6, 7)), -1, 0)
    p_KYX[:, 0, 0] = 0
    kept = restored(stored(p_KYX))
    np.testing.assert_allclose(kept, p_KYX, atol=1e-4)
    assert not kept[:, 0, 0].any() and stored(np.ones(1))[0] == WHOLE


# Ground


def test_held_out_ground_is_chosen_before_anything_is_known(tmp_path: Path) -> None:
    plan = plan_in(tmp_path)
    blocks, ground = held_out_blocks(plan), ground_of(plan)
    assert 0 < len(blocks) < len(plan.tiles) and blocks == held_out_blocks(plan_in(tmp_path / "other"))
    masks = [ground.is_held_out(plan.grid.window(tile)) for tile in plan.tiles]
    assert {mask.all() for mask in masks if mask.any()} == {True}, "a block is a tile here"
    shared = Window(100, 60, 90, 150)
    whole = ground.is_held_out(Window(0, 0, *plan.grid.shape))
    assert (ground.is_held_out(shared) == whole[shared.slices]).all()
    inner = judged_pixels(ground, Window(0, 0, *plan.grid.shape), 16)
    assert inner.any() and not (inner & ~whole).any()


def test_nothing_held_out_is_refused(tmp_path: Path) -> None:
    text = PROJECT.format(root=tmp_path / "r").replace("block = 128", "block = 128\ntest_share = 0.0")
    with pytest.raises(BadInput, match="test_share = 0: holds out none"):
        held_out_blocks(make_plan(parse_project(text, tmp_path)))


def test_labels_stay_as_often_as_they_weigh(tmp_path: Path) -> None:
    grid, here = plan_in(tmp_path).grid, Window(0, 128, 128, 128)
    weight = np.full((128, 128), 80, np.uint8)
    out = thinned_out(grid, here, weight, 0)
    assert out.mean() == pytest.approx(0.2, abs=0.02)
    assert (thinned_out(grid, here, weight, 0) == out).all() and (thinned_out(grid, here, weight, 1) != out).any()
    assert not (out & ~thinned_out(grid, here, weight // 2, 0)).any(), "a lighter label may only leave sooner"
    assert not thinned_out(grid, here, np.full((128, 128), 100, np.uint8), 0).any()


# Labels


def truth_of(plan: Plan) -> np.ndarray:
    """Fields of 24 x 24 pixels, which lie across tiles, of few classes."""
    rows, columns = (-(-side // 24) for side in plan.grid.shape)
    fields = np.random.default_rng(4).integers(0, 4, (rows, columns)).astype(np.uint8)
    return fields.repeat(24, axis=0).repeat(24, axis=1)[: plan.grid.shape[0], : plan.grid.shape[1]]


def write_looks(stage: Stage) -> None:
    """What teachers might have seen: mostly right, in some fields unsure."""
    plan, ground, truth = stage.plan, ground_of(stage.whole), truth_of(stage.plan)
    rng, classes = np.random.default_rng(5), len(plan.taxonomy.names)
    sure = rng.uniform(0.3, 0.99, truth.shape[0] // 24 * truth.shape[1] // 24 + 999)
    store = Store(plan.root, LOOKS)
    store.begin(look_layouts(plan.grid, plan.taxonomy), look_coordinates(plan.grid, plan.taxonomy), {"looks": 1})
    for tile in plan.tiles:
        here = plan.grid.window(tile)
        crop = truth[here.slices].astype(int)
        y, x = (np.arange(part.start, part.stop) // 24 for part in here.slices)
        best = sure[y[:, None] * (truth.shape[1] // 24 + 1) + x[None, :]]
        p_KYX = np.repeat(((1 - best) / (classes - 1))[None], classes, axis=0)
        np.put_along_axis(p_KYX, crop[None], best[None], axis=0)
        seen = rng.random(crop.shape) > 0.02
        p_KYX[:, ground.is_held_out(here) | ground.outside(here) | ~seen] = 0
        agree = (rng.random(crop.shape) > 0.05).astype(np.uint8)
        write_shard(store.array("probability"), (slice(None), *here.slices), stored(p_KYX))
        write_shard(store.array("agree"), here.slices, agree)
        pieces = pieces_as_fields(as_seen(stored(p_KYX), agree).crop_YX)
        store.ledger.commit(str(tile), {"pieces": int(pieces.max())})


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Stage:
    """A stage whose teachers have looked at everything, and that has labels."""
    stage = stage_of(plan_in(tmp_path_factory.mktemp("seen")), 0, ())
    write_looks(stage)
    label(stage)
    return stage


def even(stage: Stage) -> np.ndarray:
    return np.ones(len(stage.plan.taxonomy.names))


@contextmanager
def in_this_process(address: str, count: int) -> Iterator[Each]:
    """The plain twin of workers, whose start takes longer than their work here."""
    yield lambda function, items: ((item, function(item)) for item in items)


@pytest.fixture(scope="module", autouse=True)
def _without_workers() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(choosing, "item_workers", in_this_process)
        yield


def label(stage: Stage) -> None:
    choose(stage, ground_of(stage.whole), even(stage), {"grid": stage.plan.grid_description}, MUTE)


def labels_of(stage: Stage) -> dict[str, np.ndarray]:
    return {name: Store(stage.plan.root, crops.LABELS).read(name) for name in ("crop", "parcel", "weight")}


def test_the_log_adds_up(seen: Stage) -> None:
    found, layers = accepted(seen), labels_of(seen)
    votes = [vote_tile(choosing_of(seen, ground_of(seen.whole)), tile)[0] for tile in seen.plan.tiles]
    fields = sum(len(part.field_F) for part in votes)
    assert sum(found["accepted_fields"]) + sum(map(sum, found["rejected_fields"].values())) == fields
    assert sum(found["predicted_pixels"]) == sum(int(part.votes_FK.sum()) for part in votes)
    counted = np.bincount(layers["crop"][layers["crop"] != IGNORE], minlength=len(found["share"]))
    assert found["labelled_pixels"] == counted.tolist() and counted.sum() > 0
    pixels = {int(f): int(n) for part in votes for f, n in zip(part.field_F, part.pixels_F, strict=True)}
    there = np.unique(layers["parcel"])[1:]
    assert set(there.tolist()) <= pixels.keys()
    every = sum(pixels[int(field)] for field in read_accepted(seen))
    assert every == sum(found["labelled_pixels"]) + sum(map(sum, found["ignored_pixels"].values()))


def read_accepted(stage: Stage) -> np.ndarray:
    import io

    import pyarrow.parquet

    return pyarrow.parquet.read_table(io.BytesIO(stage.plan.root.read(FIELDS)))["field"].to_numpy()


def test_no_held_out_pixel_is_a_label_and_labels_weigh_what_they_are_sure_of(seen: Stage) -> None:
    layers, whole = labels_of(seen), Window(0, 0, *seen.plan.grid.shape)
    labelled, ground = layers["crop"] != IGNORE, ground_of(seen.whole)
    assert not (labelled & (ground.is_held_out(whole) | ground.outside(whole))).any()
    assert ((layers["parcel"] > 0) == labelled).all() and ((layers["weight"] > 0) == labelled).all()
    confidence = seen_in(seen.plan.root, whole).confidence_YX
    np.testing.assert_allclose(layers["weight"][labelled], 100 * confidence[labelled], atol=0.51)
    assert (layers["crop"][labelled] == truth_of(seen.plan)[labelled]).all()


def test_a_killed_labelling_goes_on_to_the_same_labels(seen: Stage) -> None:
    before, choice = labels_of(seen), seen.plan.root.read(CHOICE)
    store = Store(seen.plan.root, crops.LABELS)
    for tile in seen.plan.tiles[::2]:
        seen.plan.root.remove(f"{store.ledger.folder}/done/{tile}.json")
        write_shard(store.array("crop"), seen.plan.grid.window(tile).slices, np.zeros((128, 128), np.uint8))
    label(seen)
    assert all((layer == before[name]).all() for name, layer in labels_of(seen).items())
    assert seen.plan.root.read(CHOICE) == choice


STRICTER = {"share": 0.1, "least_agreement": 0.99, "least_pixels": 300, "most_doubt": 0.3, "cap": 2000}


@pytest.mark.parametrize("name", STRICTER)
def test_a_stricter_setting_only_takes_away(seen: Stage, name: str) -> None:
    ground, settings = ground_of(seen.whole), PseudoLabelSettings(least_agreement=0.5)
    kept = []
    for asked in (settings, replace(settings, **{name: STRICTER[name]})):
        job = replace(choosing_of(seen, ground), settings=asked)
        parts = [vote_tile(job, tile) for tile in seen.plan.tiles]
        kept.append(set(elected(parts, even(seen), asked)[0].field_F.tolist()))
    assert kept[1] < kept[0] or (name == "least_agreement" and kept[1] <= kept[0])


def test_fields_that_reach_into_held_out_ground_are_left_out(tmp_path: Path) -> None:
    outlines = tmp_path / "outlines.gpkg"
    stage = stage_of(plan_in(tmp_path, f'fields = "{outlines}"'), 0, ())
    grid = stage.plan.grid
    steps = [(y, x) for y in range(0, grid.shape[0], 24) for x in range(0, grid.shape[1], 24)]
    squares = [box(*grid.bounds(Window(y, x, 24, 24))) for y, x in steps]
    geopandas.GeoDataFrame(geometry=squares, crs=grid.crs).to_crs(4326).to_file(outlines)
    write_looks(stage)
    label(stage)
    whole, held = Window(0, 0, *grid.shape), ground_of(stage.whole).is_held_out(Window(0, 0, *grid.shape))
    parcel = labels_of(stage)["parcel"]
    assert (parcel > 0).any() and json.loads(stage.plan.root.read(CHOICE))["on_held_out_ground"] > 0
    ground = ground_of(stage.whole)
    drawn = np.zeros(grid.shape, np.uint32)
    for tile in stage.plan.tiles:
        drawn[grid.window(tile).slices] = ground.fields(tile, np.zeros((128, 128), np.uint8), 0)
    assert not np.isin(parcel[parcel > 0], drawn[held]).any()
    labelled = parcel > 0
    assert (parcel[labelled] == drawn[labelled]).all() and whole.height == grid.shape[0]
    assert all(len(np.unique(squares_of(drawn == field))) == 1 for field in np.unique(parcel[labelled])[:20])


def squares_of(mask: np.ndarray) -> np.ndarray:
    """The square of 24 pixels of each of its pixels, but for the edge, where a corner may be rounded away."""
    y, x = np.nonzero(mask)
    inner = (y % 24 > 0) & (y % 24 < 23) & (x % 24 > 0) & (x % 24 < 23)
    return y[inner] // 24 * 10_000 + x[inner] // 24


# What a project says


def test_a_stage_is_a_project_of_its_own(tmp_path: Path) -> None:
    plan = plan_in(tmp_path)
    first, second = (stage_of(plan, number, ()) for number in (0, 1))
    assert first.plan.root.url == plan.root.path("selftrain/A") and first.plan.cube_root == plan.root
    assert (first.settings.share, second.settings.share) == (0.2, 0.5)
    project = first.plan.project
    assert project.also == (str(tmp_path.parent / "elsewhere"),) and project.loss.label_smoothing == 0.1
    assert first.student.name == "season-student" and project.patches.min_labelled == pytest.approx(0.02)


def test_what_needs_declarations_says_so(tmp_path: Path) -> None:
    plan = plan_in(tmp_path)
    for verb in ("label", "audit", "run"):
        with pytest.raises(BadInput, match=r'source = "none": there are no declarations.*furrow selftrain'):
            call(verb, plan, MUTE)
    for given in ("teachers", "source"):
        lacking = plan.project.selftrain.model_copy(update={given: ()})
        other = Plan(plan.project.model_copy(update={"selftrain": lacking}))
        with pytest.raises(BadInput, match=rf"\[selftrain\] {given} = \[\]"):
            call("selftrain", other, MUTE)


def table(path: Path, *rows: str) -> Path:
    path.write_text("\n".join(("class,area", *rows)))
    return path


@pytest.mark.parametrize(
    ("rows", "why"),
    [
        (["other,1", "maize,x"], "'x' is no number"),
        (["other,1", "maize,-1"], "'-1' is no number"),
        (["other,1"], "no row for maize"),
        (["other,1", "other,1"], "named twice"),
        (["other,0", "maize,0"], "all areas are 0"),
    ],
)
def test_statistics_that_say_too_little_are_refused(tmp_path: Path, rows: list[str], why: str) -> None:
    with pytest.raises(BadInput, match=why):
        read_shares(table(tmp_path / "shares.csv", *rows), ("other", "maize"))


def test_an_estimate_leaves_every_class_something() -> None:
    source = np.array([0.5, 0.3, 0.2])
    near = held_near(np.array([0.6, 0.4, 1e-40]), source)
    assert near.sum() == pytest.approx(1) and near[2] == pytest.approx(0.05 / 1.05)
    assert (held_near(source, source) == source).all() and FARTHEST > 1


def test_statistics_are_shares(tmp_path: Path) -> None:
    assert read_shares(table(tmp_path / "s.csv", "maize,30", "other,10"), ("other", "maize")).tolist() == [0.25, 0.75]


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ('source = "none"', "", "file: is missing"),
        ("[patches]", 'file = "x.gpkg"\n[patches]', "given, and source is 'none'"),
        ("[store]", "share = [0.5, 0.2]\n[store]", "less in the second round"),
        ('"../elsewhere season"', '"../elsewhere a/b"', "not a plain name"),
    ],
)
def test_a_project_that_cannot_be_meant_is_refused(old: str, new: str, why: str) -> None:
    with pytest.raises(BadInput, match=why):
        parse_project(PROJECT.format(root="r").replace(old, new, 1), Path("/somewhere/p.toml"))
