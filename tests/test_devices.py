"""What each worker that maps is given of a machine."""

import pytest

from pipelines.devices import Places, cores_of

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


def test_an_actor_with_a_gpu_has_more_in_hand() -> None:
    assert [Places(4, gpus=gpus).in_hand for gpus in (0, 0.25, 1)] == [2, 4, 4]
