"""What is left of a run, in hours, bytes and money: by its own records, or by probes before there are any."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import isfinite
from statistics import fmean
from typing import Any

from catalogs import crops, cube
from catalogs.root import Root
from catalogs.scenes import SceneList
from catalogs.stores import Store
from cluster.progress import Progress
from models.ratio import NOTHING, Total, total_of
from pipelines.devices import Places
from pipelines.ingest import scenes_by_period
from pipelines.pace import sampled_records, tile_seconds
from pipelines.plan import Plan
from pipelines.probing import Sample, probe_ingest, probe_map, scratch, size_of, stored_bytes
from pipelines.stored import units_of

STAGES = ("ingest", "map")
"""Those whose cost grows with the country, whatever is declared in it."""

PROBES = 6
"""Readings, and tiles, that are tried: enough for an interval, and few enough for minutes."""

ENOUGH = 8
"""Records of a stage, from which on these tell its pace and nothing is probed."""

Cost = Callable[[dict[str, Any]], tuple[float, float]]
"""Seconds and size of a unit, by its record."""


@dataclass(frozen=True)
class Estimate:
    """Of one stage."""

    stage: str
    units: int
    left: int
    worker_seconds: Total
    """For what is left."""
    workers: int
    gpus: float
    """Of each worker."""
    stored_bytes: float
    """Of the whole store, once it is there."""
    basis: str
    """What all of this rests on."""

    @property
    def time(self) -> Total:
        """Seconds on the clock."""
        return self.worker_seconds * (1 / self.workers)

    @property
    def gpu_hours(self) -> Total:
        return self.worker_seconds * (self.gpus / 3600)

    def cost(self, plan: Plan) -> Total:
        prices = plan.project.prices
        return self.worker_seconds * ((prices.worker_hour + prices.gpu_hour * self.gpus) / 3600)


def estimate(
    plan: Plan, scenes: SceneList, progress: Progress, probes: int, stages: Sequence[str] = STAGES
) -> list[Estimate]:
    """Of each stage that can be told, in their order."""
    with scratch(plan) as beside:
        found = [_ingest(plan, scenes, beside, probes, progress)]  # its probes are what the map's are made on
        if "map" in stages:
            found.append(_map(plan, beside, probes, progress))
    return [one for one in found if one and one.stage in stages]


def cost_of(plan: Plan, estimates: Sequence[Estimate]) -> Total:
    return sum((one.cost(plan) for one in estimates), NOTHING)


def storage_of(plan: Plan, estimates: Sequence[Estimate]) -> float:
    """What keeping the stores costs for a month."""
    return plan.project.prices.storage_month * sum(one.stored_bytes for one in estimates) / 1e12


def _ingest(plan: Plan, scenes: SceneList, beside: Root, probes: int, progress: Progress) -> Estimate | None:
    store = Store(plan.cube_root, cube.NAME)
    units, left = _standing(plan, store)
    sample = _recorded(store, cube.ARRAYS, left, _cost_of_reading)
    basis = "records"
    if sample is None and probes:
        sample, basis = probe_ingest(plan, scenes, beside, probes, progress), "probes"
    if sample is None:
        return None
    whole = left * fmean(map(size_of, plan.depths(scenes_by_period(plan, scenes)))) if left else 0.0
    return _estimate("ingest", (units, left), sample, whole, Places(plan.workers), basis)


def _map(plan: Plan, beside: Root, probes: int, progress: Progress) -> Estimate | None:
    from pipelines.network_actors import mapping_places  # here, because they bring Ray and torch with them
    from pipelines.untrained import can_be_mapped

    store = Store(plan.root, crops.MAP)
    units, left = _standing(plan, store)
    arrays = crops.map_arrays(plan.project.map.probabilities)
    sample = _recorded(store, arrays, left, lambda record: (tile_seconds(record), 1.0))
    basis = "records"
    if sample is None and probes and can_be_mapped(plan):
        sample, basis = probe_map(plan, beside, left, probes, progress), "probes"
    if sample is None:
        return None
    return _estimate("map", (units, left), sample, left, mapping_places(plan), basis)


def _estimate(
    stage: str, standing: tuple[int, int], sample: Sample, whole: float, places: Places, basis: str
) -> Estimate:
    units, left = standing
    seconds = total_of(sample.seconds, sample.sizes, whole)
    said = f"{len(sample.seconds)} {basis}"
    return Estimate(stage, units, left, seconds, places.actors, places.gpus, units * sample.bytes_of_one, said)


def _standing(plan: Plan, store: Store) -> tuple[int, int]:
    """Units of the plan, and those that are missing."""
    units = units_of(plan, store.name)
    return len(units), len(store.missing(units)) if store.description() is not None else len(units)


def _recorded(store: Store, arrays: Sequence[str], left: int, cost: Cost) -> Sample | None:
    """What records of the run itself say, once there are enough or all; some evenly through the ledger."""
    done = len(store.ledger.done())
    if not done or (left and done < ENOUGH):
        return None
    seconds, sizes = zip(*map(cost, sampled_records(store.ledger)), strict=True)
    return Sample([*seconds], [*sizes], stored_bytes(store.root, store.name, arrays) / done)


def _cost_of_reading(record: dict[str, Any]) -> tuple[float, float]:
    scenes = sum(len(record.get(kind, ())) for kind in ("scenes", "hidden", "unreadable"))
    return float(record["seconds"]), float(size_of(scenes))


def as_dict(plan: Plan, one: Estimate) -> dict[str, Any]:
    return {
        "stage": one.stage,
        "units": one.units,
        "left": one.left,
        "workers": one.workers,
        "gpus_per_worker": one.gpus,
        "hours": plain(one.time * (1 / 3600)),
        "gpu_hours": plain(one.gpu_hours),
        "cost": plain(one.cost(plan)) if plan.project.prices.are_given else None,
        "stored_bytes": round(one.stored_bytes),
        "basis": one.basis,
    }


def plain(total: Total) -> dict[str, float | None]:
    """For JSON, which knows no infinity: an end that is not known is null."""
    ends = {"value": total.value, "low": total.low, "high": total.high}
    return {name: end if isfinite(end) else None for name, end in ends.items()}
