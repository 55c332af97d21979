"""Laws of burning parcels: equal to rasterio away from ties, blind to partition and order, honest about conflicts."""

import json
from pathlib import Path

import geopandas
import numpy as np
import pytest
import rasterio.features
import shapely
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from shapely import Polygon, box

from catalogs.coverage import coverage
from catalogs.errors import BadInput
from catalogs.grid import Grid, Tile, Window
from catalogs.parcels.table import Parcels
from catalogs.rasterise import BLOCK, CENTRE, Rule, rasterise

CRS = "EPSG:3035"
GRID = Grid(CRS, 10, 64, Tile(-5, -3), 5, 5)  # spans the origin of the lattice, and block borders inside tiles
WHOLE = Window(0, 0, *GRID.shape)
LEFT, BOTTOM, RIGHT, TOP = GRID.bounds(WHOLE)


def parcels(shapes, classes, ids=None) -> Parcels:
    numbers = np.arange(1, len(shapes) + 1) if ids is None else np.array(ids)
    holder = np.empty(len(shapes), dtype=object)
    holder[:] = shapes
    return Parcels(CRS, holder, np.array(classes, dtype=np.uint8), numbers.astype(np.uint32))


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


RULES = [
    CENTRE,
    Rule("touched"),
    Rule("share"),
    Rule("share", min_share=0.2),
    Rule("centre", inward=7.0),
    Rule("share", min_share=1.0, inward=3.0),
]


@settings(max_examples=40, deadline=None)
@given(
    st.integers(0, 2**32),
    st.sampled_from([0, 1, 2.5, 5, 10]),  # 5 puts corners and edges on pixel centres: ties
    st.integers(17, 320),
    st.integers(17, 320),
    st.sampled_from(RULES),
)
def test_any_partition_equals_the_whole(seed, step, height, width, rule):
    given_parcels = random_parcels(seed, 25, step)
    whole = rasterise(given_parcels, GRID, WHOLE, 0, rule)
    pieced = np.full(GRID.shape, 99, np.uint8), np.full(GRID.shape, 99, np.uint32)
    for y in range(0, GRID.shape[0], height):
        for x in range(0, GRID.shape[1], width):
            window = Window(y, x, height, width).clipped(GRID.shape)
            for layer, part in zip(pieced, rasterise(given_parcels, GRID, window, 0, rule), strict=True):
                layer[window.slices] = part
    for one, other in zip(whole, pieced, strict=True):
        np.testing.assert_array_equal(one, other)


@settings(max_examples=12, deadline=None)
@given(st.integers(0, 2**32), st.sampled_from([0, 5]), st.sampled_from(RULES))
def test_another_tile_side_gives_the_same_pixels_on_the_same_ground(seed, step, rule):
    given_parcels = random_parcels(seed, 25, step)
    whole, _ = rasterise(given_parcels, GRID, WHOLE, 0, rule)
    other = Grid.around((LEFT, BOTTOM, RIGHT, TOP), CRS, 10, side=48)
    top, left = round((other.y[0] - GRID.y[0]) / 10), round((GRID.x[0] - other.x[0]) / 10)
    again, _ = rasterise(given_parcels, other, Window(top, left, *GRID.shape), 0, rule)
    np.testing.assert_array_equal(whole, again)


@settings(max_examples=12, deadline=None)
@given(st.integers(0, 2**32), st.randoms(use_true_random=False), st.sampled_from(RULES))
def test_the_order_of_parcels_does_not_matter(seed, rng, rule):
    given_parcels = random_parcels(seed, 25, 5)
    order = list(range(len(given_parcels)))
    rng.shuffle(order)
    shuffled = parcels(given_parcels.geometries[order], given_parcels.classes[order], given_parcels.ids[order])
    both = (rasterise(which, GRID, WHOLE, 0, rule) for which in (given_parcels, shuffled))
    for one, other in zip(*both, strict=True):
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
        rasterise(Parcels("EPSG:3857", *(np.array([]),) * 3), GRID, WHOLE, 0)


def touching_oracle(given: Parcels, outside: int) -> tuple[np.ndarray, np.ndarray]:
    """The centre's oracle, and then the smallest id of rasterio's all_touched where no parcel holds the centre."""
    crop, parcel = oracle(given, outside)
    free = np.ones(GRID.shape, dtype=bool)
    for shape in given.geometries:
        free &= rasterio.features.rasterize([(shape, 1)], GRID.shape, transform=GRID.transform, dtype="uint8") == 0
    for shape, number, name in sorted(zip(given.geometries, given.classes, given.ids, strict=True), key=lambda p: p[2]):
        touched = rasterio.features.rasterize(
            [(shape, 1)], GRID.shape, transform=GRID.transform, dtype="uint8", all_touched=True
        )
        new = free & (touched == 1)
        crop[new], parcel[new] = number, name
        free &= ~new
    return crop, parcel


@pytest.mark.parametrize("seed", range(3))
def test_touched_is_rasterios_all_touched_around_the_centres(seed):
    given_parcels = random_parcels(seed, 40, step=0)
    expected = touching_oracle(given_parcels, 0)
    for one, other in zip(rasterise(given_parcels, GRID, WHOLE, 0, Rule("touched")), expected, strict=True):
        np.testing.assert_array_equal(one, other)
    assert (expected[1] > 0).sum() > 1.1 * (oracle(given_parcels, 0)[1] > 0).sum()


SMALL = Grid(CRS, 10, 64, Tile(-1, 0), 1, 1)
CELLS = np.array([[box(*SMALL.bounds(Window(y, x, 1, 1))) for x in range(64)] for y in range(64)], dtype=object)


def share_oracle(given: Parcels, min_share: float) -> tuple[np.ndarray, np.ndarray]:
    """Outlines cut by every pixel's square, the classes' parts united, and the rule in words."""
    crop, parcel = np.zeros(SMALL.shape, dtype=np.uint8), np.zeros(SMALL.shape, dtype=np.uint32)
    shares = {}
    for number in np.unique(given.classes):
        ground = shapely.union_all(given.geometries[given.classes == number])
        shares[number] = np.round(shapely.area(shapely.intersection(ground, CELLS)) / 100, 7)
    reached = np.stack([share >= min_share for share in shares.values()])
    for number, share in shares.items():
        crop[(share >= min_share) & (reached.sum(axis=0) == 1)] = number
    own = {name: np.zeros(SMALL.shape) for name in sorted(given.ids)}
    for shape, name in zip(given.geometries, given.ids, strict=True):
        own[name] = np.round(shapely.area(shapely.intersection(shape, CELLS)) / 100, 7)
    most = np.zeros(SMALL.shape)
    for name, share in own.items():
        here = (crop > 0) & (given.classes[given.ids == name][0] == crop) & (share > most)
        parcel[here], most[here] = name, share[here]
    crop[reached.sum(axis=0) > 1] = 255
    return crop, parcel


def on_the_small_grid(seed: int, count: int, step: float) -> Parcels:
    """Of classes 1 to 3, so that many overlap their like."""
    found = random_parcels(seed, 4 * count, step)
    left, bottom, right, top = SMALL.bounds(Window(0, 0, *SMALL.shape))
    here = shapely.intersects(found.geometries, box(left, bottom, right, top))
    return parcels(found.geometries[here], found.classes[here] % 3 + 1)


@settings(max_examples=12, deadline=None)
@given(st.integers(0, 2**32), st.sampled_from([0, 2.5, 5]), st.sampled_from([0.1, 0.25, 0.5, 0.75, 1.0]))
def test_shares_are_those_of_outlines_cut_by_pixels(seed, step, min_share):
    given_parcels = on_the_small_grid(seed, 25, step)
    assume(len(given_parcels))
    crop, parcel = rasterise(given_parcels, SMALL, Window(0, 0, *SMALL.shape), 0, Rule("share", min_share))
    expected_crop, expected_parcel = share_oracle(given_parcels, min_share)
    near_the_limit = 2e-4  # pixels that a rounding of the seventh decimal decides
    assert (crop != expected_crop).mean() <= near_the_limit
    assert (parcel != expected_parcel).mean() <= near_the_limit


def test_shares_are_those_of_exactextract():
    exact_extract = pytest.importorskip("exactextract").exact_extract
    numpy_raster = pytest.importorskip("exactextract.raster").NumPyRasterSource
    rng = np.random.default_rng(5)
    given_parcels = random_parcels(5, 40, 0)
    bounds = GRID.bounds(Window(0, 0, 256, 256))
    found = coverage(given_parcels.geometries, bounds, 256)
    places = np.arange(256 * 256, dtype=np.float64).reshape(256, 256)
    raster = numpy_raster(places, xmin=bounds[0], ymin=bounds[1], xmax=bounds[2], ymax=bounds[3])
    assert len(np.unique(found.owner)) > 10
    for owner in rng.choice(np.unique(found.owner), 10, replace=False):
        feature = {"type": "Feature", "properties": {}, "geometry": given_parcels.geometries[owner].__geo_interface__}
        said = exact_extract(raster, [feature], ["values", "coverage"])[0]["properties"]
        own = found.owner == owner
        ours = dict(zip(found.pixel[own].tolist(), found.share[own].tolist(), strict=True))
        theirs = {int(p): float(s) for p, s in zip(said["values"], said["coverage"], strict=True) if s > 1e-6}
        assert {p: s for p, s in ours.items() if s > 1e-6} == pytest.approx(theirs, abs=1e-5)


def test_a_pixel_shared_in_halves_is_of_neither_and_ground_declared_twice_counts_once():
    half = box(LEFT + 105, TOP - 200, LEFT + 200, TOP - 100)
    other = box(LEFT + 50, TOP - 200, LEFT + 105, TOP - 100)
    crop, parcel = rasterise(parcels([half, other], [2, 3]), GRID, WHOLE, 0, Rule("share"))
    assert (crop[10:20, 10] == 255).all() and not parcel[10:20, 10].any()
    assert (crop[10:20, 11:20] == 2).all() and (crop[10:20, 5:10] == 3).all()
    alone, _ = rasterise(parcels([half], [2]), GRID, WHOLE, 0, Rule("share"))
    assert (alone[10:20, 10] == 2).all(), "just enough is enough"
    thin = box(LEFT + 106, TOP - 200, LEFT + 200, TOP - 100)
    twice, _ = rasterise(parcels([thin, thin], [2, 2]), GRID, WHOLE, 0, Rule("share"))
    assert (twice[10:20, 10] == 0).all()
    neighbours = [thin, box(LEFT + 50, TOP - 200, LEFT + 106, TOP - 100)]
    together, parcel = rasterise(parcels(neighbours, [2, 2]), GRID, WHOLE, 0, Rule("share", 1.0))
    assert (together[10:20, 10] == 2).all() and (parcel[10:20, 10] == 2).all()


def test_inward_keeps_pixels_off_the_border_of_both_crop_and_parcel():
    field = pixels(10, 10, 30, 30)
    crop, parcel = rasterise(parcels([field], [4]), GRID, WHOLE, 0, Rule(inward=20.0))
    assert (crop[12:28, 12:28] == 4).all() and (crop == 4).sum() == (parcel == 1).sum() == 16 * 16
    gone, _ = rasterise(parcels([field], [4]), GRID, WHOLE, 0, Rule(inward=101.0))
    assert not gone.any()
    drawn_wide = parcels([pixels(10, 10, 30, 31), pixels(10, 29, 30, 50)], [1, 2])
    crop, _ = rasterise(drawn_wide, GRID, WHOLE, 0, Rule(inward=10.0))
    assert not (crop == 255).any(), "what overlaps only at the border is in no conflict"


def test_every_rule_and_option_changes_the_pixels():
    given_parcels = random_parcels(1, 40, 0)
    found = [rasterise(given_parcels, GRID, WHOLE, 0, rule)[1].tobytes() for rule in RULES]
    assert len(set(found)) == len(RULES)
    assert len({str(rule.describe()) for rule in RULES}) == len(RULES)
    assert Rule("centre", 0.3).describe() == CENTRE.describe(), "min_share is of the rule `share` alone"


SLOVENIA = Path(__file__).parents[2] / "shared" / "data" / "slovenia-lulc"


def test_slovenia_burns_as_its_own_raster_does():
    """Its pixels are 9.995 by 9.997 m, so the ground is stretched to 10 m pixels and burnt there."""
    if not SLOVENIA.exists():
        pytest.skip(f"{SLOVENIA} is not on this machine")
    truth = np.load(SLOVENIA / "LULC.npy").squeeze()
    with rasterio.open(SLOVENIA / "derived" / "lulc.tif") as file:
        np.testing.assert_array_equal(file.read(1), truth)
    table = geopandas.read_file(SLOVENIA / "LULC.gpkg")
    corners = json.loads((SLOVENIA / "bbox.geojson").read_text())["coordinates"][0]
    (left, bottom), (right, top) = np.min(corners, axis=0), np.max(corners, axis=0)
    height, width = truth.shape

    def stretch(xy: np.ndarray) -> np.ndarray:
        return (xy - [left, top]) * [10 * width / (right - left), 10 * height / (top - bottom)]

    grid = Grid.around((0, -10, 10, 0), CRS, 10, side=128)
    shapes = shapely.transform(table.geometry.to_numpy(), stretch)
    crop, _ = rasterise(parcels(shapes, table.LULC_ID), grid, Window(0, 0, height, width), 0)
    labelled = truth != 0
    assert labelled.sum() > 5000
    np.testing.assert_array_equal(crop[labelled], truth[labelled])


@pytest.mark.parametrize("count", [53_510, 53_511])  # the most whose numbers add up in 32 bits, and one more
def test_as_many_parcels_as_there_are_in_a_block(count):
    corner = Window(0, 0, BLOCK, BLOCK)
    left, _, _, top = GRID.bounds(corner)
    y, x = np.divmod(np.arange(count), BLOCK)
    squares = box(left + 10 * x, top - 10 * (y + 1), left + 10 * (x + 1), top - 10 * y)
    crop, parcel = rasterise(parcels(squares, np.full(count, 3)), GRID, corner, 0)
    assert (parcel.ravel()[:count] == np.arange(1, count + 1)).all() and not parcel.ravel()[count:].any()
    assert (crop.ravel() == np.repeat([3, 0], [count, BLOCK**2 - count])).all()
    stacked = np.full(count, squares[0])
    stacked[46_489] = squares[1]  # in 32 bits, the sum of all but this one would be a small number
    crop, parcel = rasterise(parcels(stacked, np.full(count, 3), np.arange(count, 0, -1)), GRID, corner, 0)
    assert (crop[0, 0], parcel[0, 0], np.count_nonzero(parcel)) == (3, 1, 2)
    crop, parcel = rasterise(parcels(stacked, np.r_[np.full(count - 1, 3), 4]), GRID, corner, 0)
    assert (crop[0, 0], crop[0, 1], np.count_nonzero(parcel)) == (255, 3, 1)
