"""Renders one scene: the ground as it looks that day, under that day's sky, as digital numbers in COGs."""

import os

import numpy as np
from affine import Affine

from catalogs.bands import BANDS, NATIVE_RESOLUTION
from catalogs.synthetic import items, spectra
from catalogs.synthetic.chance import Array, stream
from catalogs.synthetic.cogs import write_cog
from catalogs.synthetic.country import plan_country
from catalogs.synthetic.frames import PIXEL
from catalogs.synthetic.ground import Ground, survey_ground
from catalogs.synthetic.passes import SceneJob, swath_edge
from catalogs.synthetic.phenology import Appearance, appear
from catalogs.synthetic.settings import CountrySettings
from catalogs.synthetic.weather import Sky, classify, look_up, make_day

SENSOR_NOISE = 0.0025
"""reflectance"""
SPECKLE = 0.035
"""relative brightness from pixel to pixel inside a field, alike in all bands of a scene"""
REPROCESSING_GAIN = 1.012
"""what a newer processor makes of the same light"""


def write_scene(settings: CountrySettings, job: SceneJob, folder: str) -> None:
    """Writes the bands, then the item: a scene without item was not finished and is made again."""
    place = os.path.join(folder, items.COLLECTION, job.scene_id)
    if items.is_written(settings, job, place):
        return
    os.makedirs(place, exist_ok=True)
    pixels = render(settings, job)
    frame = survey_ground(settings, job.zone).frame
    for band, values in pixels.items():
        step = NATIVE_RESOLUTION[band]
        transform = Affine(step, 0, frame.left, 0, -step, frame.top)
        write_cog(os.path.join(place, f"{items.ASSETS[band]}.tif"), values, frame.epsg, transform, band != "SCL")
    items.write_item(settings, job, pixels["SCL"], place)


def render(settings: CountrySettings, job: SceneJob) -> dict[str, Array]:
    """Digital numbers of the ten bands and SCL, each at its own resolution."""
    ground = survey_ground(settings, job.zone)
    empty = _empty(settings, job, ground)
    reflectance, sky, rng = observe(settings, job)
    scl = classify(sky, _on_scl_grid(reflectance), empty, rng)
    pixels = {band: _to_numbers(job, reflectance[band], _fit(empty, reflectance[band].shape)) for band in BANDS}
    return pixels | {"SCL": scl}


def observe(settings: CountrySettings, job: SceneJob) -> tuple[dict[str, Array], Sky, np.random.Generator]:
    """Reflectance as the satellite saw it. Both processings of a scene start from the same light."""
    country, ground = plan_country(settings), survey_ground(settings, job.zone)
    day = make_day(settings, job.day_of_year, job.clouds)
    sky = look_up(day, job, ground.x, ground.y)
    look = appear(country.land, country.traits, job.day_of_year, day.wet)
    rng = stream(settings.seed, "noise", job.datatake, job.zone)
    speckle = _speckle(ground, rng)
    gain = day.light * (REPROCESSING_GAIN if job.sequence else 1.0)
    reflectance = {}
    for step in (10, 20):
        bands = [band for band in BANDS if NATIVE_RESOLUTION[band] == step]
        clear = _mix_ground(ground, look, [BANDS.index(band) for band in bands], step)
        for number, band in enumerate(bands):
            surface = clear[number] * speckle[step]
            surface += SENSOR_NOISE * rng.standard_normal(surface.shape, dtype="float32")
            reflectance[band] = gain * _through(sky, surface, BANDS.index(band))
    return reflectance, sky, rng


def _mix_ground(ground: Ground, look: Appearance, bands: list[int], step: int) -> Array:
    """(band, y, x) clear-sky reflectance."""
    shape = ground.frame.shape(step)
    mixing = ground.mixing[step]
    clear: Array = (mixing @ look.mean[:, bands]).T.reshape(-1, *shape)
    clear += ground.texture[step] * (mixing @ look.change[:, bands]).T.reshape(-1, *shape)
    return clear


def _speckle(ground: Ground, rng: np.random.Generator) -> dict[int, Array]:
    height, width = ground.frame.height, ground.frame.width
    fine = 1 + SPECKLE * rng.standard_normal((2 * height, 2 * width), dtype="float32")
    return {10: fine, 20: fine.reshape(height, 2, width, 2).mean(axis=(1, 3))}


def _through(sky: Sky, surface: Array, band: int) -> Array:
    """Shadow takes direct light, haze adds its own, cloud hides."""
    shadow, haze, cloud = (_fit(part, surface.shape) for part in (sky.shadow, sky.haze, sky.cloud))
    seen = surface * (1 - shadow * (0.62 + 0.02 * band)) * (1 - 0.6 * haze) + haze * spectra.HAZE[band]
    return np.asarray(seen + cloud * (spectra.CLOUD[band] * (0.55 + 0.45 * cloud) - seen))


def _fit(coarse: Array, shape: tuple[int, ...]) -> Array:
    factor = shape[0] // coarse.shape[0]
    return coarse.repeat(factor, axis=0).repeat(factor, axis=1) if factor > 1 else coarse


def _on_scl_grid(reflectance: dict[str, Array]) -> dict[str, Array]:
    red = reflectance["B04"]
    coarse = red.reshape(red.shape[0] // 2, 2, red.shape[1] // 2, 2).mean(axis=(1, 3))
    return reflectance | {"B04": coarse}


def _empty(settings: CountrySettings, job: SceneJob, ground: Ground) -> Array:
    """20 m pixels outside the swath."""
    if job.swath is None:
        return np.zeros(ground.frame.shape(PIXEL), dtype=bool)
    side, x = job.swath
    return np.asarray((ground.x - swath_edge(settings, x, ground.y)) * side < 0)


def _to_numbers(job: SceneJob, reflectance: Array, empty: Array) -> Array:
    """Where the provider took the offset out, very dark pixels end at 0, as in the real archive."""
    darkest = 0 if job.processing.boa_offset_applied else 1
    numbers: Array = np.clip(np.rint(reflectance * 10000) + job.processing.added, darkest, 65535).astype("uint16")
    numbers[empty] = 0
    return numbers
