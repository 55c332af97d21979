"""The STAC catalogues that Furrow can read, one row each: what they call things and where their pixels may lie."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlparse

from catalogs.errors import BadInput
from catalogs.radiometry import earth_search_offset

EARTH_SEARCH_ASSETS = {
    "B02": "blue", "B03": "green", "B04": "red", "B05": "rededge1", "B06": "rededge2", "B07": "rededge3",
    "B08": "nir", "B8A": "nir08", "B11": "swir16", "B12": "swir22", "SCL": "scl",
}  # fmt: skip


@dataclass(frozen=True)
class Provider:
    """How one catalogue describes Sentinel-2 L2A."""

    name: str
    url: str | None
    """The API's root; None for a static catalogue on disk."""
    collections: tuple[str, ...]
    assets: Mapping[str, str]
    """Band -> asset name at the band's native resolution."""
    offset: Callable[[Mapping[str, Any]], int]
    """Item properties -> counts to subtract from its pixels."""
    hosts: tuple[str, ...] = ()
    """Where its pixels may be fetched from: an item's links are somebody else's input."""


PROVIDERS = {
    "earth-search": Provider(
        name="earth-search",
        url="https://earth-search.aws.element84.com/v1",
        collections=("sentinel-2-l2a",),
        assets=EARTH_SEARCH_ASSETS,
        offset=earth_search_offset,
        hosts=("sentinel-cogs.s3.us-west-2.amazonaws.com",),
    ),
    "local": Provider(
        name="local",
        url=None,
        collections=("sentinel-2-l2a",),
        assets=EARTH_SEARCH_ASSETS,
        offset=earth_search_offset,
    ),
}


def provider_of(name: str, collection: str) -> Provider:
    if name not in PROVIDERS:
        raise BadInput(f"imagery provider {name!r}", "is not known.", f"Write one of: {', '.join(PROVIDERS)}.")
    provider = PROVIDERS[name]
    if collection not in provider.collections:
        known = ", ".join(provider.collections)
        raise BadInput(f"collection {collection!r}", f"is not read from {name} yet.", f"Write one of: {known}.")
    return provider


def check_href(provider: Provider, href: str) -> str:
    """An https link to one of the provider's hosts; GDAL would open far more than that."""
    link = urlparse(href)
    if link.scheme != "https" or link.hostname not in provider.hosts:
        raise BadInput(
            f"asset link {href[:120]!r}",
            f"does not point to {provider.name}'s own storage ({', '.join(provider.hosts)}).",
            "The catalogue's answer is not to be trusted; nothing was read from it.",
        )
    return href
