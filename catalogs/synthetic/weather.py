"""Clouds, their shadows and haze of one day, the same in both scenes of a pass; and what the classifier makes of it."""

from dataclasses import dataclass
from functools import lru_cache
from math import cos, radians, sin, tan

import numpy as np

from catalogs.synthetic.chance import Array, Surface, rough_surface, stream
from catalogs.synthetic.outline import surroundings
from catalogs.synthetic.passes import SceneJob
from catalogs.synthetic.settings import CountrySettings

CLOUD_HEIGHT = 700.0, 1900.0
"""metres"""


@dataclass(frozen=True, eq=False)
class Sky:
    """(y, x) at 20 m, each 0..1."""

    cloud: Array
    shadow: Array
    haze: Array
    oversight: Array
    """spread-1 surface: where it is high the classifier misses haze and shadow, where it is low it sees ghosts"""


@dataclass(frozen=True, eq=False)
class Day:
    """The weather of a day over the whole country."""

    clouds: Surface
    level: float
    softness: float
    haze: Surface
    oversight: Surface
    wet: float
    light: float
    height: float


@lru_cache(maxsize=2)
def make_day(settings: CountrySettings, day: int, cover: float) -> Day:
    rng = stream(settings.seed, "weather", settings.year, day)
    around = surroundings(settings)
    longest, cell = min(4000.0, settings.side / 2.5), min(60.0, settings.side / 100)
    clouds = rough_surface(rng, around, longest, 6, cell, roughness=0.62)
    return Day(
        clouds,
        level=clouds.threshold(cover),
        softness=float(rng.uniform(0.12, 0.30)),
        haze=rough_surface(rng, around, 1.5 * longest, 3, cell, roughness=0.45),
        oversight=rough_surface(rng, around, longest / 4, 3, cell, roughness=0.7),
        wet=float(rng.uniform(0, 1)),
        light=float(1 + 0.02 * rng.standard_normal()),
        height=min(float(rng.uniform(*CLOUD_HEIGHT)), 0.12 * settings.side),
    )


def look_up(day: Day, job: SceneJob, x: Array, y: Array) -> Sky:
    """The sky between the satellite and the ground at these places."""
    away = day.height / tan(radians(job.sun_elevation))
    east, north = away * sin(radians(job.sun_azimuth)), away * cos(radians(job.sun_azimuth))
    thickness = day.haze.at(x, y)
    return Sky(
        cloud=_opaque(day, day.clouds.at(x, y)),
        shadow=0.75 * _opaque(day, day.clouds.at(x + east, y + north)),
        haze=np.clip(job.haze * (0.6 + 0.6 * thickness), 0, 0.3),
        oversight=day.oversight.at(x, y),
    )


def _opaque(day: Day, height: Array) -> Array:
    rise = np.clip((height - day.level) / day.softness + 0.3, 0, 1)
    return rise * rise * (3 - 2 * rise)


def classify(sky: Sky, reflectance: dict[str, Array], empty: Array, rng: np.random.Generator) -> Array:
    """The scene classification (SCL) with the faults of the real one: missed haze, soft edges, ghosts."""
    red, near = reflectance["B04"], reflectance["B8A"]
    scl = np.where((near - red) / (near + red + 1e-3) > 0.32, 4, 5).astype("uint8")
    scl[(near < 0.06) & (reflectance["B11"] < 0.05)] = 6
    scl[rng.random(scl.shape, dtype="float32") < 0.002] = 7
    scl[(sky.shadow > 0.25) & (sky.oversight < 1.4)] = 3
    scl[(sky.shadow > 0.25) & (sky.oversight < -1.8)] = 2
    scl[(sky.haze > 0.06) & (sky.oversight < 0.5)] = 10
    scl[(sky.cloud > 0.08) & (sky.oversight < 1.2)] = 10
    scl[(sky.cloud > 0.25) & (sky.oversight < 1.9)] = 8
    scl[(sky.cloud > 0.65)] = 9
    scl[(sky.cloud > 0.65) & (sky.oversight > 2.6)] = 11
    scl[(sky.oversight < -2.6) & (scl == 5)] = 8
    scl[empty] = 0
    return scl
