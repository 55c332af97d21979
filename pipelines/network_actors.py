"""Networks on Ray actors, one for each GPU or core: how the cluster is joined, how many fit, what each computes on."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, TypeVar

from cluster.actors import Slots, each_on_actors
from cluster.session import ray_session
from models.exactness import be_exact
from pipelines.devices import Places, cores_of, gpus_per_worker, workers_that_fit
from pipelines.plan import Plan

Item = TypeVar("Item")


def on_actors(
    plan: Plan, start: Callable[..., Callable[[Item], Any]], items: Sequence[Item], most: int = 8, threads: int = 1
) -> Iterator[Any]:
    """Each item with its result or exception; `start` is told whether it has a GPU.

    Up to `most` items are handed out at once, fewer where there are few, so that all actors end together.
    """
    if not items:
        return
    with ray_session(plan.project.compute.address, plan.slots) as ray:
        places = _places(ray, plan)
        lease = max(1, min(most, len(items) // (4 * places.actors)))
        actors, cores = min(places.actors, len(items)), places.cores
        slots = Slots(actors, cpus=cores, gpus=places.gpus, lease=lease, threads=threads)
        yield from each_on_actors(ray, partial(start, on_gpu=places.gpus > 0), items, slots)


def places_of(plan: Plan) -> Places:
    with ray_session(plan.project.compute.address, plan.slots) as ray:
        return _places(ray, plan)


def _places(ray: Any, plan: Plan) -> Places:
    gpus = gpus_per_worker(ray, plan)
    actors = workers_that_fit(ray, plan.workers, gpus, autoscales=bool(plan.project.compute.address))
    return Places(actors, gpus, cores_of((node["Resources"] for node in ray.nodes() if node["Alive"]), gpus))


def device_of(on_gpu: bool) -> str:
    """What an actor computes on, exactly: a GPU, or one thread, since there is an actor for each core."""
    import torch

    be_exact()
    if on_gpu and not torch.cuda.is_available():
        raise RuntimeError("Ray gave this worker a GPU and PyTorch sees none: install PyTorch's CUDA build there")
    if not on_gpu:
        torch.set_num_threads(1)  # faster and far steadier than actors that share cores
    return "cuda" if on_gpu else "cpu"
