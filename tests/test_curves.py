"""Curves of parcels and shifts of imagery: against plain loops, against planted mistakes, against real pixels."""

from pathlib import Path

import numpy as np
import pytest
import rasterio
from hypothesis import given, settings
from hypothesis import strategies as st

from catalogs.bands import BANDS
from catalogs.curves import (
    BINS,
    FEWEST,
    LEAST_PIXELS,
    LEAST_SPREAD,
    Curves,
    inner_pixels,
    judge,
    ndvi_of,
    parcel_curves,
    reference_of,
    tally,
)
from catalogs.shifts import REACH, edge_sums, find_shift, no_sums
from catalogs.synthetic.country import plan_country
from catalogs.synthetic.covers import TABLE
from catalogs.synthetic.ground import rasterise_pieces, survey_ground
from catalogs.synthetic.phenology import appear
from catalogs.synthetic.settings import CountrySettings
from catalogs.taxonomy import BACKGROUND, IGNORE, ten_crops

BELGIUM = Path(__file__).parents[2] / "shared" / "data" / "belgium-2018"


# curves


def squares_of(side: int, across: int) -> np.ndarray:
    """Square parcels 1, 2, 3 .. with a gap of a pixel around each."""
    block = np.zeros((side + 2, side + 2), np.uint32)
    block[1:-1, 1:-1] = 1
    numbers = np.arange(1, across * across + 1, dtype=np.uint32).reshape(across, across)
    return np.kron(numbers, block)


def test_inner_pixels_are_those_without_a_neighbour_of_another_parcel():
    parcels = np.random.default_rng(1).integers(0, 3, (20, 30)).repeat(4, axis=0).repeat(4, axis=1).astype(np.uint32)
    inner = inner_pixels(parcels)
    height, width = parcels.shape
    for y in range(height):
        for x in range(width):
            around = parcels[max(y - 1, 0) : y + 2, max(x - 1, 0) : x + 2]
            assert inner[y, x] == (parcels[y, x] > 0 and (around == parcels[y, x]).all())


def test_a_curve_is_the_mean_of_the_inner_pixels_that_were_seen():
    chance = np.random.default_rng(2)
    parcels = squares_of(5, 6)
    crop = np.where(parcels > 0, parcels % 3 + 1, IGNORE).astype(np.uint8)
    pictures = chance.random((4, *parcels.shape), np.float32)
    pictures[chance.random(pictures.shape) < 0.4] = np.nan
    curves = parcel_curves(parcels, crop, iter(pictures))
    assert curves.ids.tolist() == list(range(1, 37)) and set(curves.pixels) == {9}
    for i, number in enumerate(curves.ids):
        where = (parcels == number) & inner_pixels(parcels)
        assert curves.classes[i] == number % 3 + 1
        for period in range(4):
            seen = pictures[period][where]
            seen = seen[np.isfinite(seen)]
            expected = seen.mean() if 2 * len(seen) >= 9 else np.nan
            assert curves.ndvi[i, period] == pytest.approx(expected, nan_ok=True, abs=1e-6)


def test_parcels_of_a_few_inner_pixels_have_no_curve():
    parcels = squares_of(3, 4)
    assert LEAST_PIXELS > 1 and len(parcel_curves(parcels, parcels.astype(np.uint8), [np.ones(parcels.shape)]).ids) == 0


def test_ndvi_knows_nothing_of_ground_that_was_not_seen():
    red, near = np.array([1000, 0, 500], np.uint16), np.array([3000, 3000, 500], np.uint16)
    found = ndvi_of(red, near, np.array([True, True, False]))
    assert found[0] == pytest.approx(0.5) and np.isnan(found[1:]).all()


def some_curves(seed: int, count: int, periods: int = 5, classes: int = 3) -> Curves:
    chance = np.random.default_rng(seed)
    kinds = chance.integers(0, classes, count).astype(np.uint8)
    ndvi = np.clip(0.15 * kinds[:, None] + 0.1 * chance.standard_normal((count, periods)) + 0.3, -1, 1)
    ndvi[chance.random(ndvi.shape) < 0.1] = np.nan
    return Curves(np.arange(1, count + 1, dtype=np.uint32), kinds, np.full(count, 9, np.uint32), ndvi.astype("float32"))


@settings(max_examples=30)
@given(st.integers(0, 1000), st.lists(st.integers(0, 3), min_size=200, max_size=200))
def test_counts_of_any_partition_add_up_to_those_of_the_whole(seed: int, places: list[int]):
    curves = some_curves(seed, 200)
    parts = sum(tally(curves.where(np.array(places) == place), 3) for place in range(4))
    assert np.array_equal(parts, tally(curves, 3))


def test_a_reference_is_the_median_and_the_median_deviation():
    curves = some_curves(3, 4000)
    reference = reference_of(tally(curves, 3))
    for number in range(3):
        values = curves.ndvi[curves.classes == number]
        median = np.nanmedian(values, axis=0)
        spread = 1.4826 * np.nanmedian(np.abs(values - median), axis=0)
        assert np.abs(reference.median[number] - median).max() < 2 / BINS
        assert np.abs(reference.spread[number] - spread).max() < 3 / BINS
    assert reference.known.all()


def test_a_class_of_few_parcels_is_not_judged():
    curves = some_curves(4, 600)
    few = np.cumsum(curves.classes == 1) < FEWEST  # one short of what is needed
    curves = curves.where((curves.classes != 1) | few)
    reference = reference_of(tally(curves, 4))
    assert reference.known.tolist() == [True, False, True, False]
    found = judge(curves, reference)
    assert np.isnan(found.score[curves.classes == 1]).all() and np.isfinite(found.score[curves.classes == 0]).any()
    assert not np.isin(found.nearest, [1, 3]).any()


def test_alike_curves_have_the_least_spread():
    curves = some_curves(5, 100)
    same = Curves(curves.ids, curves.classes * 0, curves.pixels, np.full_like(curves.ndvi, 0.5))
    assert (reference_of(tally(same, 1)).spread == LEAST_SPREAD).all()


# planted in the made-up country


@pytest.fixture(scope="module")
def country():
    """Parcels, true classes by parcel number, and NDVI of a season of twelve dates: mixed pixels, texture, noise."""
    asked = CountrySettings(seed=11, size=900)  # the limits were chosen on seed 5
    made = plan_country(asked)
    ground = survey_ground(asked, made.jobs[0].zone)
    classes = [ten_crops().class_of(cover.declared.hcat_code) if cover.declared else IGNORE for cover in TABLE]
    truth = np.full(len(made.land) + 1, IGNORE, np.uint8)
    truth[made.land.declared + 1] = np.array(classes, np.uint8)[made.land.cover[made.land.declared]]
    pieces = rasterise_pieces(made.land, ground.frame, 10) + 1
    parcels = np.where(truth[pieces] != IGNORE, pieces, 0).astype(np.uint32)
    chance = np.random.default_rng(0)
    pictures = [_picture(made, ground, day, chance) for day in range(75, 290, 18)]
    return parcels, truth, pictures


def _picture(made, ground, day: float, chance: np.random.Generator) -> np.ndarray:
    look, shape = appear(made.land, made.traits, day, 0.2), ground.frame.shape(10)
    counts = []
    for band in (BANDS.index("B04"), BANDS.index("B08")):
        mean, change = ((ground.mixing[10] @ values[:, band]).reshape(shape) for values in (look.mean, look.change))
        noise = 0.004 * chance.standard_normal(shape)
        counts.append((np.clip(mean + ground.texture[10] * change + noise, 1e-4, 1) * 10_000).astype(np.uint16))
    return ndvi_of(*counts, chance.random(shape) > 0.02)


def test_swapped_crops_are_found(country):
    """One parcel in 25 is given another's crop, three times over, in a country that the limits were not chosen on.

    Over six such countries precision was 0.62 to 0.90 and recall 0.57 to 0.78: the bounds lie below those.
    """
    parcels, truth, pictures = country
    counts = np.sum([_swap_and_judge(parcels, truth, pictures, seed) for seed in (1, 2, 3)], axis=0)
    wrong, listed, both, named = counts.tolist()
    print(f"{wrong} swapped, {listed} listed: precision {both / listed:.2f}, recall {both / wrong:.2f}")
    assert wrong > 120 and both / listed >= 0.6 and both / wrong >= 0.55 and named / both >= 0.6


def _swap_and_judge(parcels, truth, pictures, seed: int) -> list[int]:
    """Wrong parcels that were judged, parcels listed, those that are both, and those whose true class is named."""
    chance, declared = np.random.default_rng(seed), truth.copy()
    chosen = chance.choice(np.flatnonzero(truth != IGNORE), (truth != IGNORE).sum() // 25, replace=False)
    declared[chosen] = declared[chance.permutation(chosen)]
    curves = parcel_curves(parcels, declared[parcels], pictures)
    found = judge(curves, reference_of(tally(curves, len(ten_crops().names))))
    wrong = (declared[curves.ids] != truth[curves.ids]) & np.isfinite(found.score)
    both = wrong & found.contradicts
    named = both & (found.nearest == truth[curves.ids])
    return [int(each.sum()) for each in (wrong, found.contradicts, both, named)]


def test_of_true_declarations_few_are_listed(country):
    """Over six countries 0.5 to 1.7 % were; this is the one with most."""
    parcels, truth, pictures = country
    curves = parcel_curves(parcels, truth[parcels], pictures)
    found = judge(curves, reference_of(tally(curves, len(ten_crops().names))))
    assert found.contradicts.mean() < 0.02 and (truth[curves.ids] == BACKGROUND).any()


# shifts


@settings(max_examples=30)
@given(st.integers(-REACH, REACH), st.integers(-REACH, REACH), st.integers(0, 99))
def test_a_planted_shift_is_found(south: int, east: int, seed: int):
    chance = np.random.default_rng(seed)
    parcels = chance.permutation(400).reshape(20, 20).repeat(7, axis=0).repeat(9, axis=1).astype(np.uint32)
    green = chance.random(400).astype(np.float32)[parcels]
    picture = np.roll(green, (south, east), axis=(0, 1)) + 0.05 * chance.standard_normal(parcels.shape)
    found = find_shift(edge_sums(parcels, [picture.astype(np.float32)]))
    assert (found.south, found.east) == (south, east) and found.known
    assert found.found == ((south, east) != (0, 0))


def test_a_picture_without_fields_says_nothing_of_a_shift():
    chance = np.random.default_rng(1)
    parcels = chance.permutation(400).reshape(20, 20).repeat(7, axis=0).repeat(9, axis=1).astype(np.uint32)
    found = find_shift(edge_sums(parcels, [chance.random(parcels.shape).astype(np.float32)]))
    assert not found.known and not found.found
    nothing = find_shift(edge_sums(parcels, [np.full(parcels.shape, np.nan, np.float32)]))
    assert (nothing.strength, nothing.known) == (0, False) and not find_shift(no_sums()).known


def test_sums_of_tiles_add_up(country):
    parcels, _, pictures = country
    half = parcels.shape[0] // 2
    whole = find_shift(edge_sums(parcels, pictures[4:6]))
    halves = [edge_sums(parcels[part], [p[part] for p in pictures[4:6]]) for part in (slice(half), slice(half, None))]
    found = find_shift(sum(halves))
    assert (found.south, found.east, found.found) == (whole.south, whole.east, False)
    assert found.strength == pytest.approx(whole.strength, abs=0.02)


@pytest.fixture(scope="module")
def belgium():
    if not BELGIUM.exists():
        pytest.skip("the real files of Belgium 2018 are not here")
    with rasterio.open(BELGIUM / "croptype.tif") as raster:
        labels = raster.read(1)
    scenes = sorted(path.name for path in (BELGIUM / "s2").glob("*.tif"))
    clear = []
    for number, name in enumerate(scenes):
        with rasterio.open(BELGIUM / "scl" / name) as raster:
            if np.isin(raster.read(1)[:-1], (4, 5, 6, 7)).mean() > 0.95:
                clear.append(number)
    return labels, scenes, clear


def test_real_images_as_published_lie_a_pixel_too_far_south(belgium):
    """netCDF rows run from south to north here, since the file's places are not understood by the reader."""
    labels, _, clear = belgium
    file = next(BELGIUM.glob("S2_L2A_10m*.nc"))
    bands = []
    for band in ("B04", "B08"):
        with rasterio.open(f"netcdf:{file}:{band}") as raster:
            bands.append(raster.read([number + 1 for number in clear])[:, ::-1])
    pictures = [ndvi_of(red, near, np.ones(red.shape, bool)) for red, near in zip(*bands, strict=True)]
    found = find_shift(edge_sums(labels, pictures))
    assert (found.south, found.east) == (1, 0) and found.found
    assert found.strength > 0.2 > 1.4 * found.unmoved


def test_the_aligned_images_lie_on_their_labels(belgium):
    labels, scenes, clear = belgium
    pictures = []
    for number in clear:
        with rasterio.open(BELGIUM / "s2" / scenes[number]) as raster:
            red, near = raster.read([BANDS.index("B04") + 1, BANDS.index("B08") + 1])
        pictures.append(ndvi_of(red, near, np.ones(red.shape, bool)))
    found = find_shift(edge_sums(labels, pictures))
    assert (found.south, found.east) == (0, 0) and found.known and not found.found and found.strength > 0.2
