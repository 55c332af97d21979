"""A published map frozen as a version: map, report and provenance, beside the versions before it."""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from catalogs.crops import MAP
from catalogs.description import identity
from catalogs.root import Root
from catalogs.version_list import write_collection
from catalogs.versions import add, find, freeze
from pipelines.plan import Plan


def freeze_version(plan: Plan, item: Mapping[str, Any], pixels: str) -> str:
    """The name of the version with these pixels and this item, which is made only if it was not published before."""
    target = Root(plan.project.published)
    key = identity({"pixels": pixels, "item": item})
    name = find(target, key)
    if name is None:
        freeze(plan.root, target, key, _objects(plan, item))
        name = add(target, key, item, datetime.now(UTC))
    write_collection(target)
    return name


def _objects(plan: Plan, item: Mapping[str, Any]) -> Iterator[str]:
    """All that the item leads to: single files, and everything that lies in the map and beside the page."""
    yield from plan.root.keys(MAP)
    yield from plan.root.keys("report")
    hrefs = (asset["href"].removeprefix("./") for asset in item["assets"].values())
    yield from (href for href in hrefs if not href.startswith((MAP, "report/")))
