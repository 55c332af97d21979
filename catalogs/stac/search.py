"""Asking a STAC API for the items of a region and season, and bearing with it."""

import os
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

from pystac.errors import STACError
from pystac_client import Client, ItemSearch
from pystac_client.exceptions import APIError
from pystac_client.stac_api_io import StacApiIO

from catalogs.errors import BadInput
from catalogs.patience import Patience
from catalogs.stac.items import Item
from catalogs.stac.links import check_href
from catalogs.stac.providers import Provider
from catalogs.stac.refusals import CATALOG_TOKEN, explain, no_such_collection
from catalogs.stac.retries import again, mount
from catalogs.stac.signing import SUBSCRIPTION_KEY
from catalogs.stac.wanted import Wanted

MOST_ITEMS = 300_000
"""Of one search: ten times what a year over France has."""

SAME_PAGES = 3
"""Pages in a row that bring nothing new, after which a catalogue is taken to go in circles."""

MOST_HALVINGS = 4
"""Of a season whose search is too wide for the server (504): sixteen parts at least are tried."""


def search_api(
    provider: Provider,
    address: str,
    wanted: Wanted,
    hosts: tuple[str, ...] = (),
    patience: Patience | None = None,
    on_page: Callable[[int], None] | None = None,
) -> Iterator[Item]:
    """Items of the API at `address`, with every link checked; `on_page` is told how many have come so far."""
    patience = patience or Patience()
    found: set[str] = set()
    try:
        client = _open(provider, address, patience)
        for page in _pages(client, provider, wanted):
            for item in page:
                if item.get("collection") in (None, wanted.collection):
                    check_links(item, provider, hosts)
                yield item
            found.update(str(item.get("id")) for item in page)
            if on_page:
                on_page(len(found))
            if len(found) > MOST_ITEMS:
                raise _too_many(address)
        if not found:
            _check_collection(client, address, wanted.collection)
    except (APIError, STACError, OSError, RecursionError, *MALFORMED) as error:
        raise explain(error, provider, address, patience) from error


MALFORMED = (ValueError, KeyError, TypeError, AttributeError, NotImplementedError)
"""What pystac-client raises when an answer is not as it should be."""


class PatientIO(StacApiIO):
    """pystac-client's reader, which asks again where a page came in part, and talks to one server only."""

    def __init__(self, provider: Provider, address: str, patience: Patience) -> None:
        super().__init__(headers=_headers(provider, address), timeout=patience.timeout, max_retries=None)
        mount(self.session, address, patience.retry(provider.throttled))
        self.patience = patience

    def read_json(self, source: Any, *args: Any, **kwargs: Any) -> dict[str, Any]:
        read = super().read_json
        return again(lambda: read(source, *args, **kwargs), self.patience)


def _open(provider: Provider, address: str, patience: Patience) -> Client:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # an API that does not say what it can do is told of by what it cannot
        return Client.open(address, stac_io=PatientIO(provider, address, patience), timeout=patience.timeout)


def _headers(provider: Provider, address: str) -> dict[str, str]:
    if address != provider.url:
        token = os.environ.get(CATALOG_TOKEN)
        return {"Authorization": f"Bearer {token}"} if token else {}
    key = os.environ.get(SUBSCRIPTION_KEY) if provider.credentials == "sas" else None
    return {"Ocp-Apim-Subscription-Key": key} if key else {}


def _pages(client: Client, provider: Provider, wanted: Wanted, halvings: int = 0) -> Iterator[list[Item]]:
    """Pages of items; a season that is too long for the server is asked for in parts, which may repeat items."""
    try:
        yield from _one_search(client, provider, wanted)
    except APIError as error:
        days = (wanted.end - wanted.start).days
        if getattr(error, "status_code", None) != 504 or halvings == MOST_HALVINGS or not days:
            raise
        middle = wanted.start + timedelta(days=days // 2)
        yield from _pages(client, provider, replace(wanted, end=middle), halvings + 1)
        yield from _pages(client, provider, replace(wanted, start=middle + timedelta(days=1)), halvings + 1)


def _one_search(client: Client, provider: Provider, wanted: Wanted) -> Iterator[list[Item]]:
    search = _question(client, provider, wanted)
    found: set[str] = set()
    stale = 0
    for page in search.pages_as_dicts():
        items = [item for item in page["features"] if isinstance(item, Mapping)]
        names = {str(item.get("id")) for item in items}
        stale = stale + 1 if names <= found else 0
        if stale == SAME_PAGES:
            raise ValueError("its pages lead in circles")
        found |= names
        yield items


def _question(client: Client, provider: Provider, wanted: Wanted) -> ItemSearch:
    methods = {(link.extra_fields or {}).get("method", "GET") for link in client.get_links("search")}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return client.search(
            method="GET" if methods == {"GET"} else "POST",
            collections=[wanted.collection],
            bbox=wanted.region.bounds,
            datetime=f"{wanted.start}T00:00:00Z/{wanted.end + timedelta(days=1)}T00:00:00Z",
            limit=provider.page_size,
        )


def check_links(item: Item, provider: Provider, hosts: tuple[str, ...]) -> None:
    """Links to what is read must lead to where they may; what else is wrong with an item, is seen later."""
    assets = item.get("assets")
    if not isinstance(assets, Mapping):
        return
    for name in provider.assets.values():
        asset = assets.get(name)
        if isinstance(asset, Mapping) and "href" in asset:
            check_href(provider, str(asset["href"]), hosts)


def _check_collection(client: Client, address: str, collection: str) -> None:
    """A search of a collection that is not there finds nothing and says nothing."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if client.get_collection(collection) is None:
            raise no_such_collection(address, collection, [found.id for found in client.get_collections()])


def _too_many(address: str) -> BadInput:
    return BadInput(
        f"catalogue {address}",
        f"gives more than {MOST_ITEMS:,} items, so it seems to ignore the region and the season.",
        "Give a catalogue that filters, or a smaller region and season.",
    )
