"""What each worker is pinned to, and how many fit: GPUs where the cluster has some, CPU cores where not."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import ceil
from typing import Any

from catalogs.errors import BadInput
from pipelines.leases import Shape, groups_in_hand
from pipelines.plan import Plan

CORES_OF_READER = 4
"""Of a worker that shares a GPU."""

MOST_ON_A_GPU = 4
"""Workers that share one: each has its own half a gigabyte of CUDA there."""


@dataclass(frozen=True)
class Places:
    """Where networks work: so many actors, each with a share of a machine."""

    actors: int
    gpus: float = 0
    cores: int = 1
    together: Shape = (1, 1)
    """Tiles that are seen at once."""

    @property
    def in_hand(self) -> int:
        """Leases of one actor at once."""
        return groups_in_hand(self.gpus)


def gpus_per_worker(ray: Any, plan: Plan) -> float:
    wanted = plan.project.compute.gpus_per_worker
    there = float(ray.cluster_resources().get("GPU", 0))
    if wanted == "auto":
        return 1.0 if there else 0.0
    if float(wanted) > there and not plan.project.compute.address:  # a cluster elsewhere may have yet to start its GPUs
        raise BadInput(
            f"[compute] gpus_per_worker = {wanted}",
            f"the cluster has {there:g} GPUs.",
            'Write "auto", 0, or a share of what there is.',
        )
    return float(wanted)


def cores_of(nodes: Iterable[Mapping[str, float]], gpus: float) -> int:
    """How many cores each worker with so many GPUs may have: those of the machine with the fewest for each GPU.

    A GPU is faster than a core can read for it; without GPUs the cores are what computes, and each worker has one.
    """
    shares = [node.get("CPU", 0) / node["GPU"] * gpus for node in nodes if node.get("GPU", 0) >= gpus > 0]
    return max(1, int(min(shares, default=1)))


def mapping_gpus(ray: Any, plan: Plan) -> float:
    """What `gpus_per_worker` says; but where it says nothing, workers of this machine share a GPU: in one process,
    threads that decode keep the one that feeds the GPU waiting. On a cluster elsewhere so many workers are asked for,
    and each has a GPU of its own."""
    gpus, compute = gpus_per_worker(ray, plan), plan.project.compute
    if compute.gpus_per_worker == "auto" and gpus and not compute.address:
        return gpu_share(cores_of(_alive(ray), gpus))
    return gpus


def gpu_share(cores: int) -> float:
    """Of each worker, where so many cores belong to a GPU: a half or a quarter, which Ray counts without rounding."""
    fed = min(max(cores // CORES_OF_READER, 1), MOST_ON_A_GPU)
    return 1 / (1 << (fed.bit_length() - 1))


def places_for(ray: Any, plan: Plan, gpus: float) -> Places:
    actors = workers_that_fit(ray, plan.workers, gpus, autoscales=bool(plan.project.compute.address))
    return Places(actors, gpus, cores_of(_alive(ray), gpus))


def _alive(ray: Any) -> list[Mapping[str, float]]:
    """What the machines of a cluster have."""
    return [node["Resources"] for node in ray.nodes() if node["Alive"]]


def training_gpus(ray: Any, plan: Plan) -> float:
    """What `gpus_per_worker` says; but where it says nothing, the workers of a small machine share its GPUs."""
    gpus, there = gpus_per_worker(ray, plan), float(ray.cluster_resources().get("GPU", 0))
    if plan.project.compute.gpus_per_worker == "auto" and there:
        return trainers_share(plan.project.training.workers, there)
    return gpus


def trainers_share(workers: int, gpus: float) -> float:
    """No worker has parts of two GPUs."""
    return 1 / ceil(workers / gpus)


def workers_that_fit(ray: Any, wanted: int, gpus: float, autoscales: bool) -> int:
    """No more than the cluster has slots for; a cluster that grows may be asked for more."""
    if autoscales:
        return wanted
    there = ray.cluster_resources()
    fit = int(there.get("GPU", 0) / gpus) if gpus else int(there.get("CPU", 1))
    return max(1, min(wanted, fit))


def check_training_fits(ray: Any, plan: Plan, gpus: float) -> None:
    """Training workers start together or not at all: waiting for slots that never come would look like work."""
    workers, there = plan.project.training.workers, ray.cluster_resources()
    lacks = workers * gpus > there.get("GPU", 0) if gpus else workers > there.get("CPU", 0)
    if lacks and not plan.project.compute.address:
        raise BadInput(
            f"[training] workers = {workers}, each with {gpus:g} GPUs",
            f"this machine has {there.get('GPU', 0):g} GPUs and {there.get('CPU', 0):g} CPU slots.",
            "Write fewer workers, or a smaller [compute] gpus_per_worker.",
        )
