"""How the reflectance of every piece of ground changes with the season."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import shapely

from catalogs.synthetic import spectra
from catalogs.synthetic.chance import Array, rough_surface, stream
from catalogs.synthetic.covers import TABLE
from catalogs.synthetic.land import Land
from catalogs.synthetic.outline import surroundings
from catalogs.synthetic.settings import CountrySettings
from catalogs.synthetic.spectra import Spectrum

MOST_CUTS = 4
NEVER = 999.0


@dataclass(frozen=True, eq=False)
class Traits:
    """What makes one field differ from the next of the same crop; one value a piece of ground."""

    shift: Array
    """days later than the warmest place: region, sowing and variety"""
    ripening: Array
    """further days for ripening and harvest"""
    vigour: Array
    """factor on the ground that the canopy covers"""
    soil: Array
    """0 dark, 1 light"""
    tint: Array
    """(piece, band) factor on the canopy's spectrum"""
    cuts: Array
    """(piece, cut) days of mowing"""
    catch_crop: Array
    """ground covered by what grows after the harvest"""


def draw_traits(settings: CountrySettings, land: Land) -> Traits:
    rng = stream(settings.seed, "traits")
    count = len(land)
    spread = np.array([cover.season.spread for cover in TABLE])[land.cover]
    return Traits(
        shift=_regional_delay(settings, land) + spread * rng.standard_normal(count),
        ripening=0.6 * spread * rng.standard_normal(count),
        vigour=np.clip(1 + 0.08 * rng.standard_normal(count), 0.6, 1.08),
        soil=_soil(settings, land, rng),
        tint=_tint(rng, count),
        cuts=_cut_days(rng, land),
        catch_crop=np.where(rng.random(count) < 0.45, rng.uniform(0.3, 0.85, count), 0.05),
    )


def _regional_delay(settings: CountrySettings, land: Land) -> Array:
    """Spring comes first in the south-east; hills bend that rule a little."""
    around = surroundings(settings)
    x, y = shapely.get_coordinates(shapely.centroid(land.geometry)).T
    east, north = (x - around[0]) / (around[2] - around[0]), (y - around[1]) / (around[3] - around[1])
    hills = rough_surface(stream(settings.seed, "hills"), around, settings.side / 2, 3, settings.side / 48)
    lateness = np.clip(0.5 + 0.5 * (north - east) + 0.12 * hills.at(x, y), 0, 1)
    return np.asarray(settings.season_shift * lateness)


def _soil(settings: CountrySettings, land: Land, rng: np.random.Generator) -> Array:
    x, y = shapely.get_coordinates(shapely.centroid(land.geometry)).T
    regional = rough_surface(rng, surroundings(settings), settings.side / 2, 4, settings.side / 64).at(x, y)
    return np.clip(0.45 + 0.18 * regional + 0.13 * rng.standard_normal(len(land)), 0, 1)


def _tint(rng: np.random.Generator, count: int) -> Array:
    """Chlorophyll lowers green and the red edge, leaf area lifts the near infrared, water lowers the short waves."""
    chlorophyll, leaves, water = 0.06 * rng.standard_normal((3, count, 1))
    towards = np.array([
        [0.3, 0.9, 0.8, 1.0, 0.4, 0.1, 0.0, 0.0, 0.0, 0.0],
        [0.0, 0.0, 0.0, 0.2, 0.8, 1.0, 1.0, 1.0, 0.4, 0.2],
        [0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.1, 1.0, 1.3],
    ])  # fmt: skip
    steps = -chlorophyll * towards[0] + leaves * towards[1] - water * towards[2]
    return np.asarray(np.exp(steps + 0.025 * rng.standard_normal((count, 10))))


def _cut_days(rng: np.random.Generator, land: Land) -> Array:
    planned = np.full((len(TABLE), MOST_CUTS), NEVER)
    for number, cover in enumerate(TABLE):
        if cover.mowing:
            planned[number, : len(cover.mowing.days)] = cover.mowing.days
    late = rng.normal(0, 8, (len(land), 1)) + rng.normal(0, 5, (len(land), MOST_CUTS))
    return np.asarray(planned[land.cover] + late)


@dataclass(frozen=True, eq=False)
class Appearance:
    """(piece, band) reflectance on one day, and its change where the field is one spread more vigorous."""

    mean: Array
    change: Array


def appear(land: Land, traits: Traits, day: float, wet: float) -> Appearance:
    """`wet` 0..1 darkens bare soil."""
    local = day - traits.shift
    green, ripe = _canopy(land, traits, local)
    stubble, catch_crop = _after_harvest(land, traits, local)
    soil_share = np.clip(1 - green - ripe - stubble - catch_crop, 0, 1)
    soil = (1 - 0.35 * wet) * _between(spectra.SOIL_DARK, spectra.SOIL_LIGHT, traits.soil)
    canopy = _bloom(land, local, _by_piece(land, [cover.green for cover in TABLE])) * traits.tint
    dead = _by_piece(land, [cover.ripe for cover in TABLE])
    mean = (
        green[:, None] * canopy
        + (ripe + stubble)[:, None] * dead
        + catch_crop[:, None] * np.array(spectra.GRASS)
        + soil_share[:, None] * soil
    )
    rough = _by_piece(land, [cover.rough for cover in TABLE])
    change = rough[:, None] * mean + 0.07 * green[:, None] * (canopy - soil)
    return Appearance(mean.astype("float32"), change.astype("float32"))


def _canopy(land: Land, traits: Traits, local: Array) -> tuple[Array, Array]:
    """Ground covered by green leaves and by ripe ones."""
    up, rise, down, fall, base, top = (_season(land, name) for name in ("up", "rise", "down", "fall", "base", "top"))
    full = top * traits.vigour
    grown = full * (base + (1 - base) * _rise(local - up, rise))
    ripe = _rise(local - down - traits.ripening, fall)
    standing = 1 - _gone(land, traits, local)
    lost = grown * (1 - ripe) * (1 - _mown(land, traits, local))
    return np.clip((grown * (1 - ripe) - lost) * standing, 0, 1), np.clip((grown * ripe + 0.45 * lost) * standing, 0, 1)


def _mown(land: Land, traits: Traits, local: Array) -> Array:
    """Share of the cover that the mowers left, growing back after each cut."""
    depth, regrowth = (
        _by_piece(land, [getattr(cover.mowing, name, default) for cover in TABLE])
        for name, default in (("depth", 0.0), ("regrowth", 1.0))
    )
    since = local[:, None] - traits.cuts
    taken = np.where(since >= 0, np.exp(-np.clip(since, 0, None) / regrowth[:, None]), 0.0)
    return np.asarray(np.prod(1 - depth[:, None] * taken, axis=1))


def _after_harvest(land: Land, traits: Traits, local: Array) -> tuple[Array, Array]:
    """Stubble until the plough comes, and what is sown or sprouts then."""
    gone = _gone(land, traits, local)
    since = local - _season(land, "gone") - traits.ripening
    stubble = 0.45 * gone * (1 - _rise(since - 22, 3))
    return stubble, gone * traits.catch_crop * _rise(since - 42, 7)


def _gone(land: Land, traits: Traits, local: Array) -> Array:
    return _rise(local - _season(land, "gone") - traits.ripening, 1.0)


def _bloom(land: Land, local: Array, canopy: Array) -> Array:
    for number, cover in enumerate(TABLE):
        if cover.bloom:
            pieces = land.cover == number
            strength = cover.bloom.strength * np.exp(-(((local[pieces] - cover.bloom.day) / cover.bloom.width) ** 2))
            canopy[pieces] += strength[:, None] * (np.array(cover.bloom.colour) - np.array(cover.green))
    return canopy


def _season(land: Land, name: str) -> Array:
    return _by_piece(land, [getattr(cover.season, name) for cover in TABLE])


def _by_piece(land: Land, by_cover: Sequence[float | Spectrum]) -> Array:
    return np.asarray(np.array(by_cover, dtype=float)[land.cover])


def _between(low: Spectrum, high: Spectrum, share: Array) -> Array:
    return np.asarray(np.array(low) + share[:, None] * (np.array(high) - np.array(low)))


def _rise(days: Array, steepness: Array | float) -> Array:
    return np.asarray(1 / (1 + np.exp(-np.clip(days / steepness, -40, 40))))
