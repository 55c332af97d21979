"""Networks on Ray actors: how the cluster is joined, how many fit, what each computes on."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, TypeVar

from cluster.actors import Group, Slots, each_on_actors, groups_on_actors
from cluster.session import ray_session
from models.exactness import be_exact
from pipelines.devices import Places, gpus_per_worker, mapping_gpus, places_for
from pipelines.plan import Plan

Item = TypeVar("Item")

LEASES = 4
"""For each actor, at least, where there are enough items."""


def on_actors(
    plan: Plan, start: Callable[..., Callable[[Item], Any]], items: Sequence[Item], most: int = 8
) -> Iterator[Any]:
    """Each item with its result or exception; `start` is told whether it has a GPU.

    Up to `most` items are handed out at once, fewer where there are few, so that all actors end together.
    """
    if not items:
        return
    with ray_session(plan.project.compute.address, plan.slots) as ray:
        places = places_for(ray, plan, gpus_per_worker(ray, plan))
        lease = max(1, min(most, len(items) // (LEASES * places.actors)))
        slots = Slots(min(places.actors, len(items)), cpus=places.cores, gpus=places.gpus, lease=lease)
        yield from each_on_actors(ray, partial(start, on_gpu=places.gpus > 0), items, slots)


def on_mapping_actors(
    plan: Plan, start: Callable[..., Group[Item]], groups: Sequence[list[Item]], places: Places
) -> Iterator[Any]:
    """The same of groups, on actors that have several in hand."""
    if not groups:
        return
    with ray_session(plan.project.compute.address, plan.slots) as ray:
        actors = min(places.actors, len(groups))
        slots = Slots(actors, cpus=places.cores, gpus=places.gpus, threads=places.in_hand)
        yield from groups_on_actors(ray, partial(start, on_gpu=places.gpus > 0), groups, slots)


def mapping_places(plan: Plan) -> Places:
    with ray_session(plan.project.compute.address, plan.slots) as ray:
        return places_for(ray, plan, mapping_gpus(ray, plan))


def device_of(on_gpu: bool) -> str:
    """What an actor computes on, exactly: a GPU, or one thread, since there is an actor for each core."""
    import torch

    be_exact()
    if on_gpu and not torch.cuda.is_available():
        raise RuntimeError("Ray gave this worker a GPU and PyTorch sees none: install PyTorch's CUDA build there")
    if not on_gpu:
        torch.set_num_threads(1)  # faster and far steadier than actors that share cores
    return "cuda" if on_gpu else "cpu"
