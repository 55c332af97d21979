"""Tiles that are seen together are the same bytes as each alone, and share no fate."""

import io
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from math import inf
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from made_map import bytes_of, map_here, mapper_of, write_cube

from catalogs import cube
from catalogs.cube import CubeUnit
from catalogs.errors import BadInput
from catalogs.grid import Tile, rectangles
from cluster.progress import LineProgress
from models.forest_settings import ForestSettings
from models.predictor import as_floats, counts_on
from models.swift import SwiftSettings
from models.unet import UNetSettings
from pipelines.checkpoints import read_checkpoint
from pipelines.devices import Places
from pipelines.leases import EDGE, cost, flowing_together, of_least_cost, smaller, together
from pipelines.map import begin_map, mapping_into, seen_together
from pipelines.mapping import Windows, start_mapping
from pipelines.plan import Plan, make_plan
from pipelines.project import load_project


def plan_in(folder: Path) -> Plan:
    return make_plan(load_project(write_cube(folder, str(folder / "root"))))


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The map, tile by tile."""
    plan = plan_in(tmp_path_factory.mktemp("alone"))
    map_here(plan)
    return bytes_of(plan.root)


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    return plan_in(tmp_path)


@pytest.mark.parametrize("groups", ["all at once", "pairs", "every third is there"])
def test_the_same_bytes(plan: Plan, alone: dict[str, bytes], groups: str) -> None:
    mapper = replace(mapper_of(plan), windows=Windows(2048, 2048))
    some = plan.tiles[::3] if groups == "every third is there" else ()
    first = [mapper.alone(tile) for tile in some]
    size = 2 if groups == "pairs" else len(plan.tiles)
    records = [record for at in range(0, len(plan.tiles), size) for record in mapper(plan.tiles[at : at + size])]
    assert bytes_of(plan.root) == alone
    assert [record["digests"] for record in records if record in first] == [record["digests"] for record in first]
    assert max(record["seen_together"] for record in records) > 1


def test_one_that_cannot_be_read_costs_no_other(plan: Plan, alone: dict[str, bytes]) -> None:
    bad = plan.tiles[9]
    key, _ = CubeUnit(0, bad).objects(plan.grid)
    path = Path(plan.root.path(f"{cube.NAME}/{key}"))
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    mapper, tiles = mapper_of(plan), [*plan.tiles]
    outcomes = dict(zip(tiles, mapper(tiles), strict=True))
    failed = [tile for tile, outcome in outcomes.items() if isinstance(outcome, Exception)]
    near = [tile for tile in tiles if max(abs(tile.row - bad.row), abs(tile.col - bad.col)) <= 1]
    assert failed == near, "those that see it, by their halo or themselves"
    assert all(isinstance(outcomes[tile], BadInput) for tile in failed)
    path.write_bytes(whole)
    assert not any(isinstance(outcome, Exception) for outcome in mapper(tiles))
    assert bytes_of(plan.root) == alone


def test_what_is_done_is_not_seen_again(plan: Plan) -> None:
    mapper = mapper_of(plan)
    done = [mapper.alone(tile) for tile in plan.tiles[:2]]
    blind = replace(mapper, predictor=Blind(mapper.predictor))
    assert blind(plan.tiles[:2]) == done
    assert [type(one) for one in blind(plan.tiles[:3])] == [dict, dict, AssertionError]


class Blind:
    def __init__(self, predictor: Any) -> None:
        self._predictor = predictor

    def __getattr__(self, name: str) -> Any:
        return getattr(self._predictor, name)

    def predict(self, *given: Any) -> Any:
        raise AssertionError("it looked")


class Noting(Blind):
    """A predictor that notes what it was shown, on a device that has room for so many pixels and no more."""

    def __init__(self, predictor: Any, most: float = inf) -> None:
        super().__init__(predictor)
        self.seen, self._most = list[tuple[int, int]](), most

    def predict(self, x: Any, *more: Any) -> Any:
        self.seen.append((x.height, x.width))
        if x.height * x.width > self._most:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return self._predictor.predict(x, *more)


def column_of(plan: Plan) -> list[Tile]:
    return [tile for tile in plan.tiles if tile.col == plan.tiles[0].col]


@pytest.mark.parametrize("best", [1, 2, 99])
def test_what_is_seen_together_flows_by_as_wide_as_is_best(plan: Plan, best: int) -> None:
    """In one window as high as its tiles."""
    mapper, side = mapper_of(plan), plan.grid.side
    noting, around = Noting(mapper.predictor), 2 * mapper.predictor.halo
    group = next(some for some in rectangles(plan.tiles) if len({tile.col for tile in some}) >= 3)
    rows, cols = (len({getattr(tile, axis) for tile in group}) for axis in ("row", "col"))
    wide = replace(mapper, predictor=noting, windows=Windows(best * side, best * side))
    records = wide(group)
    assert noting.seen == [
        (rows * side + around, min(best, cols - first) * side + around) for first in range(0, cols, best)
    ]
    widest = min(best, cols) * side
    assert {(record["window"], record["best_window"]) for record in records} == {(widest, widest)}


def test_how_wide_that_is(plan: Plan) -> None:
    _, described = begin_map(plan, read_checkpoint(plan.root, "season")[1], LineProgress(io.StringIO()))
    job = mapping_into(plan, described)
    mappers = [start_mapping(replace(job, places=Places(1, together=shape))) for shape in ((1, 1), (4, 2), (40, 40))]
    assert [mapper.windows.best for mapper in mappers] == [128, 256, 2048]


def test_where_memory_runs_out_they_are_seen_apart_before_windows_shrink(plan: Plan, alone: dict[str, bytes]) -> None:
    mapper, column = mapper_of(plan), column_of(plan)
    one = plan.grid.side + 2 * mapper.predictor.halo
    noting = Noting(mapper.predictor, one**2)
    tight = replace(mapper, predictor=noting, windows=Windows(2 * plan.grid.side, 2 * plan.grid.side))
    records = tight(column)
    assert [record["seen_together"] for record in records] == [1] * len(column)
    assert {record["window"] for record in records} == {plan.grid.side} == {record["best_window"] for record in records}
    assert all("out of memory" in record["why_alone"] for record in records)
    assert noting.seen[1:] == [(one, one)] * len(column)
    others = [record for record in tight(plan.tiles) if record not in records]
    assert {record["seen_together"] for record in others} == {1}, "nothing is tried again that has failed"
    assert not any("why_alone" in record for record in others)
    assert bytes_of(plan.root) == alone


class AsOnAGpu(Blind):
    """The way that a GPU's pixels take, on a CPU: read whole by several, held as 16 bits, cut, and made floats."""

    on_cpu, flow = False, 0

    def held(self, x_TBYX: np.ndarray) -> torch.Tensor:
        return counts_on(x_TBYX, torch.device("cpu"))

    def predict(self, x: Any, *more: Any) -> Any:
        ((_, block),) = x.blocks
        assert block.dtype == torch.int16
        shown = np.ascontiguousarray(as_floats(block).numpy().astype(np.uint16))
        return self._predictor.predict(shown, *more)


@pytest.mark.parametrize("side", [128, 64, 44])
def test_the_way_of_a_gpu(plan: Plan, alone: dict[str, bytes], side: int) -> None:
    mapper = mapper_of(plan)
    with ThreadPoolExecutor(3) as readers:
        shown = replace(mapper, predictor=AsOnAGpu(mapper.predictor), readers=readers, windows=Windows(side, side))
        shown(plan.tiles)
    assert bytes_of(plan.root) == alone


@pytest.mark.parametrize(
    ("places", "settings", "from_afar", "expected"),
    [
        (Places(2), SwiftSettings(), False, (8, 2)),
        (Places(2), SwiftSettings(), True, (1, 1)),
        (Places(2), UNetSettings(), False, (1, 1)),
        (Places(2, gpus=0.25), UNetSettings(), True, (2, 2)),
        (Places(2, gpus=0.25), ForestSettings(), True, (1, 1)),
    ],
)
def test_how_many(places: Places, settings: Any, from_afar: bool, expected: tuple[int, int]) -> None:
    assert together(settings, places.gpus, 1024, from_afar, probabilities=False) == expected


@pytest.mark.parametrize(
    ("settings", "side", "probabilities", "expected"),
    [
        (SwiftSettings(), 512, False, (16, 4)),
        (SwiftSettings(), 1024, True, (2, 2)),
        (SwiftSettings(), 4096, False, (2, 1)),
        (UNetSettings(), 128, False, (1, 1)),
    ],
)
def test_as_many_flow_together_as_are_wide_enough(
    settings: Any, side: int, probabilities: bool, expected: tuple[int, int]
) -> None:
    assert flowing_together(settings, side, probabilities) == expected


def test_those_that_cost_least() -> None:
    """The more tiles a worker has, the more it sees at once: from one, where workers would wait, to all that may be."""
    shapes = [*smaller((8, 2))]
    found = [of_least_cost(shapes, 1024, 28, tiles) for tiles in (0.5, 1, 8, 16, 64, 128, 512, 100_000)]
    assert found == [(1, 1), (1, 1), (1, 1), (2, 1), (2, 2), (4, 2), (8, 2), (8, 2)]
    assert of_least_cost(shapes, 1024, 0, 100_000) == (1, 1), "where nothing is seen twice"


@pytest.mark.parametrize(
    ("side", "edge", "measured", "within"),
    [
        (1024, EDGE, 0.91, 0.02),
        (256, EDGE, 0.58, 0.02),
        (128, EDGE, 0.42, 0.04),
        (1024, EDGE / 2, 1.02, 0.06),
        (256, EDGE / 2, 0.70, 0.08),
        (128, EDGE / 2, 0.53, 0.07),
    ],
)
def test_the_cost_is_what_was_measured(side: int, edge: float, measured: float, within: float) -> None:
    """Of the largest groups of `swift`, against tiles alone: in a whole cube, and where nothing lies around a tile."""
    halo, shape = SwiftSettings().halo, flowing_together(SwiftSettings(), side, False)
    share = cost(shape, side, halo, inf) / cost((1, 1), side, halo, inf, edge)
    assert share == pytest.approx(measured, abs=within)


def test_fewer_where_there_are_few_or_little_memory(plan: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    assert plan.grid.side == 128
    shapes = [seen_together(plan, SwiftSettings(), Places(2), tiles) for tiles in (3, 6, 16, 64, 400, 1000, 10_000)]
    assert shapes == [(1, 1), (2, 1), (2, 2), (4, 4), (8, 8), (8, 8), (16, 16)]
    places, settings = Places(2, gpus=0.5), SwiftSettings()
    assert seen_together(plan, settings, places, 1000) == (2, 2)
    need = 2 * plan.bytes_to_map_with(settings, places.in_hand, places.gpus, (2, 2))
    monkeypatch.setattr("pipelines.plan.machine_memory", lambda: need - 1)
    assert seen_together(plan, settings, places, 1000) == (2, 1)


@pytest.mark.parametrize("setting", ['precision = "bf16"', "halo = 16"])
def test_none_where_it_would_show(tmp_path: Path, setting: str) -> None:
    path = write_cube(tmp_path, str(tmp_path / "root"), more=f"\n[map]\n{setting}\n")
    plan = make_plan(load_project(path))
    assert seen_together(plan, plan.model, Places(2), 1000) == (1, 1)


def test_memory_that_runs_out_for_one_tile_is_tried_with_half_of_what_was_seen(plan: Plan) -> None:
    """And not with as much again, if the tile is narrower than what would be best."""
    mapper, side = mapper_of(plan), plan.grid.side
    noting = Noting(mapper.predictor, (side + 2 * mapper.predictor.halo) ** 2 - 1)
    record = replace(mapper, predictor=noting, windows=Windows(4 * side, 4 * side)).alone(plan.tiles[5])
    assert (record["window"], record["best_window"]) == (side // 2, side)
    assert len(noting.seen) == 1 + 2
