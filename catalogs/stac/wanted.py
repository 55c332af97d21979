"""What a run asks a catalogue for, and whether an item answers the question."""

from dataclasses import dataclass
from datetime import date

from shapely import box
from shapely.geometry.base import BaseGeometry

from catalogs.stac.items import Item, ground_of, moment_of


@dataclass(frozen=True)
class Wanted:
    """The filters of a search; servers ignore those they do not know without a word."""

    collection: str
    region: BaseGeometry
    """In lon/lat."""
    start: date
    end: date
    """The last day, included."""
    max_cloud: float = 100.0
    """Percent."""
    of_server: bool = False
    """Whether a server was asked for the box, so that what lies outside it was never wanted."""

    def stray(self, item: Item) -> str | None:
        """What is wrong with an item that was never asked for; one that names no collection is believed."""
        if item.get("collection") not in (None, self.collection):
            return "of other collections"
        if not self.start <= moment_of(item).date() <= self.end:
            return "outside the season"
        if self.of_server and not ground_of(item["geometry"]).intersects(box(*self.region.bounds)):
            return "outside the region's box"
        return None
