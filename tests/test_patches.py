"""Patches: which windows are good enough, how they are split and chosen, and what the store and its report hold."""

import io
import json
import os
import signal
import time
from collections import Counter
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import geopandas
import numpy as np
import pytest
import xarray as xr
from conftest import furrow
from hypothesis import given, settings
from hypothesis import strategies as st
from made_fields import RARE, fill, lay_plan
from PIL import Image

from catalogs import crops, patch_store
from catalogs.errors import BadInput
from catalogs.patch_choice import LEAST_KEPT, choose_patches
from catalogs.patch_splits import SPLITS, foreign_parcels, foreign_pixels, shared_parcels, split_blocks
from catalogs.patches import LEAST_INSIDE, TEST, TRAIN, VALIDATION, Candidate, block_of
from catalogs.renewal import redescribe
from catalogs.stores import Store
from catalogs.taxonomy import IGNORE
from cluster.kept import kept
from cluster.progress import LineProgress
from pipelines.held_out import held_out_patches, scored_pixels
from pipelines.patch import describe_patches, measuring_of, patch
from pipelines.patch_measuring import Measured, measure_tile, merged
from pipelines.patch_reading import STORE
from pipelines.patch_selection import select
from pipelines.plan import Plan, make_plan
from pipelines.project import parse_project
from pipelines.recipes import make_recipes

FILTERS = "min_clear = 0.3\nmin_labelled = 0.3"
KEYS = ("patches.parquet", "patches/choice.json", "patches/shared_parcels.parquet", "patches/report.json")


@pytest.fixture(scope="module")
def done(tmp_path_factory) -> Plan:
    """A plan whose patches two workers have made; tests do not change it."""
    plan = fill(lay_plan(tmp_path_factory.mktemp("fields"), patches=FILTERS, workers=2))
    with kept():
        patch(plan, LineProgress(io.StringIO()))
    return plan


@pytest.fixture
def alone(monkeypatch):
    """No workers: their plain twin, in this process."""

    @contextmanager
    def item_workers(address: str, count: int):
        yield lambda function, items: ((item, function(item)) for item in items)

    monkeypatch.setattr("pipelines.patch.item_workers", item_workers)


@pytest.fixture(scope="module")
def measured(done: Plan) -> Measured:
    return measure(done)


def measure(plan: Plan, **changes: object) -> Measured:
    """By the plain twin: no workers."""
    job = measuring_of(plan)
    job = replace(job, settings=job.settings.model_copy(update=changes))
    return merged([measure_tile(job, tile) for tile in plan.tiles])


def report_of(plan: Plan) -> dict:
    return json.loads(plan.root.read("patches/report.json"))


def candidate(y: int, x: int, counts: tuple[int, ...], block: tuple[int, int] = (0, 0)) -> Candidate:
    return Candidate(y, x, block, 1.0, 1.0, counts)


# Quality


@pytest.mark.parametrize(
    ("option", "value", "reason"),
    [("min_clear", 0.9, "cloudy"), ("min_labelled", 0.9, "unlabelled"), ("max_no_data", 0.2, "no_data")],
)
def test_each_filter_leaves_windows_out_and_says_why(done, measured, option, value, reason):
    strict = measure(done, **{option: value})
    assert len(strict.candidates) < len(measured.candidates)
    assert strict.left_out[reason] > measured.left_out[reason]
    assert len(strict.candidates) + strict.left_out.total() == 64


def test_few_classes_are_a_reason_for_training_patches_only(done, measured):
    asked = measuring_of(done).settings
    strict = select(measured, asked.model_copy(update={"min_classes": 4}))
    plain = select(measured, asked)
    assert 0 < len(strict.of(TRAIN)) < len(plain.of(TRAIN))
    assert strict.left_out["few_classes"] == len(plain.of(TRAIN)) - len(strict.of(TRAIN))
    assert all(found.classes(128) >= 4 for found in strict.of(TRAIN))
    assert strict.of(TEST) == plain.of(TEST) and strict.of(VALIDATION) == plain.of(VALIDATION)


def test_a_class_counts_from_one_pixel_in_a_hundred_on():
    assert candidate(0, 0, (164, 163, 128 * 128 - 327)).classes(128) == 2


def test_shares_are_of_the_ground_inside_the_region(done, measured):
    labels = Store(done.root, crops.LABELS).read("crop")
    partly = [found for found in measured.candidates if found.inside < 1]
    assert partly and measured.left_out["outside"], "no window reaches over the edge: the test tests nothing"
    for found in partly:
        known = (labels[found.y : found.y + 128, found.x : found.x + 128] != IGNORE).mean()
        assert found.inside >= LEAST_INSIDE
        assert found.labelled == pytest.approx(known / found.inside)


# Splits


LAND = st.integers(0, 2**32).map(np.random.default_rng)


@settings(max_examples=40)
@given(LAND)
def test_no_parcel_is_in_two_splits_however_its_parts_jump(rng):
    """12 x 12 blocks of 4 x 4 pixels, parcels strewn over them, splits by chance."""
    parcel = rng.integers(0, rng.integers(2, 400), (48, 48)).astype(np.uint32)
    parcel = np.where(rng.random(parcel.shape) < 0.5, parcel.repeat(3, 0)[:48], parcel)
    blocks = {(i, j): parcel[4 * i : 4 * i + 4, 4 * j : 4 * j + 4] for i in range(12) for j in range(12)}
    splits = {block: SPLITS[rng.integers(3)] for block in blocks if rng.random() < 0.9}
    ids = {block: np.unique(here[here > 0]) for block, here in blocks.items()}
    shared = shared_parcels(ids, splits)
    where: dict[int, set[str]] = {}
    for block, split in splits.items():
        left = blocks[block][~foreign_pixels(blocks[block], foreign_parcels(shared, split))]
        for number in np.unique(left[left > 0]):
            where.setdefault(int(number), set()).add(split)
    assert all(len(found) == 1 for found in where.values())
    assert set(where) == {int(n) for block in splits for n in ids[block]}, "a parcel is lost to all splits"
    for block, split in splits.items():
        if split == TRAIN:
            assert all(where[int(n)] == {TRAIN} for n in ids[block])


def has_of(rng: np.random.Generator, count: int) -> dict[tuple[int, int], np.ndarray]:
    chance = np.array([0.9, 0.4, 0.1, 0.05])
    return {(int(i) // 9 - 3, int(i) % 9): rng.random(4) < chance for i in range(count)}


@given(LAND, st.integers(0, 99))
def test_a_class_of_three_blocks_is_in_every_split_where_exchange_can_bring_it(rng, seed):
    blocks = has_of(rng, 60)
    for lucky in rng.permutation(60)[:3]:
        blocks[list(blocks)[lucky]][3] = True
    splits = split_blocks(blocks, 0.15, 0.25, seed)
    assert Counter(splits.values()) == {TRAIN: 36, VALIDATION: 9, TEST: 15}
    for crop in range(4):
        holders = [splits[block] for block, has in blocks.items() if has[crop]]
        assert len(holders) < 3 or set(holders) == set(SPLITS)


@given(LAND)
def test_splits_depend_on_places_and_seed_only(rng):
    blocks = has_of(rng, 30)
    names = list(blocks)
    rng.shuffle(names)
    assert split_blocks({name: blocks[name] for name in names}, 0.2, 0.2, 5) == split_blocks(blocks, 0.2, 0.2, 5)


def test_another_seed_splits_otherwise_and_few_blocks_are_few_exchanges():
    blocks = has_of(np.random.default_rng(1), 60)
    nothing = {block: np.zeros(4, bool) for block in blocks}
    assert split_blocks(blocks, 0.2, 0.2, 1) != split_blocks(blocks, 0.2, 0.2, 2)
    drawn, mended = split_blocks(nothing, 0.2, 0.2, 1), split_blocks(blocks, 0.2, 0.2, 1)
    assert sum(drawn[block] != mended[block] for block in blocks) <= 6


@pytest.mark.parametrize(("count", "found"), [(1, {TRAIN: 1}), (3, {TRAIN: 1, VALIDATION: 1, TEST: 1})])
def test_small_regions_split_as_far_as_they_can(count, found):
    blocks = {(0, i): np.ones(2, bool) for i in range(count)}
    assert Counter(split_blocks(blocks, 0.1, 0.1, 0).values()) == found


@pytest.mark.parametrize(("validation", "test"), [(0.9, 0.01), (0.84, 0.01), (0.01, 0.9), (0.5, 0.49)])
def test_odd_shares_leave_what_they_leave_and_no_more_blocks_than_there_are(validation, test):
    for count in range(1, 6):
        blocks = {(0, i): np.ones(2, bool) for i in range(count)}
        assert set(split_blocks(blocks, validation, test, 0)) == set(blocks)


# Choice


def drawn_land(seed: int, patches: int = 600) -> list[Candidate]:
    """Class 0 is common, class 3 rare."""
    rng = np.random.default_rng(seed)
    shares = rng.dirichlet([3.0, 0.8, 0.4, 0.05], patches)
    return [candidate(i, 0, tuple(int(s * 10_000) for s in share)) for i, share in enumerate(shares)]


def shares_of(found: list[Candidate]) -> np.ndarray:
    counts = np.array([one.counts for one in found]).sum(axis=0)
    return counts / counts.sum()


@given(st.integers(0, 30), st.sampled_from([0.35, 0.5, 0.65]), st.sampled_from([None, 100, 300]))
def test_no_class_has_more_than_its_cap_where_choosing_can_do_it(seed, cap, most):
    land = drawn_land(seed)
    chosen, left_out = choose_patches(land, most, cap, seed)
    assert shares_of(chosen).max() <= cap + 1e-6 or len(chosen) <= LEAST_KEPT * min(most or 600, 600) + 1
    assert cap < 0.5 or shares_of(chosen).max() <= cap + 1e-6
    assert len(chosen) <= (most or 600) and len(chosen) + sum(left_out.values()) == len(land)
    assert [one.y for one in chosen] == sorted(one.y for one in chosen)


def test_a_cap_that_nothing_can_reach_keeps_some_patches():
    land = [candidate(i, 0, (90, 10)) for i in range(100)]
    chosen, left_out = choose_patches(land, None, 0.5, 0)
    assert len(chosen) == 100 * LEAST_KEPT and left_out["over_cap"] == 75


def test_a_cap_takes_no_more_than_it_must():
    land = [candidate(i, 0, (100, 0) if i < 70 else (0, 100)) for i in range(120)]
    chosen, left_out = choose_patches(land, None, 0.55, 0)
    assert left_out["over_cap"] == 9 and shares_of(chosen)[0] == 61 / 111
    assert choose_patches(land, None, 0.6, 0)[0] == land


def test_rare_classes_are_likelier_to_be_drawn():
    land = drawn_land(3)
    gains = [shares_of(choose_patches(land, 200, None, seed)[0]) / shares_of(land) for seed in range(20)]
    assert np.mean(gains, axis=0)[3] > 1.15 and np.mean(gains, axis=0)[0] < 1


def test_the_draw_is_the_seed_s():
    land = drawn_land(1)
    assert choose_patches(land, 99, 0.5, 4) == choose_patches(land, 99, 0.5, 4)
    assert choose_patches(land, 99, 0.5, 4) != choose_patches(land, 99, 0.5, 5)


def test_cap_and_most_change_what_is_trained_on_and_nothing_else(done, measured):
    asked = measuring_of(done).settings
    plain = select(measured, asked)
    for change in ({"cap": 0.45}, {"most": 12}):
        chosen = select(measured, asked.model_copy(update=change))
        assert len(chosen.of(TRAIN)) < len(plain.of(TRAIN))
        assert chosen.of(TEST) == plain.of(TEST) and chosen.splits == plain.splits


# The store


def test_no_parcel_has_a_label_in_two_splits_of_the_store(done):
    crop, parcel = stored_crops(done)
    index = geopandas.read_parquet(done.root.path("patches.parquet"))
    found = {split: set(np.unique(parcel[rows][crop[rows] != IGNORE])) - {0} for split, rows in rows_of(index).items()}
    assert all(found.values())
    assert not found[TRAIN] & found[VALIDATION] and not found[TRAIN] & found[TEST]
    assert not found[VALIDATION] & found[TEST]


def test_scores_are_of_just_the_test_pixels_that_the_store_has(done):
    """What validate scores and what the test patches hold are one ground."""
    crop, _ = stored_crops(done)
    labels = Store(done.root, crops.LABELS)
    for tile, members in held_out_patches(done).items():
        whole = done.grid.window(tile)
        truth = np.where(scored_pixels(done, whole, members), labels.read("crop", whole.slices), IGNORE)
        for member in members:
            y, x = member.y - whole.y, member.x - whole.x
            assert (truth[y : y + 128, x : x + 128] == crop[member.number]).all()


@pytest.mark.parametrize("store", ["cube", "labels"])
def test_patches_of_what_has_changed_since_are_not_cut_on(done, store):
    """And no blocks are scored by other labels: which parcels lie across two splits is known of the old ones alone."""
    other = Store(done.root, f"{store}.zarr")
    before = other.description()
    redescribe(other, {**before, "scenes" if store == "cube" else "parcels": "others"})
    try:
        with pytest.raises(BadInput, match=f"cut from other {store} .*remove patches.zarr.*furrow map"):
            patch(done, LineProgress(io.StringIO()))
        if store == "cube":
            assert held_out_patches(done)
        else:
            with pytest.raises(BadInput, match="cut from other labels.*Remove patches.zarr"):
                held_out_patches(done)
    finally:
        redescribe(other, before)
    assert held_out_patches(done)


def stored_crops(plan: Plan) -> tuple[np.ndarray, np.ndarray]:
    """Labels of the patch store, and the parcels of the same ground."""
    crop, parcel = Store(plan.root, patch_store.NAME).read("crop"), Store(plan.root, crops.LABELS).read("parcel")
    index = geopandas.read_parquet(plan.root.path("patches.parquet"))
    places = index[["y", "x"]].itertuples(index=False)
    return crop, np.stack([parcel[y : y + 128, x : x + 128] for y, x in places])


def rows_of(index: geopandas.GeoDataFrame) -> dict[str, np.ndarray]:
    return {split: np.flatnonzero(index["split"] == split) for split in SPLITS}


def test_patches_are_the_cube_s_pixels_in_plain_zarr(done):
    patches = xr.open_zarr(done.root.path("patches.zarr"), consolidated=False)
    pixels = xr.open_zarr(done.root.path("cube.zarr"))["reflectance"].values
    index = geopandas.read_parquet(done.root.path("patches.parquet"))
    for row in index.iloc[:: len(index) // 7].itertuples():
        there = pixels[:, :, row.y : row.y + 128, row.x : row.x + 128]
        assert (patches["reflectance"][row.patch].values == there).all()


def test_the_index_can_be_opened_and_mapped(done):
    index = geopandas.read_parquet(done.root.path("patches.parquet"))
    assert index.crs.to_epsg() == 3035 and index["patch"].tolist() == list(range(len(index)))
    assert set(index["country"]) == {"BE_VLG"} and set(index["year"]) == {2021}
    assert (index.geometry.area == 1280**2).all()
    assert {"labelled", "clear", "no_data", "inside", "classes", "maize"} <= set(index.columns)
    blocks = {tuple(map(int, name.split("/"))) for name in index["block"]}
    assert blocks == {block_of(done.grid, row.y, row.x, 256) for row in index.itertuples()}
    assert index.groupby("block")["split"].nunique().max() == 1


def test_one_and_two_workers_make_the_same_to_the_last_byte(done, tmp_path, alone):
    plan = fill(lay_plan(tmp_path / "one", patches=FILTERS))
    patch(plan, LineProgress(io.StringIO()))
    assert files_of(plan) == files_of(done)


def files_of(plan: Plan) -> dict[str, bytes]:
    stored = list(plan.root.keys("patches.zarr"))
    return {key: plan.root.read(key) for key in [*KEYS, "patches/splits.png", *stored]}


@pytest.mark.slow
def test_killed_and_given_again_the_patches_are_the_same(done, tmp_path, alone):
    plan = fill(lay_plan(tmp_path / "killed", patches=FILTERS))
    root, deadline = Path(plan.root.url), time.monotonic() + 120
    process = furrow("patch", plan.project.path)
    while not (root / "patches.parquet").exists():
        assert process.poll() is None, process.stdout.read()
        assert time.monotonic() < deadline
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert not (root / "patches/report.json").exists(), "it was killed too late: the test tested nothing"
    patch(plan, LineProgress(io.StringIO()))
    assert files_of(plan) == files_of(done)


def test_a_lost_shard_is_copied_again_and_nothing_else(done, tmp_path, alone):
    plan = fill(lay_plan(tmp_path / "lost", patches=FILTERS))
    patch(plan, LineProgress(io.StringIO()))
    before, shard = files_of(plan), "patches.zarr/reflectance/c/1/0/0/0/0"
    plan.root.remove(shard)
    other = Path(plan.root.path("patches.zarr/reflectance/c/0/0/0/0/0")).stat().st_mtime_ns
    patch(plan, LineProgress(io.StringIO()))
    assert files_of(plan) == before
    assert Path(plan.root.path("patches.zarr/reflectance/c/0/0/0/0/0")).stat().st_mtime_ns == other


@pytest.mark.parametrize("name", ["BE_VLG", "2021"])
def test_a_country_or_year_that_is_held_out_is_all_test(done, measured, name):
    text = done.project.path.read_text().replace("[store]", f'held_out = ["FR", "{name}"]\n[store]')
    plan = make_plan(parse_project(text.replace('"root"', f'"{done.root.url}"'), done.project.path))
    assert describe_patches(plan) != describe_patches(done)
    chosen = select(measured, plan.project.patches, held_out=True)
    assert set(chosen.splits.values()) == {TEST} and len(chosen.chosen) == len(measured.candidates)
    assert not any(len(ids) for ids in chosen.shared.values())


def test_a_region_without_good_windows_is_refused_and_leaves_no_index(tmp_path, alone):
    plan = fill(lay_plan(tmp_path / "dark", side=256, patches="min_clear = 1.0"))
    with pytest.raises(BadInput, match="leave none for"):
        patch(plan, LineProgress(io.StringIO()))
    assert not plan.root.exists("patches.parquet") and not plan.root.exists("patches.zarr/zarr.json")


# The report


def test_the_report_s_totals_add_up(done, measured):
    report = report_of(done)
    index = geopandas.read_parquet(done.root.path("patches.parquet"))
    assert report["windows"] == 64 == sum(report["left_out"].values()) + sum(report["patches"].values())
    assert report["patches"] == {split: len(rows) for split, rows in rows_of(index).items()}
    assert sum(report["blocks"].values()) == len({found.block for found in measured.candidates})
    labels = Store(done.root, crops.LABELS).read("crop")
    names = done.taxonomy.names
    counts = np.bincount(labels.ravel(), minlength=256)[: len(names)]
    assert report["pixels"]["all"] == dict(zip(names, counts.tolist(), strict=True))
    crop, _ = stored_crops(done)
    for split, rows in rows_of(index).items():
        chosen = index.iloc[rows][list(names)].sum()
        stored = np.bincount(crop[rows].ravel(), minlength=256)[: len(names)]
        assert report["pixels"]["chosen"][split] == chosen.to_dict()
        assert report["pixels"]["stored"][split] == dict(zip(names, stored.tolist(), strict=True))
        assert (stored <= chosen.to_numpy()).all() and (split != TRAIN or (stored == chosen.to_numpy()).all())
    for split in SPLITS:
        assert report["pixels"]["stored"][split][names[RARE]], f"the class of three blocks is not in {split}"


def test_the_map_of_splits_has_a_pixel_a_window(done):
    image = np.array(Image.open(io.BytesIO(done.root.read("patches/splits.png"))))
    assert image.shape == (8, 8, 4)
    found = Counter(tuple(colour) for colour in image.reshape(-1, 4).tolist())
    assert sorted(found.values()) == sorted(
        [*report_of(done)["patches"].values(), sum(report_of(done)["left_out"].values())]
    )


def test_the_page_says_all_this_and_escapes_names(done):
    page = done.root.read("patches/index.html").decode()
    assert "Fields &lt;b&gt;of&lt;/b&gt; chance" in page and "Fields <b>" not in page
    assert page.count("<svg") == len(done.taxonomy.names) and "splits.png" in page
    assert "less than 25% of it lies in the region" in page.lower()


# Other projects


@pytest.fixture
def other(tmp_path, alone) -> Plan:
    """A project of the same ground in another split, with patches."""
    plan = fill(lay_plan(tmp_path / "other", patches=f"{FILTERS}\nseed = 5"), seed=2)
    patch(plan, LineProgress(io.StringIO()))
    return plan


def with_also(plan: Plan, other: Plan) -> Plan:
    text = plan.project.path.read_text().replace("[store]", f'[training]\nalso = ["{other.root.url}"]\n[store]')
    return make_plan(parse_project(text, plan.project.path))


def test_patches_of_other_projects_train_too_but_not_on_held_out_ground(done, other):
    (own,), (both,) = make_recipes(done), make_recipes(with_also(done, other))
    assert both.train[: len(own.train)] == own.train and both.also == (other.root,)
    assert both.validation == own.validation, "what they validate with may lie on ground that is trained on here"
    added = [number - STORE for number in both.train if number >= STORE]
    index, here = (geopandas.read_parquet(plan.root.path("patches.parquet")) for plan in (other, done))
    theirs = index[index["split"] == TRAIN]
    ground = here[here["split"] != TRAIN].geometry.union_all()
    assert 0 < len(added) < len(theirs), "no patch of theirs is on held-out ground: the test tests nothing"
    assert added == theirs[~theirs.geometry.intersects(ground)]["patch"].tolist()
    names = list(done.taxonomy.names)
    counts = np.array(own.class_pixels) + index.loc[added][names].sum().to_numpy()
    assert both.class_pixels == tuple(counts)
    assert both.card.normalisation != own.card.normalisation
    assert both.card.training["origins"] == ["BE_VLG 2021"]
    assert both.card.training_identity != own.card.training_identity


@pytest.mark.parametrize("named", ["FR", "1999"])
def test_nothing_of_a_country_or_year_that_is_held_out_is_learned_from(done, other, named):
    index = geopandas.read_parquet(other.root.path("patches.parquet")).assign(country="FR", year=1999)
    index.to_parquet(other.root.path("patches.parquet"))
    (own,), (both,) = make_recipes(done), make_recipes(with_also(done, other))
    assert len(both.train) > len(own.train)
    text = with_also(done, other).project.path.read_text().replace(FILTERS, f'{FILTERS}\nheld_out = ["{named}"]')
    text = text.replace("[store]", f'[training]\nalso = ["{other.root.url}"]\n[store]')
    (without,) = make_recipes(make_plan(parse_project(text, done.project.path)))
    assert without.train == own.train


def test_training_may_watch_a_country_that_is_held_out(done, other):
    index = geopandas.read_parquet(other.root.path("patches.parquet")).assign(country="FR")
    index.to_parquet(other.root.path("patches.parquet"))

    def watching(named: str) -> Plan:
        text = done.project.path.read_text().replace(FILTERS, f'{FILTERS}\nheld_out = ["{named}"]')
        table = f'[training]\nalso = ["{other.root.url}"]\nstop_on = "{named}"\n[store]'
        return make_plan(parse_project(text.replace("[store]", table), done.project.path))

    (own,), (watched,) = make_recipes(done), make_recipes(watching("FR"))
    assert watched.train == own.train, "something of it is learned from"
    assert watched.validation == tuple(STORE + number for number in index["patch"])
    assert watched.card.training_identity != own.card.training_identity
    with pytest.raises(BadInput, match=r'stop_on = "DE": neither this project nor one of'):
        make_recipes(watching("DE"))


def test_a_project_that_is_all_held_out_needs_others_to_train_on(done, other, tmp_path):
    folder = tmp_path / "unseen"
    plan = fill(lay_plan(folder, patches=f'{FILTERS}\nheld_out = ["2021"]'))
    patch(plan, LineProgress(io.StringIO()))
    report = report_of(plan)
    assert report["patches"] == {TRAIN: 0, VALIDATION: 0, TEST: 64 - sum(report["left_out"].values())}
    with pytest.raises(BadInput, match="all held out"):
        make_recipes(plan)


def test_other_projects_must_have_the_same_classes(done, other):
    key = "patches.zarr/zarr.json"
    text = other.root.read(key).decode()
    other.root.write(key, text.replace(done.taxonomy.identity, "another").encode())
    with pytest.raises(BadInput, match="other classes"):
        make_recipes(with_also(done, other))
