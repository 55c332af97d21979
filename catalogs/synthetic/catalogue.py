"""The collection and the root of the made-up country's STAC catalogue, written when all scenes are there."""

import os
from typing import Any

from shapely import union_all

from catalogs.errors import BadInput
from catalogs.synthetic import items
from catalogs.synthetic.country import plan_country
from catalogs.synthetic.frames import ZONES
from catalogs.synthetic.settings import CountrySettings

MADE_UP = (
    "Scenes of a country that does not exist, rendered by furrow in the manner of Sentinel-2 Level-2A. "
    "What is measured on them is not measured on Earth."
)


def write_catalogue(settings: CountrySettings, folder: str) -> None:
    """The root comes last: where it lies, every scene that it leads to lies too."""
    _refuse_gaps(settings, folder)
    items.write_json(os.path.join(folder, items.COLLECTION, "collection.json"), _collection(settings))
    items.write_json(os.path.join(folder, "catalog.json"), _root(settings))


def _refuse_gaps(settings: CountrySettings, folder: str) -> None:
    for job in plan_country(settings).jobs:
        if not items.is_written(settings, job, os.path.join(folder, items.COLLECTION, job.scene_id)):
            raise BadInput(
                f"synthetic country in {folder}",
                f"its scene {job.scene_id} is missing or belongs to another country.",
                "Write every scene of the plan first, then the catalogue.",
            )


def _root(settings: CountrySettings) -> dict[str, Any]:
    return {
        "type": "Catalog",
        "id": f"made-up-country-{settings.seed}",
        "stac_version": "1.0.0",
        "title": "A made-up country",
        "description": MADE_UP,
        "links": [
            _link("root", "./catalog.json"),
            _link("child", f"./{items.COLLECTION}/collection.json"),
        ],
    }


def _collection(settings: CountrySettings) -> dict[str, Any]:
    jobs = plan_country(settings).jobs
    seen = union_all([items.footprint_lonlat(settings, job) for job in jobs])
    times = [f"{job.sensed:%Y-%m-%dT%H:%M:%SZ}" for job in jobs]
    return {
        "type": "Collection",
        "id": items.COLLECTION,
        "stac_version": "1.0.0",
        "title": "Sentinel-2 Level-2A, made up",
        "description": MADE_UP,
        "license": "Apache-2.0",
        "extent": {
            "spatial": {"bbox": [[round(value, 6) for value in seen.bounds]]},
            "temporal": {"interval": [[min(times), max(times)]]},
        },
        "summaries": {
            "platform": sorted({job.platform for job in jobs}),
            "constellation": ["sentinel-2"],
            "grid:code": [f"MGRS-{name}" for name in ZONES.values()],
        },
        "links": [
            _link("root", "../catalog.json"),
            _link("parent", "../catalog.json"),
            *(_link("item", f"./{job.scene_id}/{job.scene_id}.json") for job in jobs),
        ],
    }


def _link(rel: str, href: str) -> dict[str, str]:
    return {"rel": rel, "href": href, "type": "application/json"}
