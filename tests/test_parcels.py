"""Reading parcels: real EuroCrops files where they are, and every defect that they are known for."""

import zipfile
from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest
import rasterio
import rasterio.features
import shapely
from distributed.protocol import deserialize, serialize
from shapely import MultiPolygon, Point, Polygon, box

from catalogs.errors import BadInput
from catalogs.grid import Grid, Window
from catalogs.parcels import Parcels, read_parcels, source_info
from catalogs.rasterise import rasterise
from catalogs.taxonomy import ten_crops

DATA = Path(__file__).parents[1].parent / "shared" / "data"
CRS = "EPSG:3059"
X, Y = 500_000, 300_000
COUNTED = ("read", "empty", "duplicate", "slivers_dropped", "kept")


def real(name: str) -> Path:
    path = DATA / name
    if not path.exists():
        pytest.skip(f"{path} is not on this machine")
    return path


def square(column: int, row: int = 0, side: float = 100) -> Polygon:
    left, bottom = X + column * 200, Y + row * 200
    return box(left, bottom, left + side, bottom + side)


BOWTIE = Polygon([(X, Y + 800), (X + 100, Y + 900), (X + 100, Y + 800), (X, Y + 900)])

ROWS = [
    (square(0), "3301010101"),
    (square(1), None),
    (square(2), ""),
    (square(3), "3399000000"),
    (square(0), "3301010101"),  # the same parcel and crop again
    (square(0), "3301010401"),  # the same ground under another crop is no duplicate
    (BOWTIE, "3301060500"),
    (None, "3301010101"),
    (Polygon(), "3301010101"),
    (square(4, side=9), "3301010101"),  # less than a pixel
    (box(X, Y + 1200, X + 500, Y + 1204), "3302000000"),  # long and narrow
    (MultiPolygon([square(5), square(6)]), "3303060000"),
    (square(7), "n/a"),
    (Polygon(square(8).exterior.coords[2:] + square(8).exterior.coords[1:3]), "3301030000"),
    (Polygon(square(8).exterior.coords), "3301030000"),  # the ring starts at another corner
]


def frame(rows=ROWS, crs: str | None = CRS, column: str = "EC_hcat_c") -> gpd.GeoDataFrame:
    shapes, codes = zip(*rows, strict=True)
    return gpd.GeoDataFrame({"name": "field", column: list(codes)}, geometry=list(shapes), crs=crs)


def write(folder: Path, kind: str, table: gpd.GeoDataFrame | None = None) -> Path:
    table = frame() if table is None else table
    path = folder / f"XX_2021_EC21.{kind}"
    if kind == "parquet":
        table.to_parquet(path, row_group_size=4)
    elif kind == "zip":
        table.to_file(folder / "inner.shp")
        with zipfile.ZipFile(path, "w") as archive:
            for part in folder.glob("inner.*"):
                archive.write(part, f"XX 2021/{part.name}")
    else:
        table.to_file(path)
    return path


def test_every_defect_is_counted(tmp_path):
    found = read_parcels(write(tmp_path, "gpkg"), None, CRS, ten_crops())
    assert found.counts == {
        "read": 15, "empty": 2, "duplicate": 2, "slivers_dropped": 1, "kept": 10,
        "repaired": 1, "slivers_kept": 1, "null_code": 2, "unknown": 2,
    }  # fmt: skip
    assert found.ids.tolist() == [2, 3, 4, 5, 7, 8, 12, 13, 14, 15]  # a GeoPackage numbers from 1
    assert found.classes.tolist() == [2, 255, 255, 255, 3, 5, 10, 0, 255, 7]
    assert (found.ids.dtype, found.classes.dtype) == (np.uint32, np.uint8)
    assert shapely.is_valid(found.geometries).all()
    assert set(shapely.get_type_id(found.geometries)) <= {3, 6}
    assert shapely.area(found.geometries[5]) == pytest.approx(5000)


@pytest.mark.parametrize("kind", ["shp", "zip", "parquet"])
def test_every_format_reads_alike(tmp_path, kind):
    (tmp_path / "one").mkdir()
    reference = read_parcels(write(tmp_path / "one", "gpkg"), None, CRS, ten_crops())
    found = read_parcels(write(tmp_path, kind), None, CRS, ten_crops())
    assert found.counts == reference.counts
    assert found.ids.tolist() == (reference.ids - 1).tolist()
    assert found.classes.tolist() == reference.classes.tolist()
    assert shapely.equals(found.geometries, reference.geometries).all()


@pytest.mark.parametrize("kind", ["gpkg", "shp", "zip", "parquet"])
def test_the_box_reads_what_meets_it_with_the_same_ids(tmp_path, kind):
    path = write(tmp_path, kind)
    whole = read_parcels(path, None, "EPSG:3035", ten_crops())
    bounds = tuple(shapely.bounds(whole.geometries[0]) + [-5, -5, 205, 5])
    part = read_parcels(path, bounds, "EPSG:3035", ten_crops())
    meets = shapely.intersects(whole.geometries, box(*bounds))
    assert 1 < meets.sum() < len(whole)
    assert set(whole.ids[meets]) <= set(part.ids) < set(whole.ids)
    same = np.isin(whole.ids, part.ids)
    assert shapely.equals_exact(whole.geometries[same], part.geometries, 0).all()
    assert whole.classes[same].tolist() == part.classes.tolist()
    assert part.counts["read"] == sum(part.counts[name] for name in COUNTED[1:])
    nowhere = read_parcels(path, (0, 0, 10, 10), "EPSG:3035", ten_crops())
    assert len(nowhere) == nowhere.counts["read"] == 0


def test_source_info_says_what_the_file_is(tmp_path):
    info = source_info(write(tmp_path, "zip"))
    assert (info.layer, info.crs, info.count, info.columns) == ("inner", CRS, 15, ("name", "EC_hcat_c"))
    assert info.bounds == pytest.approx((X, Y, X + 1700, Y + 1204))
    parquet = source_info(write(tmp_path, "parquet"))
    assert (parquet.count, parquet.code_column, parquet.bounds) == (15, "EC_hcat_c", info.bounds)


@pytest.mark.parametrize("kind", ["gpkg", "parquet"])
def test_codes_taken_for_numbers(tmp_path, kind):
    rows = [(square(0), 3301010101.0), (square(1), float("nan")), (square(2), 3302000000.0)]
    found = read_parcels(write(tmp_path, kind, frame(rows)), None, CRS, ten_crops())
    assert found.classes.tolist() == [2, 255, 10]
    assert found.counts["null_code"] == 1


@pytest.mark.parametrize("crs", ["EPSG:5514", "EPSG:4258", "EPSG:31287"])
def test_axes_are_x_then_y_whatever_the_crs_says(tmp_path, crs):
    ground = gpd.GeoSeries([box(4_700_000, 2_900_000, 4_700_300, 2_900_300)], crs="EPSG:3035")
    table = gpd.GeoDataFrame({"EC_hcat_c": ["3301010600"]}, geometry=ground).to_crs(crs)
    found = read_parcels(write(tmp_path, "gpkg", table), tuple(ground.total_bounds), "EPSG:3035", ten_crops())
    assert shapely.bounds(found.geometries[0]) == pytest.approx(ground.total_bounds, abs=1)


def test_parcels_travel_between_processes(tmp_path):
    found = read_parcels(write(tmp_path, "gpkg"), None, CRS, ten_crops())
    assert found.tree.query(box(X, Y, X + 1, Y + 1)).size
    again = deserialize(*serialize(found))
    assert again.counts == found.counts and shapely.equals(again.geometries, found.geometries).all()


def refused(path: Path | str, *words: str) -> None:
    with pytest.raises(BadInput) as caught:
        source_info(path)
    for word in words:
        assert word in str(caught.value)


def test_files_that_cannot_give_crops_are_refused(tmp_path):
    refused(tmp_path / "none.gpkg", "none.gpkg", "no such file")
    (tmp_path / "text.gpkg").write_text("not a vector")
    refused(tmp_path / "text.gpkg", "not a vector file")
    (tmp_path / "text.parquet").write_text("not a vector")
    refused(tmp_path / "text.parquet", "not a vector file")
    (tmp_path / "text.zip").write_text("not a zip")
    refused(tmp_path / "text.zip", "zip archive")
    refused(write(tmp_path, "shp", frame(crs=None)), "coordinate system", "a_srs")
    refused(write(tmp_path, "parquet", frame(crs=None)), "coordinate system")
    refused(write(tmp_path, "gpkg", frame(column="crop")), "EC_hcat_c", "crop")
    frame()[:0].to_file(tmp_path / "empty.gpkg", geometry_type="Polygon")
    refused(tmp_path / "empty.gpkg", "no parcels")
    points = gpd.GeoDataFrame({"EC_hcat_c": ["3301010101"]}, geometry=[Point(X, Y)], crs=CRS)
    points.to_file(tmp_path / "points.gpkg")
    refused(tmp_path / "points.gpkg", "no layer of polygons")
    (tmp_path / "table.csv").write_text("EC_hcat_c\n3301010101\n")
    refused(tmp_path / "table.csv", "no layer of polygons")
    frame([(square(0), "3310106011")]).to_file(tmp_path / "hcat4.gpkg")
    refused(tmp_path / "hcat4.gpkg", "HCAT4", "3310106011")
    frame([(square(0), "33010101")]).to_file(tmp_path / "hcat1.gpkg")
    refused(tmp_path / "hcat1.gpkg", "33010101", "not HCAT3")


def test_one_code_of_another_family_among_good_ones_is_refused(tmp_path):
    path = write(tmp_path, "gpkg", frame([(square(0), "3301010101"), (square(1), "3310106011")]))
    with pytest.raises(BadInput, match="3310106011.*HCAT4"):
        read_parcels(path, None, CRS, ten_crops())


def test_a_zip_or_file_of_several_must_be_told_which(tmp_path):
    path = write(tmp_path, "zip")
    frame().to_file(tmp_path / "second.gpkg")
    with zipfile.ZipFile(path, "a") as archive:
        archive.write(tmp_path / "second.gpkg", "deep/down/second.gpkg")
    refused(path, "inner.shp", "second.gpkg")
    assert source_info(path / "deep/down/second.gpkg").count == 15
    refused(path / "other.gpkg", "not a vector file")
    frame().to_file(tmp_path / "second.gpkg", layer="again")
    refused(tmp_path / "second.gpkg", "again")


def test_latvia_as_eurocrops_delivers_it():
    path = real("parcels/ec_lv/LV_2021.zip")
    info = source_info(path)
    assert (info.layer, info.crs, info.count) == ("LV_2021_EC21", "EPSG:3059", 100)
    found = read_parcels(path, None, "EPSG:3035", ten_crops())
    plain = gpd.read_file(info.opens_as)
    expected = [ten_crops().class_of(code) for code in plain.EC_hcat_c]
    assert found.ids.tolist() == list(range(1, 101))
    assert found.classes.tolist() == expected
    assert np.bincount(found.classes)[[0, 2, 3, 4, 10]].tolist() == [
        np.sum(np.array(expected) == k) for k in (0, 2, 3, 4, 10)
    ]
    assert np.bincount(found.classes)[10] >= 49
    moved = plain.to_crs(3035).geometry.to_numpy()
    assert shapely.area(shapely.symmetric_difference(moved, found.geometries)).max() < 1e-3


def test_latvia_by_tile_burns_as_rasterio_does():
    path = real("parcels/ec_lv/LV_2021.zip")
    whole = read_parcels(path, None, "EPSG:3035", ten_crops())
    biggest = whole.geometries[np.argmax(shapely.area(whole.geometries))]
    grid = Grid.around(tuple(shapely.bounds(biggest)), "EPSG:3035", 10, side=64)
    seen = 0
    for tile in grid.tiles():
        window = grid.window(tile)
        local = read_parcels(path, grid.bounds(window), "EPSG:3035", ten_crops())
        crop, parcel = rasterise(local, grid, window, 255)
        every = zip(whole.geometries, whole.ids, strict=True)
        expected = rasterio.features.rasterize(every, crop.shape, transform=grid.transform_of(window), dtype="uint32")
        np.testing.assert_array_equal(parcel, expected)
        seen += int((parcel > 0).sum())
    assert seen * 100 >= 0.95 * biggest.area


def test_romania_holds_land_cover_and_no_crop():
    found = read_parcels(real("parcels/ec_ro/RO_ny.zip"), None, "EPSG:3035", ten_crops())
    dropped = 100 - found.counts["kept"]
    assert found.counts["unknown"] in range(35 - dropped, 36)  # 35 rows are 3399000000
    assert set(np.unique(found.classes)) == {0, 10, 255}


@pytest.mark.parametrize(
    "name",
    ["dk/Marker_2026.zip", "nl/brpgewaspercelen_definitief_2023.gpkg", "rpg_parcels_EPSG2154.gpkg"],
)
def test_national_files_are_told_from_eurocrops(name):
    refused(real(f"parcels/{name}"), "no column EC_hcat_c")


def test_eurocrops_v2_is_told_from_eurocrops():
    refused(real("eurocropsv2/it_1/iti1_2023.parquet"), "no column EC_hcat_c", "original_code")


def test_slovenia_burns_as_its_own_raster_does():
    """Its pixels are 9.995 by 9.997 m, so the ground is stretched to 10 m pixels and burnt there."""
    table = gpd.read_file(real("slovenia-lulc/LULC.gpkg"))
    with rasterio.open(real("slovenia-lulc/derived/lulc.tif")) as file:
        truth, transform = file.read(1), file.transform
    grid = Grid.around((0, -10, 10, 0), "EPSG:32633", 10, side=128)

    def stretch(xy: np.ndarray) -> np.ndarray:
        columns, rows = ~transform @ (xy[:, 0], xy[:, 1])
        return np.column_stack([np.asarray(columns) * 10, np.asarray(rows) * -10])

    shapes = shapely.transform(table.geometry.to_numpy(), stretch)
    ids = np.arange(1, len(table) + 1, dtype=np.uint32)
    parcels = Parcels("EPSG:32633", shapes, table.LULC_ID.to_numpy(dtype=np.uint8), ids, {})
    crop, _ = rasterise(parcels, grid, Window(0, 0, *truth.shape), 0)
    labelled = truth != 0
    assert labelled.sum() > 5000
    np.testing.assert_array_equal(crop[labelled], truth[labelled])
