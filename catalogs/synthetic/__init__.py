"""A made-up country that looks to the rest of the system like a real one: scenes, catalogue and parcels from a seed."""

from catalogs.synthetic.catalogue import write_catalogue
from catalogs.synthetic.country import Country, plan_country
from catalogs.synthetic.declarations import write_declarations
from catalogs.synthetic.passes import SceneJob
from catalogs.synthetic.scenes import write_scene
from catalogs.synthetic.settings import CountrySettings

__all__ = [
    "Country",
    "CountrySettings",
    "SceneJob",
    "plan_country",
    "write_catalogue",
    "write_declarations",
    "write_scene",
]
