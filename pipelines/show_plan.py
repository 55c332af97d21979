"""plan: what a run will do, need and cost, printed before anything is done."""

from collections.abc import Sequence
from typing import Any

from cluster.progress import Progress
from pipelines.estimates import PROBES, STAGES, Estimate, as_dict, cost_of, estimate, plain, storage_of
from pipelines.money import lasting, money, told
from pipelines.pages import size
from pipelines.plan import Plan
from pipelines.scene_search import find_scenes

UNKNOWN = "not known before something of it was probed or done"


def show_plan(plan: Plan, progress: Progress, probes: int = PROBES) -> dict[str, Any]:
    """Search the scenes, freeze their list in the root, and print the plan; refuses what cannot fit this machine."""
    plan.root.check_writable()
    scenes = find_scenes(plan, progress)
    printable = plan.printable(scenes)
    for key, value in printable.items():
        _line(progress, key.removesuffix("_bytes").replace("_", " "), _said(key, value))
    plan.check_memory(printable["worker_memory_bytes"])
    estimates = estimate(plan, scenes, progress, probes)
    known = {one.stage: _stage(one) for one in estimates}
    for stage in STAGES:
        _line(progress, stage, known.get(stage, UNKNOWN))
    money_matters = _money(plan, estimates, progress)
    return printable | {"stages": [as_dict(plan, one) for one in estimates], **money_matters}


def _line(progress: Progress, key: str, text: str) -> None:
    progress.say(f"{key:<20}{text}")


def _said(key: str, value: Any) -> str:
    if key.endswith("_bytes"):
        return size(value)
    return f"{len(value)}: {value[0]} to {value[-1]}" if isinstance(value, list) else str(value)


def _stage(one: Estimate) -> str:
    if not one.left:
        return f"done; {size(one.stored_bytes)}"
    gpus = f", {one.gpu_hours.value:,.3g} GPU-hours" if one.gpus else ""
    where = f"on {one.workers} workers{gpus}"
    return f"{one.left:,} of {one.units:,} left: {lasting(one.time)} {where}; {size(one.stored_bytes)} ({one.basis})"


def _money(plan: Plan, estimates: Sequence[Estimate], progress: Progress) -> dict[str, Any]:
    """Costs, where the project says what things cost."""
    prices, found = plan.project.prices, dict[str, Any]()
    if prices.are_given and estimates:
        cost = cost_of(plan, estimates)
        _line(progress, "cost", told(cost, prices.currency))
        found["cost"] = plain(cost) | {"currency": prices.currency}
    if prices.storage_month and estimates:
        month = storage_of(plan, estimates)
        _line(progress, "storage a month", money(month, prices.currency))
        found["storage_month"] = month
    return found
