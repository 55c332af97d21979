"""The STAC catalogues that Furrow can read, one row each: what they call things and where their pixels may lie."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from catalogs.bands import BANDS
from catalogs.errors import BadInput
from catalogs.stac.items import Item
from catalogs.stac.radiometry import Offset, offset_by_assets, offset_by_baseline, offset_by_flag

NAMES = {
    "B02": "blue", "B03": "green", "B04": "red", "B05": "rededge1", "B06": "rededge2", "B07": "rededge3",
    "B08": "nir", "B8A": "nir08", "B11": "swir16", "B12": "swir22", "SCL": "scl",
}  # fmt: skip
"""Element 84's; `nir` is B08 and `nir08` is B8A."""

NUMBERS = {band: band for band in (*BANDS, "SCL")}
"""ESA's."""

NUMBERS_AND_METRES = {
    "B02": "B02_10m", "B03": "B03_10m", "B04": "B04_10m", "B05": "B05_20m", "B06": "B06_20m", "B07": "B07_20m",
    "B08": "B08_10m", "B8A": "B8A_20m", "B11": "B11_20m", "B12": "B12_20m", "SCL": "SCL_20m",
}  # fmt: skip
"""ESA's files; the native resolution of each band, since most are there in coarser ones too."""

THROTTLED = (429, 502, 503, 504)
"""Statuses that pass: too many requests, and a server or its gateway that is busy."""

SAS = "https://planetarycomputer.microsoft.com/api/sas/v1/token"


@dataclass(frozen=True)
class Provider:
    """How one collection of a catalogue describes Sentinel-2 L2A."""

    name: str
    collection: str
    url: str | None
    """The API's root; None for a catalogue in files."""
    assets: Mapping[str, str]
    """Band -> asset name at the band's native resolution."""
    offset: Callable[[Item, Iterable[str]], Offset]
    """Item and names of its bands' assets -> counts to subtract from its pixels."""
    no_data: int = 0
    """The count that means no data, before any offset."""
    hosts: tuple[str, ...] = ()
    """Where its pixels may be fetched from: an item's links are somebody else's input."""
    buckets: tuple[str, ...] = ()
    """The same for s3:// links."""
    credentials: Literal["none", "sas", "s3"] = "none"
    """`sas`: links are signed with a token at each read. `s3`: keys of one's own, in the environment."""
    tokens: str | None = None
    """Where tokens are had, one for each storage account and container."""
    endpoint: str | None = None
    """Host of the S3 service, where it is not Amazon's."""
    page_size: int = 100
    throttled: tuple[int, ...] = THROTTLED
    """Statuses that mean: try again later."""

    @property
    def bands(self) -> tuple[str, ...]:
        """Asset names of the ten bands."""
        return tuple(self.assets[band] for band in BANDS)


EARTH_SEARCH = "https://earth-search.aws.element84.com/v1"
COGS = ("sentinel-cogs.s3.us-west-2.amazonaws.com", "sentinel-cogs.s3.amazonaws.com")
C1_COGS = (
    "e84-earth-search-sentinel-data.s3.us-west-2.amazonaws.com",
    "e84-earth-search-sentinel-data.s3.amazonaws.com",
)
EARTH_SEARCH_THROTTLED = (403, *THROTTLED)
"""It answers 403 Forbidden to those who ask too fast."""

PROVIDERS = (
    Provider(
        "earth-search", "sentinel-2-l2a", EARTH_SEARCH, NAMES, offset_by_flag,
        hosts=COGS, buckets=("sentinel-cogs",), throttled=EARTH_SEARCH_THROTTLED,
    ),
    Provider(
        "earth-search", "sentinel-2-c1-l2a", EARTH_SEARCH, NAMES, offset_by_assets,
        hosts=C1_COGS, buckets=("e84-earth-search-sentinel-data",), throttled=EARTH_SEARCH_THROTTLED,
    ),
    Provider(  # the older API, which mirrors still copy
        "earth-search", "sentinel-s2-l2a-cogs", "https://earth-search.aws.element84.com/v0", NUMBERS, offset_by_flag,
        hosts=COGS, buckets=("sentinel-cogs",), throttled=EARTH_SEARCH_THROTTLED,
    ),
    Provider(
        "planetary-computer", "sentinel-2-l2a", "https://planetarycomputer.microsoft.com/api/stac/v1",
        NUMBERS, offset_by_baseline,
        hosts=("sentinel2l2a01.blob.core.windows.net",), credentials="sas", tokens=SAS,
    ),
    Provider(
        "cdse", "sentinel-2-l2a", "https://stac.dataspace.copernicus.eu/v1", NUMBERS_AND_METRES, offset_by_assets,
        buckets=("eodata",), credentials="s3", endpoint="eodata.dataspace.copernicus.eu",
    ),
    Provider("local", "sentinel-2-l2a", None, NAMES, offset_by_flag),
    Provider("local", "sentinel-2-c1-l2a", None, NAMES, offset_by_assets),
)  # fmt: skip


def provider_of(name: str, collection: str) -> Provider:
    rows = {row.collection: row for row in PROVIDERS if row.name == name}
    if not rows:
        known = ", ".join(dict.fromkeys(row.name for row in PROVIDERS))
        raise BadInput(f"imagery provider {name!r}", "is not known.", f"Write one of: {known}.")
    if collection not in rows:
        remedy = f"Write one of: {', '.join(rows)}."
        raise BadInput(f"collection {collection!r}", f"is not read from {name}.", remedy)
    return rows[collection]
