"""Networks on Ray actors, one for each GPU or core, as mapping has them."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, TypeVar

from cluster.actors import Slots, each_on_actors
from cluster.session import ray_session
from pipelines.devices import gpus_per_worker, workers_that_fit
from pipelines.plan import Plan

Item = TypeVar("Item")


def on_actors(plan: Plan, start: Callable[..., Callable[[Item], Any]], items: Sequence[Item]) -> Iterator[Any]:
    """Each item with its result or exception; `start` is told whether it has a GPU."""
    if not items:
        return
    with ray_session(plan.project.compute.address, plan.slots) as ray:
        gpus = gpus_per_worker(ray, plan)
        actors = workers_that_fit(ray, plan.workers, gpus, autoscales=bool(plan.project.compute.address))
        slots = Slots(min(actors, len(items)), gpus=gpus, lease=max(1, min(8, len(items) // (4 * actors))))
        yield from each_on_actors(ray, partial(start, on_gpu=gpus > 0), items, slots)


def device_of(on_gpu: bool) -> str:
    """One thread an actor, one actor a core."""
    import torch

    if not on_gpu:
        torch.set_num_threads(1)
    return "cuda" if on_gpu else "cpu"
