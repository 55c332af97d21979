"""Published versions of a map: frozen copies side by side, an item for each, and the collection that lists them.

`data/KEY/` holds what a version is made of, `items/VERSION.json` describes it, `collection.json` says which is current.
Nothing under the first two is ever written again. The collection is made from the items, so that it can be lost, and
two who publish at once cannot lose each other's.
"""

import json
import os
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import partial
from pathlib import Path
from typing import Any

from catalogs.errors import BadInput
from catalogs.root import Root

COLLECTION = "collection.json"
COLLECTION_ID = "crop-maps"
UPWARDS = ("root", "parent", "collection")
"""Relations of an item's links, which all lead to the collection."""

COPIERS = 16
"""Objects that are copied at the same time: a bucket's answer is what takes time."""

VERSION_EXTENSION = "https://stac-extensions.github.io/version/v1.2.0/schema.json"
TIMESTAMPS = "https://stac-extensions.github.io/timestamps/v1.1.0/schema.json"


@dataclass(frozen=True)
class Version:
    """A published map, by its item."""

    root: Root
    name: str
    item: Mapping[str, Any]

    @property
    def published(self) -> datetime:
        return datetime.fromisoformat(self.item["properties"]["published"])

    @property
    def place(self) -> str:
        """Where its map lies, for whoever opens it."""
        return self.root.path(self.item["assets"]["map"]["href"].removeprefix("../"))


def versions(root: Root) -> list[Version]:
    """From the first to the current one."""
    keys = [key for key in root.keys("items") if key.endswith(".json")]
    found = [Version(root, Path(key).stem, json.loads(root.read(key))) for key in keys]
    return sorted(found, key=lambda version: (version.published, version.name))


def version_on(root: Root, day: date) -> Version:
    """The version that was current when a day (UTC) ended."""
    found = [version for version in versions(root) if version.published.astimezone(UTC).date() <= day]
    if not found:
        given = f"versions of {root.url} on {day}"
        raise BadInput(given, "none had been published by then.", "Give a later day; `furrow versions` lists them.")
    return found[-1]


def find(root: Root, key: str) -> str | None:
    """The name of the version whose data lie under a key, if it was published before."""
    names = (Path(item).stem for item in root.keys("items"))
    return next((name for name in names if name.endswith(f"-{key}")), None)


def freeze(source: Root, target: Root, key: str, objects: Iterable[str]) -> None:
    """Copy what a version is made of; begun before, it goes on."""
    with ThreadPoolExecutor(COPIERS) as copiers:
        for _ in copiers.map(partial(_keep, source, target, key), objects):
            pass


def add(root: Root, key: str, item: Mapping[str, Any], now: datetime) -> str:
    """Publish a version whose data are there; its name tells the day and the data."""
    name = f"{now:%Y-%m-%d}-{key}"
    root.write(f"items/{name}.json", encoded(_versioned(item, name, key, now)))
    return name


def encoded(document: Mapping[str, Any]) -> bytes:
    return (json.dumps(document, indent=1, ensure_ascii=False) + "\n").encode()


def _keep(source: Root, target: Root, key: str, name: str) -> None:
    """A link on a disk: writers replace files and never change them, so a frozen one stays as it is."""
    place = f"data/{key}/{name}"
    if target.exists(place) or (source.is_local and target.is_local and _linked(source.path(name), target.path(place))):
        return
    target.write(place, source.read(name))


def _linked(file: str, place: str) -> bool:
    """Not where both lie on different disks, or on one without links."""
    Path(place).parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(file, place)
    except OSError:
        return False
    return True


def _versioned(item: Mapping[str, Any], name: str, key: str, now: datetime) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(json.dumps(item))
    told = now.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    found["id"] = f"{found['id']}-{name}"
    found["collection"] = COLLECTION_ID
    found["properties"] |= {"version": name, "published": told}
    found["stac_extensions"] += [VERSION_EXTENSION, TIMESTAMPS]
    found["links"] = [{"rel": rel, "href": f"../{COLLECTION}", "type": "application/json"} for rel in UPWARDS]
    for asset in found["assets"].values():
        asset["href"] = f"../data/{key}/{asset['href'].removeprefix('./')}"
    return found
