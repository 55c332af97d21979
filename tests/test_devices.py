"""What each worker that maps is given of a machine."""

import pytest

from cluster.training import backend_of
from pipelines.devices import Places, cores_of, gpu_share, trainers_share

GPU_NODE, LARGER, READER = {"CPU": 16, "GPU": 1}, {"CPU": 96, "GPU": 8}, {"CPU": 64}


@pytest.mark.parametrize(
    ("nodes", "gpus", "cores"),
    [
        ([GPU_NODE], 1, 16),
        ([GPU_NODE, LARGER, READER], 1, 12),
        ([GPU_NODE], 0.25, 4),
        ([LARGER], 2, 24),
        ([{"CPU": 4, "GPU": 1}, LARGER], 2, 24),
        ([{"CPU": 1, "GPU": 4}], 1, 1),
        ([READER], 1, 1),  # a cluster that has yet to start its GPUs
        ([GPU_NODE, READER], 0, 1),
        ([], 1, 1),
    ],
)
def test_a_gpu_gets_the_cores_of_the_machine_that_has_the_fewest_for_each(nodes, gpus, cores) -> None:
    assert cores_of(nodes, gpus) == cores


@pytest.mark.parametrize(("cores", "share"), [(1, 1), (7, 1), (8, 1 / 2), (12, 1 / 2), (16, 1 / 4), (96, 1 / 4)])
def test_workers_share_a_gpu_that_they_can_feed(cores: int, share: float) -> None:
    assert gpu_share(cores) == share


@pytest.mark.parametrize(
    ("workers", "gpus", "share"), [(1, 1, 1), (2, 1, 1 / 2), (3, 2, 1 / 2), (5, 2, 1 / 3), (2, 4, 1), (4, 4, 1)]
)
def test_no_worker_that_trains_has_parts_of_two_gpus(workers: int, gpus: float, share: float) -> None:
    assert trainers_share(workers, gpus) == share
    assert int(1 / share) * gpus >= workers, "all start together"


@pytest.mark.parametrize(("gpus", "backend"), [(0, "gloo"), (0.5, "gloo"), (1, "nccl"), (2, "nccl")])
def test_workers_that_share_a_gpu_do_not_reach_each_other_by_nccl(gpus: float, backend: str) -> None:
    assert backend_of(gpus) == backend


def test_an_actor_with_a_gpu_has_more_in_hand() -> None:
    assert [Places(4, gpus=gpus).in_hand for gpus in (0, 0.25, 1)] == [2, 4, 4]
