"""plan: what a run will do and need, printed before anything is done."""

from typing import Any

from cluster.progress import Progress
from pipelines.plan import Plan
from pipelines.scene_search import find_scenes


def show_plan(plan: Plan, progress: Progress) -> dict[str, Any]:
    """Search the scenes, freeze their list in the root, and print the plan; refuses what cannot fit this machine."""
    plan.root.check_writable()
    scenes = find_scenes(plan, progress)
    printable = plan.printable(scenes)
    for key, value in printable.items():
        progress.say(f"{key.removesuffix('_bytes').replace('_', ' '):<20}{_said(key, value)}")
    plan.check_memory(printable["worker_memory_bytes"])
    return printable


def _said(key: str, value: Any) -> str:
    if key.endswith("_bytes"):
        return f"{value / 1e9:.1f} GB" if value >= 1e9 else f"{value / 1e6:.0f} MB"
    return f"{len(value)}: {value[0]} to {value[-1]}" if isinstance(value, list) else str(value)
