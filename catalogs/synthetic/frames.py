"""The two scene tiles of the made-up country, one in each UTM zone, overlapping where the zones meet."""

from dataclasses import dataclass
from functools import lru_cache

from shapely.geometry import box

from catalogs.grid import Bounds
from catalogs.synthetic.outline import ZONE_BORDER, square
from catalogs.synthetic.projections import LONLAT, NATIONAL_CRS, between, project, utm
from catalogs.synthetic.settings import CountrySettings

ZONES = {32: "32TQT", 33: "33TTN"}
"""names that the military grid gives to this part of either zone"""
OVERLAP = 0.30
"""of the country's width, seen by the scenes of both zones"""
PIXEL = 20
"""metres; scene corners lie on multiples of it"""


@dataclass(frozen=True)
class Frame:
    """The pixels of a scene; `height` and `width` count pixels of 20 m."""

    zone: int
    left: int
    top: int
    height: int
    width: int

    @property
    def epsg(self) -> int:
        return 32600 + self.zone

    @property
    def bounds(self) -> Bounds:
        return self.left, self.top - PIXEL * self.height, self.left + PIXEL * self.width, self.top

    def shape(self, resolution: int) -> tuple[int, int]:
        return self.height * PIXEL // resolution, self.width * PIXEL // resolution


@lru_cache(maxsize=8)
def frame_of(settings: CountrySettings, zone: int) -> Frame:
    left, bottom, right, top = square(settings)
    border, _ = between(LONLAT, NATIONAL_CRS).transform(*ZONE_BORDER)
    reach = OVERLAP / 2 * settings.side
    part = box(left, bottom, border + reach, top) if zone == 32 else box(border - reach, bottom, right, top)
    west, south, east, north = project(part.segmentize(settings.side / 20), NATIONAL_CRS, utm(zone)).bounds
    west, north = int(west // PIXEL) * PIXEL, int(-(-north // PIXEL)) * PIXEL
    return Frame(zone, west, north, int(-(-(north - south) // PIXEL)), int(-(-(east - west) // PIXEL)))
