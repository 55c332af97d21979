"""Tiles that are seen together are the same bytes as each alone, and share no fate."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from made_map import bytes_of, map_here, mapper_of, write_cube

from catalogs import cube
from catalogs.cube import CubeUnit
from catalogs.errors import BadInput
from models.swift import SwiftSettings
from models.unet import UNetSettings
from pipelines.devices import Places, together
from pipelines.map import seen_together
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
    mapper = mapper_of(plan)
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


def test_windows_as_high_as_the_tiles_flow_by(plan: Plan) -> None:
    """And are told: memory that runs out makes them narrower."""
    mapper, seen = mapper_of(plan), []

    class Noting(Blind):
        def predict(self, x: Any, *more: Any) -> Any:
            seen.append((x.height, x.width))
            return self._predictor.predict(x, *more)

    halo, side = mapper.predictor.halo, plan.grid.side
    column = [tile for tile in plan.tiles if tile.col == plan.tiles[0].col]
    replace(mapper, predictor=Noting(mapper.predictor))(column)
    assert seen == [(len(column) * side + 2 * halo, side + 2 * halo)]


@pytest.mark.parametrize(
    ("places", "settings", "from_afar", "expected"),
    [
        (Places(2), SwiftSettings(), False, (4, 1)),
        (Places(2), SwiftSettings(), True, (1, 1)),
        (Places(2), UNetSettings(), False, (1, 1)),
        (Places(2, gpus=0.25), UNetSettings(), True, (2, 2)),
        (Places(2, gpus=0.25), UNetSettings(norm="group"), True, (1, 1)),
    ],
)
def test_how_many(places: Places, settings: Any, from_afar: bool, expected: tuple[int, int]) -> None:
    assert together(places, settings, from_afar) == expected


def test_fewer_where_there_are_few(plan: Plan) -> None:
    shapes = [seen_together(plan, SwiftSettings(), Places(2), tiles) for tiles in (5, 16, 31, 32, 1000)]
    assert shapes == [(1, 1), (2, 1), (2, 1), (4, 1), (4, 1)]
