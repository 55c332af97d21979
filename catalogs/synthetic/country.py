"""The made-up country as a whole: its land, its crops and the scenes that will show them."""

from dataclasses import dataclass
from functools import lru_cache

from shapely.geometry import Polygon

from catalogs.synthetic.land import Land, make_land
from catalogs.synthetic.outline import draw_boundary
from catalogs.synthetic.passes import SceneJob, plan_passes
from catalogs.synthetic.phenology import Traits, draw_traits
from catalogs.synthetic.settings import CountrySettings


@dataclass(frozen=True, eq=False)
class Country:
    settings: CountrySettings
    boundary: Polygon
    """in the national CRS"""
    land: Land
    traits: Traits
    jobs: tuple[SceneJob, ...]


@lru_cache(maxsize=2)
def plan_country(settings: CountrySettings) -> Country:
    """Cheap and always the same for the same settings; a process keeps the last two."""
    boundary = draw_boundary(settings)
    land = make_land(settings, boundary)
    return Country(settings, boundary, land, draw_traits(settings, land), plan_passes(settings))
