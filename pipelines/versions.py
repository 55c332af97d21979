"""versions: the published maps of a project, and which of them was current on a day."""

from datetime import date
from typing import Any

from catalogs.root import Root
from catalogs.versions import Version, version_on, versions
from cluster.progress import Progress
from pipelines.plan import Plan


def list_versions(plan: Plan, progress: Progress, on: date | None = None) -> dict[str, Any]:
    """All of them with the current one marked, or the one of a day."""
    root = Root(plan.project.published)
    found = versions(root) if on is None else [version_on(root, on)]
    for version in found:
        mark = ", current" if on is None and version is found[-1] else ""
        progress.say(f"{version.name}  published {version.published:%Y-%m-%d %H:%M} UTC{mark}: {version.place}")
    if not found:
        progress.say(f"{root.url} holds no version yet; `furrow publish` makes one")
    return {"versions": [_told(version) for version in found]}


def _told(version: Version) -> dict[str, str]:
    return {"version": version.name, "published": version.published.isoformat(), "map": version.place}
