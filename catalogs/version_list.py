"""The STAC collection of published versions: what there is, since when, and which is current."""

from collections.abc import Sequence
from typing import Any

from catalogs.root import Root
from catalogs.versions import COLLECTION, COLLECTION_ID, VERSION_EXTENSION, Version, encoded, versions

GEOJSON, JSON = "application/geo+json", "application/json"


def write_collection(root: Root) -> None:
    """From all items that are there; the same items are the same bytes."""
    made = encoded(collection_of(versions(root)))
    if not root.exists(COLLECTION) or root.read(COLLECTION) != made:
        root.write(COLLECTION, made)


def collection_of(found: Sequence[Version]) -> dict[str, Any]:
    current = found[-1]
    return {
        "type": "Collection",
        "stac_version": "1.1.0",
        "stac_extensions": [VERSION_EXTENSION],
        "id": COLLECTION_ID,
        "title": current.item["properties"]["title"],
        "description": "Published versions of a crop map, each as it was then. The last one listed is the current one.",
        "license": "other",
        "version": current.name,
        "extent": {"spatial": {"bbox": _boxes(found)}, "temporal": {"interval": _intervals(found)}},
        "summaries": {"version": [version.name for version in found]},
        "links": [
            {"rel": "root", "href": f"./{COLLECTION}", "type": JSON},
            *(_link("item", version) for version in found),
            _link("latest-version", current),
        ],
    }


def _link(rel: str, version: Version) -> dict[str, str]:
    title = f"{version.item['properties']['title']}, published {version.published:%Y-%m-%d}"
    return {"rel": rel, "href": f"./items/{version.name}.json", "type": GEOJSON, "title": title}


def _boxes(found: Sequence[Version]) -> list[list[float]]:
    """That of all comes first, as STAC wants it; then one for each, where these differ."""
    boxes = [list(version.item["bbox"]) for version in found]
    west, south, east, north = zip(*boxes, strict=True)
    whole = [min(west), min(south), max(east), max(north)]
    return [whole, *sorted({tuple(box): box for box in boxes}.values())] if len(set(map(tuple, boxes))) > 1 else [whole]


def _intervals(found: Sequence[Version]) -> list[list[str]]:
    times = [(v.item["properties"]["start_datetime"], v.item["properties"]["end_datetime"]) for v in found]
    return [[min(start for start, _ in times), max(end for _, end in times)]]
