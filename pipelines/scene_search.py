"""Which scenes a run reads: searched once, chosen, and frozen in the root."""

import os
import time
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from catalogs import cube
from catalogs.errors import BadInput
from catalogs.scenes import SceneList
from catalogs.stac.access import Access
from catalogs.stac.archive import search_archive
from catalogs.stac.choosing import choose_scenes
from catalogs.stac.items import Item
from catalogs.stac.providers import provider_of
from catalogs.stac.wanted import Wanted
from cluster.progress import Progress
from pipelines.plan import Plan

SCENES = "scenes.json"

TOKEN_SERVICE = "FURROW_SAS_URL"
"""The token service of a mirror of the Planetary Computer's storage."""

SHOWN = 5
"""Scenes that are named where many have changed."""

SAY_EVERY = 10.0
"""Seconds between two lines of a long search."""


def find_scenes(plan: Plan, progress: Progress, again: bool = False) -> SceneList:
    """The run's frozen scene list; searched once, then read from the root unless it is to be searched again."""
    search = describe_search(plan)
    if plan.root.exists(SCENES):
        known, searched = SceneList.decode(plan.root.read(SCENES))
        if searched == search:
            return _search_again(plan, known, progress) if again else known
        if plan.root.exists(f"{cube.NAME}/zarr.json"):
            raise BadInput(
                f"scene list {plan.root.path(SCENES)}",
                "was searched for another region, season or imagery than the project's.",
                "Choose another [store] root, or remove the scene list and cube.zarr to start anew.",
            )
    found = search_scenes(plan, progress)
    if not found.scenes:
        raise _no_scenes(plan, found)
    plan.root.write(SCENES, found.encode(search))
    progress.say(f"scenes: {len(found.scenes)} to read, {len(found.left_out)} left out (reasons in {SCENES})")
    return found


def _search_again(plan: Plan, known: SceneList, progress: Progress) -> SceneList:
    """What the catalogue has now. A scene that was known is what it was, so that nothing is made anew for its sake."""
    found = search_scenes(plan, progress)
    if not found.scenes:
        raise _no_scenes(plan, found)
    found = found.keeping(known)
    plan.root.write(SCENES, found.encode(describe_search(plan)))
    before, after = ({scene.id for scene in scenes.scenes} for scenes in (known, found))
    changes = {"new": after - before, "gone": before - after, "processed anew": found.changed_from(known)}
    told = ", ".join(f"{len(names)} {what} ({_some(names)})" for what, names in changes.items() if names)
    progress.say(f"scenes: searched again: {told or 'nothing has changed'}")
    return found


def _some(names: set[str]) -> str:
    shown = sorted(names)[:SHOWN]
    return ", ".join(shown) + (f" and {len(names) - len(shown)} more" if len(names) > len(shown) else "")


def search_scenes(plan: Plan, progress: Progress) -> SceneList:
    imagery, season = plan.project.imagery, plan.project.season
    provider = provider_of(imagery.provider, imagery.collection)
    wanted = Wanted(
        imagery.collection, plan.region_lonlat, season.start, season.end, imagery.max_cloud, of_server=_is_api(plan)
    )
    return choose_scenes(_items(plan, wanted, progress), provider, wanted)


def _items(plan: Plan, wanted: Wanted, progress: Progress) -> Iterable[Item]:
    imagery = plan.project.imagery
    provider = provider_of(imagery.provider, imagery.collection)
    if not _is_api(plan):
        return search_archive(provider, Path(str(plan.project.catalog)), wanted, imagery.hosts)
    from catalogs.stac.search import search_api  # here, so that a catalogue in files need not load it

    address = plan.project.catalog or str(provider.url)
    return search_api(provider, address, wanted, imagery.hosts, on_page=_Teller(progress))


class _Teller:
    """Shows that a long search lives."""

    def __init__(self, progress: Progress) -> None:
        self.progress, self.spoke = progress, time.monotonic()

    def __call__(self, count: int) -> None:
        if time.monotonic() - self.spoke >= SAY_EVERY:
            self.spoke = time.monotonic()
            self.progress.say(f"scenes: {count} found so far")


def describe_search(plan: Plan) -> dict[str, Any]:
    imagery, season = plan.project.imagery, plan.project.season
    return {
        "provider": imagery.provider,
        "catalogue": imagery.catalog,
        "collection": imagery.collection,
        "max_cloud": imagery.max_cloud,
        "season": [str(season.start), str(season.end)],
        "region": plan.grid_description["region"],
    }


def access_of(plan: Plan) -> Access:
    """How the run's workers come to the scenes' pixels."""
    imagery = plan.project.imagery
    provider = provider_of(imagery.provider, imagery.collection)
    tokens = os.environ.get(TOKEN_SERVICE) if provider.credentials == "sas" else None
    folder = None if _is_api(plan) else Path(str(plan.project.catalog)).parent.resolve()
    return Access(imagery.provider, imagery.collection, folder, imagery.hosts, tokens)


def _is_api(plan: Plan) -> bool:
    return plan.project.catalog is None or "://" in plan.project.catalog


def _no_scenes(plan: Plan, found: SceneList) -> BadInput:
    season = plan.project.season
    reasons = Counter(reason.split(" %")[0] for _, reason in found.left_out)
    why = ", ".join(f"{count} x {reason}" for reason, count in reasons.most_common(3)) or "the catalogue lists none"
    return BadInput(
        f"region {plan.project.region.name!r}, {season.start} to {season.end}",
        f"no scene is left to read there and then ({why}).",
        "Check the region's outline, the season, and [imagery] provider, catalog and max_cloud.",
    )
