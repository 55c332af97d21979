"""Laws of burning parcels: equal to rasterio away from ties, blind to partition and order, honest about conflicts."""

import numpy as np
import pytest
import rasterio.features
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from shapely import Polygon, box

from catalogs.errors import BadInput
from catalogs.grid import Grid, Tile, Window
from catalogs.parcels import Parcels
from catalogs.rasterise import BLOCK, rasterise

CRS = "EPSG:3035"
GRID = Grid(CRS, 10, 64, Tile(-5, -3), 5, 5)  # spans the origin of the lattice, and block borders inside tiles
WHOLE = Window(0, 0, *GRID.shape)
LEFT, BOTTOM, RIGHT, TOP = GRID.bounds(WHOLE)


def parcels(shapes, classes, ids=None) -> Parcels:
    numbers = np.arange(1, len(shapes) + 1) if ids is None else np.array(ids)
    holder = np.empty(len(shapes), dtype=object)
    holder[:] = shapes
    return Parcels(CRS, holder, np.array(classes, dtype=np.uint8), numbers.astype(np.uint32), {})


def pixels(y0, x0, y1, x1) -> Polygon:
    """The ground of rows y0..y1 and columns x0..x1 of the grid."""
    return box(*GRID.bounds(Window(y0, x0, y1 - y0, x1 - x0)))


def random_parcels(seed: int, count: int, step: float) -> Parcels:
    """Stars with holes in some, overlapping, corners on multiples of `step` metres (0: anywhere)."""
    rng = np.random.default_rng(seed)
    shapes = []
    for _ in range(count):
        angle = np.sort(rng.uniform(0, 2 * np.pi, rng.integers(3, 12)))
        reach = rng.uniform(5, 400) * rng.uniform(0.3, 1, len(angle))
        middle = rng.uniform([LEFT, BOTTOM], [RIGHT, TOP])
        shape = Polygon(middle + (reach * [np.cos(angle), np.sin(angle)]).T)
        if rng.random() < 0.5:
            shape = shapely.make_valid(shape).difference(shapely.Point(middle).buffer(reach.mean() / 3, quad_segs=2))
        if step:
            shape = shapely.transform(shape, lambda xy: np.round(xy / step) * step)
        parts = shapely.get_parts(shapely.make_valid(shape))
        shapes += [p for p in parts if p.geom_type == "Polygon" and not p.is_empty]
    return parcels(shapes, rng.integers(0, 11, len(shapes)))


def oracle(given: Parcels, outside: int) -> tuple[np.ndarray, np.ndarray]:
    """One rasterio mask a parcel, and the rules in words."""
    crop = np.full(GRID.shape, outside, dtype=np.uint8)
    parcel = np.zeros(GRID.shape, dtype=np.uint32)
    held = np.zeros(GRID.shape, dtype=bool)
    conflict = np.zeros(GRID.shape, dtype=bool)
    for shape, number, name in sorted(zip(given.geometries, given.classes, given.ids, strict=True), key=lambda p: p[2]):
        here = rasterio.features.rasterize([(shape, 1)], GRID.shape, transform=GRID.transform, dtype="uint8") == 1
        conflict |= here & held & (crop != number)
        new = here & ~held
        crop[new], parcel[new] = number, name
        held |= here
    crop[conflict], parcel[conflict] = 255, 0
    return crop, parcel


@pytest.mark.parametrize("outside", [0, 255])
@pytest.mark.parametrize("seed", range(4))
def test_equal_to_rasterio_with_holes_and_overlaps(seed, outside):
    given_parcels = random_parcels(seed, 60, step=0)
    crop, parcel = rasterise(given_parcels, GRID, WHOLE, outside)
    expected_crop, expected_parcel = oracle(given_parcels, outside)
    assert (parcel > 0).mean() > 0.1 and ((crop == 255) & (expected_parcel == 0)).any()
    np.testing.assert_array_equal(crop, expected_crop)
    np.testing.assert_array_equal(parcel, expected_parcel)


@settings(max_examples=25, deadline=None)
@given(
    st.integers(0, 2**32),
    st.sampled_from([0, 1, 2.5, 5, 10]),  # 5 puts corners and edges on pixel centres: ties
    st.integers(17, 320),
    st.integers(17, 320),
)
def test_any_partition_equals_the_whole(seed, step, height, width):
    given_parcels = random_parcels(seed, 25, step)
    whole = rasterise(given_parcels, GRID, WHOLE, 0)
    pieced = np.full(GRID.shape, 99, np.uint8), np.full(GRID.shape, 99, np.uint32)
    for y in range(0, GRID.shape[0], height):
        for x in range(0, GRID.shape[1], width):
            window = Window(y, x, height, width).clipped(GRID.shape)
            for layer, part in zip(pieced, rasterise(given_parcels, GRID, window, 0), strict=True):
                layer[window.slices] = part
    for one, other in zip(whole, pieced, strict=True):
        np.testing.assert_array_equal(one, other)


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 2**32), st.sampled_from([0, 5]))
def test_another_tile_side_gives_the_same_pixels_on_the_same_ground(seed, step):
    given_parcels = random_parcels(seed, 25, step)
    whole, _ = rasterise(given_parcels, GRID, WHOLE, 0)
    other = Grid.around((LEFT, BOTTOM, RIGHT, TOP), CRS, 10, side=48)
    top, left = round((other.y[0] - GRID.y[0]) / 10), round((GRID.x[0] - other.x[0]) / 10)
    again, _ = rasterise(given_parcels, other, Window(top, left, *GRID.shape), 0)
    np.testing.assert_array_equal(whole, again)


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 2**32), st.randoms(use_true_random=False))
def test_the_order_of_parcels_does_not_matter(seed, rng):
    given_parcels = random_parcels(seed, 25, 5)
    order = list(range(len(given_parcels)))
    rng.shuffle(order)
    shuffled = parcels(given_parcels.geometries[order], given_parcels.classes[order], given_parcels.ids[order])
    for one, other in zip(rasterise(given_parcels, GRID, WHOLE, 0), rasterise(shuffled, GRID, WHOLE, 0), strict=True):
        np.testing.assert_array_equal(one, other)


def test_overlap_of_two_crops_is_ignored_and_belongs_to_nobody():
    crop, parcel = rasterise(parcels([pixels(10, 10, 20, 20), pixels(15, 15, 30, 30)], [2, 3]), GRID, WHOLE, 0)
    assert (crop[15:20, 15:20] == 255).all() and (parcel[15:20, 15:20] == 0).all()
    assert (crop == 2).sum() == 75 and (crop == 3).sum() == 200 and (crop == 255).sum() == 25
    assert set(np.unique(parcel[crop == 3])) == {2}


@pytest.mark.parametrize("ids", [[7, 4], [4, 7]])
def test_overlap_of_one_crop_goes_to_the_smallest_id(ids):
    crop, parcel = rasterise(parcels([pixels(10, 10, 20, 20), pixels(15, 15, 30, 30)], [2, 2], ids), GRID, WHOLE, 0)
    assert (crop == 2).sum() == 300 and (parcel[15:20, 15:20] == 4).all()


def test_a_conflict_among_three_is_not_hidden_by_the_one_between():
    shapes = [pixels(0, 0, 9, 9)] * 3
    crop, parcel = rasterise(parcels(shapes, [5, 1, 5]), GRID, WHOLE, 0)
    assert (crop[:9, :9] == 255).all() and not parcel.any()


def test_parcels_without_a_usable_code_keep_their_id_and_outside_is_what_was_asked():
    crop, parcel = rasterise(parcels([pixels(0, 0, 4, 4), pixels(4, 0, 8, 4)], [255, 0]), GRID, WHOLE, 255)
    assert (crop[:4, :4] == 255).all() and (parcel[:4, :4] == 1).all()
    assert (crop[4:8, :4] == 0).all() and (parcel[4:8, :4] == 2).all()
    assert (crop[8:] == 255).all() and not parcel[8:].any()


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32))
def test_neighbours_share_no_pixel_and_leave_none(seed):
    """Triangles of the whole grid with all corners on pixel centres: every centre is in exactly one of them."""
    rng = np.random.default_rng(seed)
    corners = np.unique(rng.integers(0, 60, (30, 2)), axis=0) * 10 + [5.0, 5.0] + [LEFT, BOTTOM]
    triangles = list(shapely.get_parts(shapely.delaunay_triangles(shapely.multipoints(corners))))
    crop, parcel = rasterise(parcels(triangles, np.arange(len(triangles)) % 11), GRID, WHOLE, 0)
    assert not (crop == 255).any()
    inner = shapely.union_all(triangles).buffer(-0.01)
    y, x = np.meshgrid(GRID.y, GRID.x, indexing="ij")
    assert (parcel[shapely.contains_xy(inner, x, y)] > 0).all()


def test_nothing_there_and_windows_beyond_the_grid():
    none = parcels([], [])
    crop, parcel = rasterise(none, GRID, Window(-20, -30, 40, 50), 255)
    assert crop.shape == (40, 50) and (crop == 255).all() and not parcel.any()
    one = parcels([pixels(-5, -5, 5, 5)], [3], [2**32 - 1])
    crop, parcel = rasterise(one, GRID, Window(-20, -30, 40, 50), 0)
    assert (crop == 3).sum() == 100 and parcel.max() == 2**32 - 1
    assert crop.dtype == np.uint8 and parcel.dtype == np.uint32


def test_edges_on_pixel_centres_count_once_across_many_blocks():
    wide = Grid(CRS, 10, 1024, Tile(0, 0), 1, 1)
    field = box(15, -BLOCK * 30 - 5, BLOCK * 30 - 5, -25)  # 766 pixels wide and high, edges on centres
    crop, parcel = rasterise(parcels([field], [1]), wide, Window(0, 0, 1024, 1024), 0)
    assert crop.sum() == parcel.sum() == (3 * BLOCK - 2) ** 2
    assert crop[100:700, 100:700].all()


def test_wrong_use_is_refused():
    with pytest.raises(BadInput, match="no crop"):
        rasterise(parcels([], []), GRID, WHOLE, 3)
    with pytest.raises(BadInput, match="EPSG:3857"):
        rasterise(Parcels("EPSG:3857", *(np.array([]),) * 3, {}), GRID, WHOLE, 0)
