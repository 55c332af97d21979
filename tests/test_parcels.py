"""Mending outlines: every defect that parcel files are known for, measured and told apart; axes that are not mixed."""

import geopandas as gpd
import numpy as np
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st
from shapely import MultiPolygon, Point, Polygon, box

from catalogs.parcels.mending import EMPTY, NOT_POLYGON, SLIVER, SOUND, STRAYED, hectares, mend, outlines, reproject

CRS = "EPSG:3059"
X, Y = 500_000, 300_000


def square(column: int, row: int = 0, side: float = 100) -> Polygon:
    left, bottom = X + column * 200, Y + row * 200
    return box(left, bottom, left + side, bottom + side)


def shapes(*given: object) -> np.ndarray:
    holder = np.empty(len(given), dtype=object)
    holder[:] = given
    return holder


BOWTIE = Polygon([(X, Y + 800), (X + 100, Y + 900), (X + 100, Y + 800), (X, Y + 900)])
WITH_TAIL = shapely.GeometryCollection([square(1), shapely.LineString([(X, Y), (X + 9, Y)])])
NESTED = shapely.GeometryCollection(
    [shapely.GeometryCollection([shapely.GeometryCollection([MultiPolygon([square(8), square(9)])]), Point(X, Y)])]
)
with np.errstate(invalid="ignore"):
    LOST = Polygon([(X, Y), (X + 100, Y), (np.nan, Y + 100)])
HIGH = shapely.force_3d(square(2), 17.5)
FAR = Polygon([*square(3).exterior.coords[:3], (X - 3_000_000, Y)])
NARROW = box(X, Y + 1200, X + 500, Y + 1204)

KINDS = {
    "sound": (square(0), SOUND, False),
    "repaired": (BOWTIE, SOUND, True),
    "none": (None, EMPTY, False),
    "empty": (Polygon(), EMPTY, False),
    "point": (Point(X, Y), NOT_POLYGON, False),
    "line": (shapely.LineString([(X, Y), (X + 100, Y)]), NOT_POLYGON, False),
    "with a tail": (WITH_TAIL, SOUND, False),
    "high": (HIGH, SOUND, False),
    "a corner far away": (FAR, STRAYED, False),
    "a corner nowhere": (Polygon([(X, Y), (X + 100, Y), (X, np.inf)]), STRAYED, False),
    "a corner that is no number": (LOST, STRAYED, False),
    "beyond the Earth": (box(1e15, 1e15, 1e15 + 100, 1e15 + 100), STRAYED, False),
    "a part beyond the Earth": (MultiPolygon([square(7), box(1e9, 1e9, 1e9 + 100, 1e9 + 100)]), STRAYED, False),
    "deep in collections": (NESTED, SOUND, False),
    "less than a pixel and thin": (square(4, side=9), SLIVER, False),
    "narrow": (NARROW, SOUND, False),
    "of two parts": (MultiPolygon([square(5), square(6)]), SOUND, False),
}


@pytest.mark.parametrize("target", [CRS, "EPSG:3035"])
def test_every_defect_has_its_name(target):
    given_shapes, faults, repaired = zip(*KINDS.values(), strict=True)
    found = mend(shapes(*given_shapes), CRS, target)
    assert dict(zip(KINDS, found.fault.tolist(), strict=True)) == dict(zip(KINDS, faults, strict=True))
    assert dict(zip(KINDS, found.repaired.tolist(), strict=True)) == dict(zip(KINDS, repaired, strict=True))
    sound = found.shapes[found.fault == SOUND]
    assert shapely.is_valid(sound).all() and not shapely.has_z(sound).any()
    assert set(shapely.get_type_id(sound)) <= {3, 6}
    assert found.narrow.tolist() == [name == "narrow" for name in KINDS]
    assert shapely.area(found.shapes[list(KINDS).index("deep in collections")]) == pytest.approx(20_000, rel=0.01)
    assert hectares(sound, target)[1] == pytest.approx(0.5, rel=0.01), "both halves of the bow tie are kept"


def test_hectares_are_those_of_the_ground_and_not_of_the_map():
    field = gpd.GeoSeries([box(0, 0, 1000, 1000)], crs="EPSG:3857").translate(2_700_000, 8_000_000)
    there = field.to_crs("EPSG:3035").area[0] / 10_000
    assert hectares(field.to_numpy(), "EPSG:3857")[0] == pytest.approx(there, rel=1e-6)
    assert there < 40, "Mercator draws it two and a half times as large"
    brazil = gpd.GeoSeries([box(200_000, 8_000_000, 201_000, 8_001_000)], crs="EPSG:32723")
    assert hectares(brazil.to_numpy(), "EPSG:32723")[0] == pytest.approx(brazil.to_crs("EPSG:6933").area[0] / 1e4)
    assert hectares(brazil.to_numpy(), "EPSG:32723")[0] == pytest.approx(100, rel=0.01)


@pytest.mark.parametrize("crs", ["EPSG:5514", "EPSG:4258", "EPSG:31287", "EPSG:2154", "EPSG:3059"])
def test_axes_are_x_then_y_whatever_the_crs_says(crs):
    ground = gpd.GeoSeries([box(4_700_000, 2_900_000, 4_700_300, 2_900_300)], crs="EPSG:3035")
    moved = reproject(ground.to_crs(crs).to_numpy(), crs, "EPSG:3035")
    assert shapely.bounds(moved[0]) == pytest.approx(ground.total_bounds, abs=1)


def test_an_outline_is_the_same_wherever_its_rings_start_and_however_they_turn():
    hole = shapely.difference(square(0), square(0, side=40).buffer(-5))
    turned = [hole, shapely.reverse(hole), Polygon(square(1).exterior.coords[2:] + square(1).exterior.coords[1:3])]
    numbers = outlines(shapes(*turned, square(1), square(2), MultiPolygon([square(2), square(3)])))
    assert numbers.dtype == np.uint64
    assert numbers[0] == numbers[1] and numbers[2] == numbers[3]
    assert len(set(numbers.tolist())) == 4


@given(st.lists(st.sampled_from(sorted(KINDS)), max_size=12))
def test_what_becomes_of_an_outline_does_not_depend_on_the_others(names):
    together = mend(shapes(*(KINDS[name][0] for name in names)), CRS, "EPSG:3035")
    assert together.fault.tolist() == [KINDS[name][1] for name in names]
    for shape, name in zip(together.shapes, names, strict=True):
        alone = mend(shapes(KINDS[name][0]), CRS, "EPSG:3035").shapes[0]
        assert (shape is None and alone is None) or shapely.equals_exact(shape, alone, 0)
