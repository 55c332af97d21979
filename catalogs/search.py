"""Asking a STAC API, or a static catalogue on disk, for the items of a region and season."""

from collections.abc import Iterator, Mapping
from datetime import date, datetime
from pathlib import Path
from typing import Any

import pystac
from shapely.geometry.base import BaseGeometry

from catalogs.errors import BadInput
from catalogs.providers import Provider, check_href

Item = Mapping[str, Any]

MALFORMED = (pystac.STACError, pystac.STACTypeError, ValueError, KeyError, TypeError, AttributeError)
"""What pystac and its readers raise when a catalogue is not as it should be."""


def search_api(
    provider: Provider, address: str, collection: str, region: BaseGeometry, start: date, end: date
) -> Iterator[Item]:
    """Items of the API at `address`, with every link checked; `region` is in lon/lat and `end` is included."""
    from pystac_client import Client
    from pystac_client.exceptions import APIError

    try:
        client = Client.open(address)
        found = client.search(
            collections=[collection],
            bbox=region.bounds,
            datetime=f"{start}T00:00:00Z/{end}T23:59:59Z",
            limit=100,
        )
        for item in found.items_as_dicts():
            for asset in provider.assets.values():
                if asset in item["assets"]:
                    check_href(provider, item["assets"][asset]["href"])
            yield item
    except (APIError, OSError, *MALFORMED) as error:
        raise BadInput(
            f"catalogue {address}",
            f"did not answer as a STAC API does ({type(error).__name__}: {str(error)[:200]}).",
            'Check the network, or use a local catalogue: provider = "local".',
        ) from error


def search_folder(catalog: Path, collection: str, start: date, end: date) -> Iterator[Item]:
    """Items of a static catalogue; links become paths relative to its folder and may not leave it."""
    folder = catalog.parent.resolve()
    try:
        found = pystac.Catalog.from_file(str(catalog), stac_io=_Inside(folder))
        for item in found.get_items(recursive=True):
            if item.collection_id == collection and _is_between(item.datetime, start, end):
                yield _with_relative_links(item, folder)
    except RecursionError:
        raise _not_a_catalogue(catalog, "it is nested without end, or lists itself") from None
    except (*MALFORMED, OSError) as error:
        cause = error.__cause__ or error  # pystac says which file it was, and its cause what was wrong with it
        if isinstance(cause, BadInput):
            raise cause from error
        if isinstance(cause, FileNotFoundError):
            raise BadInput(
                f"catalogue {catalog}",
                f"is not there, or lists a file that is not ({cause.filename}).",
                "Write the path of a static STAC catalogue in [imagery] catalog.",
            ) from error
        file = str(error).removeprefix("HREF: ").split(" does not")[0] + ": " if cause is not error else ""
        raise _not_a_catalogue(catalog, f"{file}{str(cause)[:120]}") from error


class _Inside(pystac.stac_io.DefaultStacIO):
    """Reads what lies in the catalogue's folder: its links are somebody else's input."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.folder = folder

    def read_text_from_href(self, href: str) -> str:
        if not Path(href).resolve().is_relative_to(self.folder):
            raise _outside(f"link of the catalogue in {self.folder}", href)
        return super().read_text_from_href(href)


def _not_a_catalogue(catalog: Path, why: str) -> BadInput:
    return BadInput(f"catalogue {catalog}", f"is not a STAC catalogue ({why}).", "Give a valid catalog.json.")


def _outside(given: str, href: str) -> BadInput:
    return BadInput(
        given,
        f"points out of the catalogue's folder ({href[:120]!r}).",
        "A local catalogue may only hold links to files below it.",
    )


def _is_between(moment: datetime | None, start: date, end: date) -> bool:
    return moment is not None and start <= moment.date() <= end


def _with_relative_links(item: pystac.Item, folder: Path) -> Item:
    content = item.to_dict(transform_hrefs=False)
    for name, asset in item.assets.items():
        path = Path(asset.get_absolute_href() or "").resolve()
        if not path.is_relative_to(folder):
            raise _outside(f"asset {name} of {item.id}", asset.href)
        content["assets"][name]["href"] = path.relative_to(folder).as_posix()
    return content
