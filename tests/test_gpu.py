"""On a GPU: the same map as on a CPU but for rounding, the same again, and what happens where its memory runs out."""

import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from made_map import bytes_of, map_here, write_cube

from catalogs.crops import MAP, MAP_ARRAYS
from catalogs.stores import Store
from cluster.progress import LineProgress
from pipelines.checkpoints import read_checkpoint
from pipelines.devices import Places
from pipelines.map import begin_map, mapping_into
from pipelines.mapping import Mapper, start_mapping
from pipelines.plan import Plan, make_plan
from pipelines.project import load_project

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no NVIDIA GPU here")

ON_ONE = Places(1, gpus=0.25, cores=4, together=(2, 2))


def plan_in(folder: Path) -> Plan:
    return make_plan(load_project(write_cube(folder, str(folder / "root"))))


def mapper_on_gpu(plan: Plan, precision: str = "fp32") -> Mapper:
    _, described = begin_map(plan, read_checkpoint(plan.root, "season")[1], LineProgress(sys.stderr))
    return start_mapping(replace(mapping_into(plan, described), places=ON_ONE, precision=precision), on_gpu=True)


@pytest.fixture
def plan(tmp_path: Path) -> Iterator[Plan]:
    yield plan_in(tmp_path)
    torch.cuda.set_per_process_memory_fraction(1.0)
    torch.cuda.empty_cache()


@pytest.fixture(scope="module")
def on_cpu(tmp_path_factory: pytest.TempPathFactory) -> dict[str, np.ndarray]:
    plan = plan_in(tmp_path_factory.mktemp("cpu"))
    map_here(plan)
    return layers_of(plan)


def layers_of(plan: Plan) -> dict[str, np.ndarray]:
    return {name: Store(plan.root, MAP).read(name) for name in MAP_ARRAYS}


def mapped(mapper: Mapper, plan: Plan, size: int) -> list[dict]:
    outcomes = [one for at in range(0, len(plan.tiles), size) for one in mapper(plan.tiles[at : at + size])]
    assert all(isinstance(one, dict) for one in outcomes), outcomes
    return outcomes


@pytest.mark.parametrize(("precision", "most"), [("fp32", 1e-4), ("bf16", 0.05)])
def test_the_map_is_that_of_a_cpu_but_for_rounding(
    plan: Plan, on_cpu: dict[str, np.ndarray], precision: str, most: float
) -> None:
    records = mapped(mapper_on_gpu(plan, precision), plan, 4)
    found = layers_of(plan)
    differing = float((found["crop"] != on_cpu["crop"]).mean())
    print(f"{precision}: {differing:.6f} of the pixels are another crop than on a CPU, {records[0]['processor']}")
    assert differing <= most
    assert np.array_equal(found["observations"], on_cpu["observations"])


def test_the_same_again_and_tile_by_tile(plan: Plan, tmp_path_factory: pytest.TempPathFactory) -> None:
    other = plan_in(tmp_path_factory.mktemp("other"))
    mapped(mapper_on_gpu(plan), plan, 4)
    mapped(mapper_on_gpu(other), other, 4)
    assert bytes_of(plan.root) == bytes_of(other.root)
    third = plan_in(tmp_path_factory.mktemp("third"))
    mapped(mapper_on_gpu(third), third, 1)
    differing = float((layers_of(plan)["crop"] != layers_of(third)["crop"]).mean())
    print(f"{differing:.6f} of the pixels are another crop in other windows")
    assert differing <= 1e-4


def test_where_its_memory_runs_out_tiles_are_seen_apart(plan: Plan, on_cpu: dict[str, np.ndarray]) -> None:
    """Really: PyTorch is given too little for all tiles at once."""
    mapper = mapper_on_gpu(plan)
    torch.cuda.empty_cache()
    room = 30_000_000 + torch.cuda.memory_reserved()
    torch.cuda.set_per_process_memory_fraction(room / torch.cuda.mem_get_info()[1])
    records = mapped(mapper, plan, len(plan.tiles))
    print(f"windows of {sorted({record['window'] for record in records})} pixels in {room / 1e6:.0f} MB")
    assert any("out of memory" in record.get("why_alone", "") for record in records)
    assert float((layers_of(plan)["crop"] != on_cpu["crop"]).mean()) <= 1e-4


def test_pixels_wait_in_memory_that_a_gpu_reads(plan: Plan) -> None:
    room = mapper_on_gpu(plan).predictor.room((3, 4), np.dtype(np.uint16))
    assert room.shape == (3, 4) and room.dtype == np.uint16
    assert torch.from_numpy(room.view(np.int16)).is_pinned()
