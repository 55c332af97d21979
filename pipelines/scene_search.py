"""Which scenes a run reads: searched once, chosen, and frozen in the root."""

from collections import Counter
from pathlib import Path
from typing import Any

from catalogs import cube
from catalogs.errors import BadInput
from catalogs.providers import provider_of
from catalogs.scenes import SceneList, choose_scenes
from catalogs.search import search_api, search_folder
from cluster.progress import Progress
from pipelines.plan import Plan

SCENES = "scenes.json"


def find_scenes(plan: Plan, progress: Progress) -> SceneList:
    """The run's frozen scene list; searched once, then read from the root."""
    search = describe_search(plan)
    if plan.root.exists(SCENES):
        found, searched = SceneList.decode(plan.root.read(SCENES))
        if searched == search:
            return found
        if plan.root.exists(f"{cube.NAME}/zarr.json"):
            raise BadInput(
                f"scene list {plan.root.path(SCENES)}",
                "was searched for another region, season or imagery than the project's.",
                "Choose another [store] root, or remove the scene list and cube.zarr to start anew.",
            )
    found = search_scenes(plan)
    if not found.scenes:
        raise _no_scenes(plan, found)
    plan.root.write(SCENES, found.encode(search))
    progress.say(f"scenes: {len(found.scenes)} to read, {len(found.left_out)} left out (reasons in {SCENES})")
    return found


def search_scenes(plan: Plan) -> SceneList:
    imagery, season = plan.project.imagery, plan.project.season
    provider = provider_of(imagery.provider, imagery.collection)
    if provider.url is None:
        items = search_folder(Path(str(plan.project.catalog)), imagery.collection, season.start, season.end)
    else:
        address = plan.project.catalog or provider.url
        items = search_api(provider, address, imagery.collection, plan.region_lonlat, season.start, season.end)
    return choose_scenes(items, provider, plan.region_lonlat, imagery.max_cloud)


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


def catalogue_folder(plan: Plan) -> Path | None:
    """Where a static catalogue's relative links start; None for an API, whose links are whole."""
    is_local = provider_of(plan.project.imagery.provider, plan.project.imagery.collection).url is None
    return Path(str(plan.project.catalog)).parent.resolve() if is_local else None


def _no_scenes(plan: Plan, found: SceneList) -> BadInput:
    season = plan.project.season
    reasons = Counter(reason.split(" %")[0] for _, reason in found.left_out)
    why = ", ".join(f"{count} x {reason}" for reason, count in reasons.most_common(3)) or "the catalogue lists none"
    return BadInput(
        f"region {plan.project.region.name!r}, {season.start} to {season.end}",
        f"no scene is left to read there and then ({why}).",
        "Check the region's outline, the season, and [imagery] catalog and max_cloud.",
    )
