"""A catalogue in files: a static STAC catalogue or a stac-geoparquet file, whose pixels lie below its folder."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pystac

from catalogs.errors import BadInput
from catalogs.stac.items import Item
from catalogs.stac.links import check_href, is_remote, local_path, outside
from catalogs.stac.providers import Provider
from catalogs.stac.wanted import Wanted

MALFORMED = (pystac.STACError, pystac.STACTypeError, ValueError, KeyError, TypeError, AttributeError)
"""What pystac and its readers raise when a catalogue is not as it should be."""


def search_archive(provider: Provider, catalog: Path, wanted: Wanted, hosts: tuple[str, ...] = ()) -> Iterator[Item]:
    """Items of the collection and season; links become paths relative to the catalogue's folder."""
    if catalog.suffix.lower() in (".parquet", ".geoparquet"):
        from catalogs.stac.parquet_items import items_of_parquet  # here, since it takes long to load

        found = items_of_parquet(catalog, wanted)
        return (_with_links(item, catalog.parent, catalog.parent, provider, hosts) for item in found)
    return _items_of_catalogue(provider, catalog, wanted, hosts)


def _items_of_catalogue(provider: Provider, catalog: Path, wanted: Wanted, hosts: tuple[str, ...]) -> Iterator[Item]:
    folder = catalog.parent.resolve()
    try:
        found = pystac.Catalog.from_file(str(catalog), stac_io=_Inside(folder))
        for item in found.get_items(recursive=True):
            if _is_wanted(item, wanted):
                content = item.to_dict(include_self_link=False, transform_hrefs=False)
                yield _with_links(content, Path(str(item.get_self_href())).parent, folder, provider, hosts)
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
            raise outside(f"link of the catalogue in {self.folder}", href)
        return super().read_text_from_href(href)


def _is_wanted(item: pystac.Item, wanted: Wanted) -> bool:
    if item.collection_id not in (None, wanted.collection) or item.datetime is None:
        return False
    return wanted.start <= item.datetime.date() <= wanted.end


def _with_links(item: dict[str, Any], here: Path, folder: Path, provider: Provider, hosts: tuple[str, ...]) -> Item:
    """The item with links from the catalogue's folder instead of its own."""
    wanted = {name: asset for name, asset in item["assets"].items() if name in provider.assets.values()}
    for name, asset in wanted.items():
        try:
            asset["href"] = _link(str(asset["href"]), here, folder, provider, hosts)
        except BadInput as error:
            raise outside(f"asset {name} of {item['id']}", str(asset["href"])) from error
    return item


def _link(href: str, here: Path, folder: Path, provider: Provider, hosts: tuple[str, ...]) -> str:
    if is_remote(href):
        return check_href(provider, href, hosts)
    place = href if href.startswith("/vsi") else str(here.resolve() / href)
    return local_path(place, folder).relative_to(folder.resolve()).as_posix()


def _not_a_catalogue(catalog: Path, why: str) -> BadInput:
    return BadInput(f"catalogue {catalog}", f"is not a STAC catalogue ({why}).", "Give a valid catalog.json.")
