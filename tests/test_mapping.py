"""A worker of `map` whose memory runs out tries smaller windows, and says so; other errors stay what they are."""

import errno
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from made_map import write_cube

from catalogs.attempts import attempts_of
from catalogs.crops import MAP, MAP_ARRAYS, map_layouts
from catalogs.root import Root
from catalogs.stores import Store, plane_objects, spatial_coordinates
from models.window import Blocks
from pipelines.map import mapping_of
from pipelines.mapping import Mapper, start_mapping
from pipelines.plan import Plan, make_plan
from pipelines.project import load_project


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    plan = make_plan(load_project(write_cube(tmp_path, str(tmp_path / "root"))))
    store = Store(plan.root, MAP)
    store.begin(map_layouts(plan.grid, plan.taxonomy), spatial_coordinates(plan.grid), {"store": "map"})
    return plan


class Narrow:
    """A predictor on a device with little memory."""

    def __init__(self, predictor: Any, most: int, error: Exception) -> None:
        self._predictor, self._most, self._error = predictor, most, error

    def __getattr__(self, name: str) -> Any:
        return getattr(self._predictor, name)

    def predict(self, x: Blocks, *more: Any) -> Any:
        if x.width > self._most:
            raise self._error
        return self._predictor.predict(x, *more)


def mapper_of(plan: Plan) -> Mapper:
    return start_mapping(mapping_of(plan, "season"))


def pixels_of(plan: Plan) -> np.ndarray:
    return Store(plan.root, MAP).read("crop", plan.grid.window(plan.tiles[8]).slices)


def test_smaller_windows_are_tried_and_told_and_show_in_no_pixel(plan: Plan) -> None:
    mapper = mapper_of(plan)
    assert mapper.alone(plan.tiles[8])["window"] == plan.grid.side == 128
    expected = pixels_of(plan)
    Store(plan.root, MAP).ledger.forget(str(plan.tiles[8]))
    halo = mapper.predictor.halo
    narrow = Narrow(mapper.predictor, 64 + 2 * halo, torch.OutOfMemoryError("CUDA out of memory"))
    again = replace(mapper, predictor=narrow)
    assert again.alone(plan.tiles[8])["window"] == 64
    assert np.array_equal(pixels_of(plan), expected)
    assert again.alone(plan.tiles[9])["window"] == 64, "what was learned is kept"


def test_where_no_window_is_small_enough_it_is_told(plan: Plan) -> None:
    mapper = mapper_of(plan)
    with pytest.raises(torch.OutOfMemoryError):
        narrow = Narrow(mapper.predictor, 1, torch.OutOfMemoryError("CUDA out of memory"))
        replace(mapper, predictor=narrow).alone(plan.tiles[8])
    assert Store(plan.root, MAP).ledger.found(str(plan.tiles[8])) is None


def test_other_errors_are_no_want_of_memory(plan: Plan) -> None:
    mapper = mapper_of(plan)
    with pytest.raises(RuntimeError, match="sizes do not match"):
        replace(mapper, predictor=Narrow(mapper.predictor, 1, RuntimeError("sizes do not match"))).alone(plan.tiles[8])
    assert mapper.windows.side == 128
    assert not list(plan.root.keys("ledger/map.zarr/attempts"))


def test_a_tile_that_failed_after_its_record_was_created_is_done(plan: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    """A bucket that is too busy to move the shards costs no tile: whoever looks next, here the worker, moves them."""
    mapper, unit, move, busy = mapper_of(plan), str(plan.tiles[8]), Root.move, [1]

    def too_busy_once(root: Root, source: str, target: str) -> bool:
        if busy:
            busy.pop()
            raise OSError(errno.EBUSY, "SlowDown")
        return move(root, source, target)

    monkeypatch.setattr(Root, "move", too_busy_once)
    record, store = mapper.alone(plan.tiles[8]), Store(plan.root, MAP)
    assert not busy and store.ledger.record(unit) == record
    assert store.missing([(unit, plane_objects(plan.grid, plan.tiles[8], MAP_ARRAYS))]) == []
    assert not list(plan.root.keys(attempts_of(plan.root, MAP)))
