"""What a STAC item says of itself, under the names that catalogues and versions of STAC give it."""

import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from math import nan
from typing import Any

from shapely import make_valid
from shapely.geometry import shape
from shapely.geometry.base import BaseGeometry

Item = Mapping[str, Any]

PRODUCT = re.compile(r"(S2[A-Z])_MSIL2A_(\d{8}T\d{6})(?:_N(\d\d)(\d\d))?_R\d{3}_T(\d\d[A-Z]{3})_(\d{8}T\d{6})")
"""ESA's name of a product: platform, start of the datatake, baseline, tile, time of processing."""

LONG_AGO = datetime.min.replace(tzinfo=UTC)


class Unusable(Exception):
    """A scene is left out for this reason, which is told after the scene's name."""


def told(item: Item, *names: str) -> Any:
    """The first of these properties that is there and not null."""
    properties = item["properties"]
    return next((properties[name] for name in names if properties.get(name) is not None), None)


def product_of(item: Item) -> re.Match[str] | None:
    names = (told(item, "s2:product_uri"), told(item, "sentinel:product_id"), item.get("id"))
    return next(filter(None, (PRODUCT.search(str(name)) for name in names if name)), None)


def moment_of(item: Item) -> datetime:
    """Sensing time in UTC; one that names no zone is meant so."""
    moment = datetime.fromisoformat(str(told(item, "datetime", "start_datetime")))
    return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)


def platform_of(item: Item) -> str:
    """`sentinel-2b`, which the Planetary Computer writes with a capital and a product's name as S2B."""
    platform, product = told(item, "platform"), product_of(item)
    if platform is None and product:
        return f"sentinel-{product[1][1:].lower()}"
    return str(platform or "").lower()


def baseline_of(item: Item) -> tuple[int, ...]:
    """Processing baseline, (5, 11) for 05.11; empty where nothing tells it."""
    written = told(item, "s2:processing_baseline", "sentinel:processing_baseline", "processing:version")
    take = re.search(r"_N(\d\d\.\d\d)$", str(told(item, "s2:datatake_id", "eopf:datatake_id")))
    product = product_of(item)
    if written is None and product and product[3]:
        written = f"{product[3]}.{product[4]}"
    if written is None:
        written = take[1] if take else None
    return () if written is None else tuple(int(part) for part in str(written).removeprefix("N").split("."))


def tile_of(item: Item) -> str:
    """MGRS tile with two digits of its zone, `07HFE`; empty where nothing tells it."""
    written = told(item, "grid:code", "s2:mgrs_tile")
    if written is None:
        parts = [told(item, f"mgrs:{n}", f"sentinel:{n}") for n in ("utm_zone", "latitude_band", "grid_square")]
        written = "".join(str(part) for part in parts) if None not in parts else ""
    found = re.fullmatch(r"(?:MGRS-|T)?(\d{1,2})([A-Z]{3})", str(written))
    product = product_of(item)
    return f"{int(found[1]):02d}{found[2]}" if found else product[5] if product else ""


def datatake_of(item: Item) -> str:
    """When the datatake began, `20250731T131909`: the same in all products of it, whatever their baseline."""
    take = re.search(r"\d{8}T\d{6}", str(told(item, "s2:datatake_id", "eopf:datatake_id")))
    if take:
        return take[0]
    product = product_of(item)
    return product[2] if product else f"{moment_of(item):%Y%m%dT%H%M%S}"


def datastrip_of(item: Item) -> datetime | None:
    """When the datastrip began: the halves of a split datatake are of two."""
    strip = re.search(r"_S(\d{8}T\d{6})", str(told(item, "s2:datastrip_id", "eopf:datastrip_id")))
    return datetime.fromisoformat(strip[1]) if strip else None


def generation_of(item: Item) -> datetime:
    """When the product was made."""
    product = product_of(item)
    written = told(item, "s2:generation_time", "processing:datetime") or (product[6] if product else None)
    if written is None:
        return LONG_AGO
    made = datetime.fromisoformat(str(written))
    return made.astimezone(UTC) if made.tzinfo else made.replace(tzinfo=UTC)


def cloud_of(item: Item) -> float:
    """Percent of cloud; not a number where nothing tells it."""
    cloud = told(item, "eo:cloud_cover")
    return nan if cloud is None else float(cloud)


def no_data_of(item: Item) -> float | None:
    """Percent of the tile without data."""
    covered = told(item, "sentinel:data_coverage", "data_coverage")
    statistics = told(item, "statistics")
    written = told(item, "s2:nodata_pixel_percentage")
    if written is None and isinstance(statistics, Mapping):
        written = statistics.get("nodata")
    if written is None and covered is not None:
        written = 100 - float(covered)
    return None if written is None else float(written)


def epsg_of(item: Item, assets: Iterable[str]) -> int:
    """`proj:epsg` of STAC 1.0 or `proj:code` of 1.1, of the assets or else of the whole item."""
    whole = _code(item["properties"])
    found = {_code(item["assets"][name]) or whole for name in assets}
    if None in found:
        raise Unusable("names no CRS")
    if len(found) > 1:
        raise Unusable(
            f"has bands in several CRSs ({', '.join(f'EPSG:{code}' for code in sorted(filter(None, found)))})"
        )
    return found.pop() or 0


def _code(fields: Mapping[str, Any]) -> int | None:
    written = fields.get("proj:epsg") or fields.get("proj:code")
    if not written:
        return None
    named = re.fullmatch(r"(?:.*EPSG\D(?:.*\D)?)?(\d{4,6})", str(written), flags=re.IGNORECASE)
    if not named:
        raise ValueError(f"{str(written)[:40]!r} is no EPSG code")
    return int(named[1])


def ground_of(footprint: dict[str, Any]) -> BaseGeometry:
    """Valid ground: catalogues hold footprints that cross themselves."""
    return make_valid(shape(footprint))
