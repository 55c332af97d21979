"""What PASTIS says of its patches in metadata.geojson: fold, tile, dates.

Its geometries are never read. They are in EPSG:2154 while the pixels lie along UTM, so a patch's outline is turned
against its pixels and places none of them.
"""

import json
import re
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any

from catalogs.errors import BadInput
from catalogs.references.places import AGAIN, plain_file

FOLDS = (1, 2, 3, 4, 5)

LARGEST = 256 * 1024**2
"""Bytes of a JSON file. The true one has a few million."""

MOST_DATES = 1000


@dataclass(frozen=True)
class Described:
    """One patch as the metadata describe it."""

    id: int
    fold: int
    tile: str
    """Such as T30UXV."""
    dates: tuple[date, ...]
    """One for each acquisition in the order of the array. A day can be there twice: two passes, or a tile's seam."""


def read_metadata(path: Path) -> tuple[Described, ...]:
    """All patches in the order of their ids."""
    content = read_json(path)
    features = content.get("features") if isinstance(content, dict) else None
    if not isinstance(features, list):
        raise _refused(path, "It is not a GeoJSON collection of features.")
    patches = sorted((_described(path, feature) for feature in features), key=lambda patch: patch.id)
    for first, second in zip(patches, patches[1:], strict=False):
        if first.id == second.id:
            raise _refused(path, f"Patch {first.id} is there twice.")
    return tuple(patches)


def read_json(path: Path) -> Any:
    if plain_file(path).stat().st_size > LARGEST:
        raise _refused(path, "It is far too large.")
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise _refused(path, "It is not JSON, or it is damaged.") from error


def _described(path: Path, feature: Any) -> Described:
    values = feature.get("properties") if isinstance(feature, dict) else None
    if not isinstance(values, dict):
        raise _refused(path, "A feature has no properties.")
    number = _whole(path, "ID_PATCH", values.get("ID_PATCH"))
    fold = _whole(path, f"Fold of patch {number}", values.get("Fold"))
    if fold not in FOLDS:
        raise _refused(path, f"Patch {number} is in fold {fold}; there are folds 1 to 5.")
    dates = _dates(path, number, values.get("dates-S2"))
    return Described(number, fold, _tile(path, number, values.get("TILE")), dates)


def _whole(path: Path, what: str, value: Any) -> int:
    """A number that some writers hand over as text or as 10000.0."""
    text = re.sub(r"\.0$", "", str(value).strip())
    if not re.fullmatch(r"\d{1,9}", text, re.ASCII):
        raise _refused(path, f"{what} is {str(value)[:40]!r}, not a whole number.")
    return int(text)


def _tile(path: Path, number: int, value: Any) -> str:
    tile = re.sub(r"^(?!T)", "T", str(value).strip().upper())
    if not re.fullmatch(r"T\d\d[A-Z]{3}", tile, re.ASCII):
        raise _refused(path, f"Patch {number} has the tile {str(value)[:40]!r}, which is none of Sentinel-2.")
    return tile


def _dates(path: Path, number: int, value: Any) -> tuple[date, ...]:
    """Of {"0": 20180917, ...}, or of the same as text: GDAL hands a nested object over in that way."""
    try:
        by_place = json.loads(value) if isinstance(value, str) else value
        places = {int(place): _day(day) for place, day in by_place.items()}
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        raise _refused(path, f"dates-S2 of patch {number} is not a table of days such as 20180917.") from error
    if sorted(places) != list(range(len(places))) or not 0 < len(places) <= MOST_DATES:
        raise _refused(path, f"dates-S2 of patch {number} does not number its days 0, 1, 2 ...")
    return tuple(places[place] for place in range(len(places)))


def _day(value: Any) -> date:
    return datetime.strptime(str(value), "%Y%m%d").date()


def _refused(path: Path, why: str) -> BadInput:
    return BadInput(f"file {path}", why, AGAIN)
