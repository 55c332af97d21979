"""What a map says of a pixel beside its crop: the observations it rests on and, where asked for, every probability."""

import io
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from made_map import map_here, write_cube

from catalogs import cube
from catalogs.crops import MAP, MAP_ARRAYS, PROBABILITY, map_coordinates, map_layouts
from catalogs.errors import BadInput
from catalogs.stores import Store, write_shard
from catalogs.taxonomy import IGNORE, ten_crops
from cluster.items import each_here
from cluster.progress import LineProgress
from pipelines.map import make_map, mapping_of
from pipelines.mapping import start_mapping
from pipelines.outcomes import Unfinished
from pipelines.plan import Plan, make_plan
from pipelines.project import load_project
from pipelines.verify import verify

BUSY = 12
"""A tile that the satellite saw more often than a byte can say."""

ON = "\n[map]\nprobabilities = true\n"


def planned(folder: Path, more: str) -> Plan:
    plan = make_plan(load_project(write_cube(folder, str(folder / "root"), more=more)))
    counts = np.full((128, 128), 200, np.uint8)
    for period in range(2):
        place = (period, *plan.grid.window(plan.tiles[BUSY]).slices)
        write_shard(Store(plan.root, cube.NAME).array("observations"), place, counts)
    return plan


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Plan:
    plan = planned(tmp_path_factory.mktemp("plain"), "")
    map_here(plan)
    return plan


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Plan:
    plan = planned(tmp_path_factory.mktemp("full"), ON)
    map_here(plan)
    return plan


def counted(plan: Plan) -> np.ndarray:
    """(time, y, x), as xarray reads it."""
    return xr.open_zarr(plan.root.path(cube.NAME)).observations.values.astype(int)


def layers_of(plan: Plan) -> dict[str, np.ndarray]:
    return {name: layer.values for name, layer in xr.open_zarr(plan.root.path(MAP)).data_vars.items()}


def test_observations_are_the_cubes_summed_over_its_periods(plain: Plan) -> None:
    found = layers_of(plain)
    known, total = found["crop"] != IGNORE, counted(plain).sum(axis=0)
    assert 0 < known.sum() < known.size and len(np.unique(total)) > 5 and total.max() == 400
    assert np.array_equal(found["observations"], np.where(known, np.minimum(total, 254), IGNORE))


class OfOnePeriod:
    """A predictor whose card says that it uses the second period alone."""

    def __init__(self, predictor: Any) -> None:
        self._predictor = predictor
        self.card = replace(predictor.card, period_index=(1,))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._predictor, name)


def test_periods_that_the_network_does_not_use_are_not_counted(plain: Plan) -> None:
    store, tile = Store(plain.root, MAP), plain.tiles[8]
    here = plain.grid.window(tile).slices
    before = store.read("observations", here)
    mapper = start_mapping(replace(mapping_of(plain, "season"), plan=store.ledger.record(str(tile))["plan"]))
    store.ledger.forget(str(tile))
    replace(mapper, predictor=OfOnePeriod(mapper.predictor)).alone(tile)
    found, known = store.read("observations", here), store.read("crop", here) != IGNORE
    assert np.array_equal(found[known], counted(plain)[1, *here][known]) and (found != before).any()
    store.ledger.forget(str(tile))
    mapper.alone(tile)
    assert np.array_equal(store.read("observations", here), before)


def test_probabilities_agree_with_crop_and_confidence(plain: Plan, full: Plan) -> None:
    found, alone = layers_of(full), layers_of(plain)
    assert all(np.array_equal(found[name], alone[name]) for name in MAP_ARRAYS)
    share, known = found[PROBABILITY].astype(int), found["crop"] != IGNORE
    assert share.shape == (11, *full.grid.shape) and (share[:, ~known] == IGNORE).all()
    of_crop = np.take_along_axis(share, np.where(known, found["crop"], 0)[None].astype(int), axis=0)[0]
    assert np.array_equal(of_crop[known], share.max(axis=0)[known])
    assert np.array_equal(of_crop[known], found["confidence"][known])
    assert np.abs(share.sum(axis=0)[known] - 100).max() <= 11 / 2


def test_a_class_is_found_by_its_name(full: Plan) -> None:
    opened = xr.open_zarr(full.root.path(MAP))
    maize = opened.probability.sel(crop_name="maize").values
    assert np.array_equal(maize, opened.probability.values[1]) and opened.crop.dims == ("y", "x")
    names = map_coordinates(full.grid, ten_crops(), True)["crop_name"].values
    assert tuple(names) == ten_crops().names


def test_a_tile_of_probabilities_is_one_object(full: Plan) -> None:
    objects = list(full.root.keys(f"{MAP}/{PROBABILITY}/c"))
    assert len(objects) == len(full.tiles)
    record = Store(full.root, MAP).ledger.record(str(full.tiles[3]))
    assert [key.split("/")[0] for key in record["objects"]] == [*MAP_ARRAYS, PROBABILITY]


def test_a_map_without_them_has_nothing_of_them(plain: Plan) -> None:
    assert not list(plain.root.keys(f"{MAP}/{PROBABILITY}")) and not list(plain.root.keys(f"{MAP}/crop_name"))
    assert set(map_layouts(plain.grid, ten_crops())) == set(MAP_ARRAYS)
    (tile,) = {tuple(Store(plain.root, MAP).ledger.record(str(tile))["objects"]) for tile in plain.tiles[:1]}
    assert len(tile) == len(MAP_ARRAYS)


def test_to_ask_for_them_later_is_another_map(plain: Plan) -> None:
    path = plain.project.path
    other = path.with_name("other.toml")
    other.write_text(path.read_text() + ON)
    with pytest.raises(BadInput, match=r"planned differently.*arrays"):
        make_map(make_plan(load_project(other)), LineProgress(io.StringIO()))


def test_the_plan_reckons_with_them(plain: Plan, full: Plan) -> None:
    side, window = full.grid.side, full.grid.side + 2 * full.model.halo
    alone, with_them = (plan.bytes_to_map_with(plan.model) for plan in (plain, full))
    assert with_them - alone == 11 * (3 * side**2 + window**2)
    for plan, shape in ((plain, (64, 16)), (full, (16, 16))):  # fewer flow by together, since they take more
        assert plan.map_bytes == plan.bytes_to_map_with(plan.model, together=shape)


def test_the_plan_reckons_with_cubes_that_are_read_ahead(plain: Plan) -> None:
    """For a GPU or from a bucket; a CPU decodes them from a disk as it comes to them."""
    cubes = (plain.grid.side + 2 * plain.model.halo) ** 2 * 2 * 10 * len(plain.periods)
    window = (plain.grid.side + 2 * plain.model.halo) ** 2
    own, on_gpus = (plain.bytes_to_map_with(plain.model, 4, gpus) for gpus in (0, 1))
    powers = 1 << (cubes - 1).bit_length()  # PyTorch's way to keep memory that GPUs read
    assert on_gpus - own == 5 * powers - plain.model.mapping_bytes(window)  # which lies on the GPU


@pytest.mark.parametrize("forged", [False, True])
def test_verify_finds_probabilities_that_are_not_right(
    full: Plan, monkeypatch: pytest.MonkeyPatch, forged: bool
) -> None:
    """Changed on the disk; or committed by a worker that mixed up two classes' pixels."""
    monkeypatch.setattr("pipelines.verify.item_workers", lambda address, count: nullcontext(each_here))
    store, tile = Store(full.root, MAP), full.tiles[9]
    place = (slice(None), *full.grid.window(tile).slices)
    right, record = store.read(PROBABILITY, place), store.ledger.record(str(tile))
    wrong = right.copy()
    wrong[:, 64, 64] = 9
    digest = write_shard(store.array(PROBABILITY), place, wrong)
    if forged:
        store.ledger.commit(str(tile), {**record, "digests": [*record["digests"][:-1], digest]})
    words = "another confidence than the highest" if forged else "other bytes in probability/c/0/"
    with pytest.raises(Unfinished, match=f"1 of 28 tiles do not agree: .*{words}"):
        verify(full, LineProgress(io.StringIO()))
    assert write_shard(store.array(PROBABILITY), place, right) == record["digests"][-1]
    store.ledger.commit(str(tile), record)
    verify(full, LineProgress(io.StringIO()))
