"""Right to the pixel, on a real place in Flanders whose imagery was once published one native pixel too far south."""

from pathlib import Path

import geopandas
import made_scenes as made
import numpy as np
import pytest
import rasterio
from affine import Affine
from flanders import (
    BELGIUM,
    COLUMN,
    CORNER,
    DATES,
    EPSG,
    HERE,
    LEFT,
    MARKS,
    OWN,
    ROW,
    TOP,
    classes,
    image,
    item,
    native,
    published,
)
from rasterio.enums import Resampling

from catalogs.bands import BANDS, CLEAR_SCL, NATIVE_RESOLUTION
from catalogs.files import Target, read_window
from catalogs.grid import Window
from catalogs.parcels.table import Parcels
from catalogs.rasterise import rasterise
from catalogs.stac.access import Access
from pipelines.plan import Plan

pytestmark = MARKS

ACCESS = Access("local", "sentinel-2-l2a", BELGIUM)


@pytest.fixture(scope="module")
def clear_dates() -> list[str]:
    clear = [date for date in DATES if np.isin(classes(date), CLEAR_SCL).mean() > 0.95]
    assert len(clear) > 30
    return clear[::4]


def cube(dates: list[str], folder: Path) -> tuple[Plan, np.ndarray, np.ndarray]:
    """A cube of that ground from a catalogue of these dates, each of which has a period of its own."""
    days = (f"2021-06-{3 * number + 1:02d}T10:00:00Z" for number in range(len(dates)))
    items = [item(folder, date, native(date), when) for date, when in zip(dates, days, strict=True)]
    catalog = made.static_catalogue(folder, items)
    plan = made.plan_of(folder, catalog, corner=CORNER, epsg=EPSG, periods=10)
    store, _ = made.composed(plan)
    return plan, store.read("reflectance")[: len(dates)], store.read("observations")[: len(dates)]


@pytest.fixture(scope="module")
def run(clear_dates, tmp_path_factory):
    return cube(clear_dates, tmp_path_factory.mktemp("flanders"))


def test_the_published_imagery_lies_a_pixel_too_far_south():
    """As read on its own grid; so a reader that moves pixels by one would agree with the wrong one."""
    wrong = published("B02")
    for number, date in enumerate(DATES):
        found = read_window(f"s2/{date}.tif", ACCESS, OWN, Resampling.bilinear)
        assert (found[:-1] == wrong[number][1:]).all() and not found[-1].any()
        assert (found[:-1] != wrong[number][:-1]).any()


def test_windows_of_the_files_are_where_they_say(clear_dates):
    whole = np.pad(image(clear_dates[0])[0], 16)
    for y, x in ((-16, -16), (-1, 1), (0, 7), (15, -3), (33, 16)):
        place = Target(EPSG, OWN.transform @ Affine.translation(x, y), (31, 29))
        found = read_window(f"s2/{clear_dates[0]}.tif", ACCESS, place, Resampling.nearest)
        assert (found == whole[16 + y : 47 + y, 16 + x : 45 + x]).all()


def test_a_cube_has_every_pixel_at_its_place(run, clear_dates):
    plan, picture, count = run
    assert (plan.grid.x[COLUMN], plan.grid.y[ROW]) == (LEFT + 5, TOP - 5)
    for number, date in enumerate(clear_dates):
        ground = np.isin(classes(date), CLEAR_SCL) & image(date).any(axis=0)
        assert (count[number][HERE] == ground).all() and count[number].sum() == ground.sum()
        seen = np.where(ground, image(date).clip(1), 0)
        assert (picture[number][:, *HERE] == seen).all()


@pytest.mark.parametrize("band", BANDS)
def test_a_cube_lies_one_native_pixel_north_of_what_was_published(run, clear_dates, band):
    """20 m for bands of 20 m: each lay wrong by one of its own pixels."""
    _, picture, count = run
    step = NATIVE_RESOLUTION[band] // 10
    wrong = published(band)[[DATES.index(date) for date in clear_dates]].repeat(step, axis=1).repeat(step, axis=2)
    found, seen = picture[:, BANDS.index(band), *HERE], count[:, *HERE] > 0
    inside = seen[:, :-step]
    assert (found[:, :-step] == wrong[:, step:])[inside].all()
    assert (found != wrong)[seen].mean() > 0.5


@pytest.fixture(scope="module")
def parcels(run) -> np.ndarray:
    """Which parcel each pixel of the cube's ground is of, as Furrow burns them."""
    outlines = geopandas.read_file(BELGIUM / "parcels_from_raster.gpkg")
    ids, geometries = outlines["id"].to_numpy(np.uint32), outlines.geometry.to_numpy()
    known = Parcels(f"EPSG:{EPSG}", geometries, np.ones(len(ids), np.uint8), ids)
    grid = run[0].grid
    return rasterise(known, grid, Window(0, 0, *grid.shape), 0)[1]


def test_parcels_are_burnt_where_their_labels_lie(parcels):
    with rasterio.open(BELGIUM / "croptype.tif") as raster:
        labels = raster.read(1)
    assert ((parcels[HERE] > 0) == (labels > 0)).all()
    assert all(len(np.unique(labels[parcels[HERE] == number])) == 1 for number in np.unique(parcels))


def spread(ndvi: np.ndarray, parcels: np.ndarray) -> float:
    """How much the greenness differs inside parcels: least where the picture lies on them."""
    inner = np.s_[4:-5, 4:-4]  # away from the edge, so that every place is judged by as many pixels
    within = [ndvi[:, *inner][:, parcels[inner] == number] for number in np.unique(parcels[inner])]
    return float(sum(pixels.var(axis=1).mean() * pixels.shape[1] for pixels in within))


def greenness(red: np.ndarray, infrared: np.ndarray) -> np.ndarray:
    red, infrared = red.astype(float), infrared.astype(float)
    return (infrared - red) / np.maximum(infrared + red, 1)


def test_fields_lie_on_their_parcels_and_nowhere_near(run, parcels):
    """Moved by a pixel in any direction, the picture fits the parcels worse."""
    _, picture, _ = run
    ndvi = greenness(picture[:, BANDS.index("B04"), *HERE], picture[:, BANDS.index("B08"), *HERE])
    moves = [(y, x) for y in (-1, 0, 1) for x in (-1, 0, 1)]
    found = {move: spread(np.roll(ndvi, move, axis=(1, 2)), parcels[HERE]) for move in moves}
    assert min(found, key=lambda move: found[move]) == (0, 0), found
    assert found[1, 0] > 1.05 * found[0, 0]


def test_the_published_imagery_does_not_lie_on_its_parcels(clear_dates, parcels):
    """The same measure tells the error."""
    chosen = [DATES.index(date) for date in clear_dates]
    wrong = greenness(published("B04")[chosen], published("B08")[chosen])
    right = np.roll(wrong, -1, axis=1)
    assert spread(wrong, parcels[HERE]) > 1.05 * spread(right, parcels[HERE])
