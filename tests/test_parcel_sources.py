"""Parcel files of every country: each real one beside plain geopandas, and each trap on a made one."""

import csv
import json
import os
import sqlite3
import tempfile
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
import py7zr
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import shapely
from pyproj import CRS
from shapely import Point, box

from catalogs.errors import BadInput
from catalogs.parcels.dialects import dialects
from catalogs.parcels.geoparquet import GROUP, largest_group
from catalogs.parcels.named import named
from catalogs.parcels.sources import Asked, declared_year, open_source, read_chunk
from catalogs.parcels.text import mended
from catalogs.parcels.vectors import format_of
from catalogs.parcels.years import year_in

DATA = Path(__file__).parents[2] / "shared" / "data"
NATIONAL, EUROCROPS, V2 = Asked("national"), Asked(), Asked("eurocrops-v2")
LATVIAN, X, Y = "EPSG:3059", 500_000, 300_000


def real(name: str) -> Path:
    found = [path for path in DATA.glob(name) if path.is_file()]
    if not found:
        pytest.skip(f"{DATA / name} is not on this machine")
    return found[0]


def plainly(path: Path, folder: Path, **how: object) -> gpd.GeoDataFrame:
    """What geopandas says of the file, unpacked here by other means."""
    if path.suffix == ".zip":
        zipfile.ZipFile(path).extractall(folder)
    elif path.suffix == ".001":
        with py7zr.SevenZipFile(path) as archive:
            archive.extractall(folder)
    elif path.suffix == ".parquet":
        return gpd.read_parquet(path)
    inner = [file for ending in (".shp", ".gpkg", ".gml") for file in folder.rglob(f"*{ending}")]
    return gpd.read_file(inner[0] if inner else path, **how)


REAL = {
    "parcels/at/*.zip": (NATIONAL, "SNAR_CODE", "SNAR_BEZEICHNUNG", 31287, 2025),
    "parcels/be_vlg/*.zip": (NATIONAL, "GWSCOD_H", "GWSNAM_H", 31370, 2023),
    "parcels/dk/*.zip": (NATIONAL, "Afgkode", "Afgroede", 25832, 2026),
    "parcels/nl/*.gpkg": (NATIONAL, "gewascode", "gewas", 28992, 2023),
    "parcels/fi/*.gpkg": (NATIONAL, "KASVIKOODI", "KASVIKOODI_SELITE_FI", 3067, 2023),
    "parcels/fr/*.001": (NATIONAL, "code_cultu", None, 2154, 2022),
    "parcels/rpg_parcels_EPSG2154.gpkg": (NATIONAL, "code_cultu", None, 2154, None),
    "parcels/ec_lv/*.zip": (EUROCROPS, "EC_hcat_c", "EC_trans_n", 3059, 2021),
    "parcels/ec_ro/*.zip": (EUROCROPS, "EC_hcat_c", "EC_trans_n", 32635, None),
    "eurocropsv2/it_1/*.parquet": (V2, "original_code", None, 3035, 2023),
}


@pytest.mark.parametrize("name", REAL)
def test_real_files_read_as_geopandas_reads_them(name, tmp_path):
    asked, code, text, epsg, year = REAL[name]
    path = real(name)
    source = open_source(path, asked, tmp_path / "scratch")
    chunk, plain = read_chunk(source, 0, 10**6), plainly(path, tmp_path / "plain")
    assert source.count == len(plain) == len(chunk.codes)
    assert source.crs == plain.crs.to_string() == f"EPSG:{epsg}"
    assert source.bounds == pytest.approx(tuple(plain.total_bounds), abs=0.01)
    expected = [None if pd.isna(v) or v == "" else f"{v:.0f}" if isinstance(v, float) else str(v) for v in plain[code]]
    assert chunk.codes.tolist() == expected and (source.code, source.name) == (code, text)
    if text:
        assert chunk.names.tolist() == plain[text].tolist()
    assert shapely.equals_exact(chunk.shapes, plain.geometry.to_numpy(), 0).all()
    assert chunk.numbers.tolist() == list(range(len(plain)))
    assert declared_year(source) == year


def test_wallonia_has_its_crops_in_a_description(tmp_path):
    path = real("parcels/be_wal/*.zip")
    source = open_source(path, NATIONAL, tmp_path / "scratch")
    chunk = read_chunk(source, 0, 100)
    plain = plainly(path, tmp_path / "plain", layer="ExistingLandUseObject")
    assert chunk.names.tolist() == [text.split(") - ", 1)[1] for text in plain.description]
    assert sorted(set(chunk.codes)) == ["201", "6", "9811"]
    assert shapely.equals_exact(chunk.shapes, plain.geometry.to_numpy(), 0).all()
    assert (source.count, source.crs, source.country) == (10, "EPSG:3035", "BE_WAL")
    assert chunk.years.tolist() == [2022] * 10 and declared_year(source) == 2022


def test_declared_areas_and_years_are_what_the_columns_say(tmp_path):
    latvia = open_source(real("parcels/ec_lv/*.zip"), NATIONAL, tmp_path / "s")
    chunk, plain = read_chunk(latvia, 10, 20), plainly(latvia.path, tmp_path / "p")[10:30]
    assert chunk.areas.tolist() == plain.AREA_DECLA.tolist() and set(chunk.years) == {2021}
    assert chunk.names[0] == plain.PRODUCT_DE.iloc[0]
    italy = open_source(real("eurocropsv2/it_1/*.parquet"), V2, tmp_path / "s")
    assert read_chunk(italy, 0, 2).areas.tolist() == [1035, 822] and italy.area == "off_area"


# the columns that each country's file has, as documented, in a shapefile: cut after ten bytes
DOCUMENTED = {
    "AT": ({"SNAR_CODE": "717", "SNAR_BEZEI": "WIESE", "SL_FLAECHE": 1.5, "GEO_ID": 1}, "717", "WIESE", 0, 1.5),
    "BE_VLG": ({"REF_ID": 1, "GRAF_OPP": 2.0, "GWSCOD_V": "60", "GWSCOD_H": "201", "GWSNAM_H": "Mais"},
               "201", "Mais", 0, 2),
    "BE_WAL": ({"CAMPAGNE": 2021, "CULT_COD": "311", "CULT_NOM": "Froment"}, "311", "Froment", 2021, None),
    "CZ": ({"ID_UZ": 1, "PLODINA_ID": 2.0, "PLOD_NAZE": "Cukrovka", "DEKL_VYM": 3.0, "ROK": 2023},
           "2", "Cukrovka", 2023, 3),
    "DE_LS": ({"FLIK": "D", "SCHLAGNR": 1, "KULTURCODE": "115", "ANTRAGSJAH": "2021"}, "115", None, 2021, None),
    "DE_NRW": ({"ID": 1, "CODE": "115", "CODE_TXT": "Weizen", "AREA_H": 4.0}, "115", "Weizen", 0, 4),
    "DE_BB": ({"ref_ident": "x", "antragjahr": 2023, "groesse": 5.0, "code": "088", "code_bez": "Y"},
              "088", "Y", 2023, 5),
    "DK": ({"Marknr": "1", "IMK_areal": 6.0, "AFGKODE": 593.0, "AFGROEDE": "Poppel", "CVR": "4"},
           "593", "Poppel", 0, 6),
    "EE": ({"pollu_id": 1, "taotlusaas": 2021, "pindala_ha": 7.0, "taotletud_": "Rukis", "taotletu_1": "P"},
           None, "Rukis", 2021, 7),
    "ES_NA": ({"uso_sigpac": "TA", "dn_surface": 8.0}, "TA", None, 0, 8),
    "ES": ({"parc_produ": 1.0, "dn_surface": 8.0}, "1", None, 0, 8),
    "FI": ({"KASVIKOODI": "1120", "KASVIKOO_1": "Vehna", "VUOSI": 2020.0, "PINTA_ALA": 9.0}, "1120", "Vehna", 2020, 9),
    "FR": ({"ID_PARCEL": "1", "SURF_PARC": 1.1, "CODE_CULTU": "BTH", "CODE_GROUP": "1"}, "BTH", None, 0, 1.1),
    "HR": ({"land_use_i": 200, "area": 1.2}, "200", None, 0, 1.2),
    "LT": ({"NMA_ID": 1, "KZS_NR": 2, "GRUPE": "Sodai", "Shape_Area": 1.3}, None, "Sodai", 0, 1.3),
    "LV": ({"PERIOD_COD": "2021", "PARCEL_ID": 1, "PRODUCT_CO": "131", "PRODUCT_DE": "M", "AREA_DECLA": 1.4},
           "131", "M", 2021, 1.4),
    "NL": ({"category": "B", "gewas": "Sloot", "gewascode": 343, "jaar": 2020}, "343", "Sloot", 2020, None),
    "PT": ({"OSA_ID": 1, "CUL_ID": 2, "CUL_CODIGO": 109.0, "CT_portugu": "AMENDOA"}, "109", "AMENDOA", 0, None),
    "RO": ({"LC_MAPCODE": "A", "LC_CLASS_N": "Arabil", "AREA_HA": 1.5}, "A", "Arabil", 0, 1.5),
    "SE": ({"blockid": "1", "skiftesbet": "1A", "grdkod_mar": "4"}, "4", None, 0, None),
    "SI": ({"ID": 1, "GERK_PID": 2, "SIFRA_KMRS": "005", "AREA": 1.6, "RASTLINA": "koruza"}, "005", "koruza", 0, 1.6),
    "SK": ({"KODKD": "1", "VYMERA": 1.7, "PLODINA": "Psenica", "SUBJEKT_NA": "Jan"}, None, "Psenica", 0, 1.7),
}  # fmt: skip


@pytest.mark.parametrize("country", DOCUMENTED)
def test_every_country_is_known_by_its_columns(country, tmp_path):
    columns, code, name, year, area = DOCUMENTED[country]
    table = gpd.GeoDataFrame({key: [value] for key, value in columns.items()}, geometry=[square(0)], crs=LATVIAN)
    table.to_file(tmp_path / "parcels.shp")
    source = open_source(tmp_path / "parcels.shp", NATIONAL, tmp_path / "s")
    chunk = read_chunk(source, 0, 1)
    assert (source.dialect, source.country) == (country, country)
    assert (chunk.codes[0], chunk.names[0], chunk.years[0]) == (code, name, year)
    assert chunk.areas[0] == area if area else np.isnan(chunk.areas[0])


def test_the_table_of_dialects_has_every_country_of_eurocrops():
    assert {d.country for d in dialects()} >= set(DOCUMENTED) | {"IE"}


def square(column: int, side: float = 100) -> shapely.Polygon:
    return box(X + column * 200, Y, X + column * 200 + side, Y + side)


def table(count: int = 12, column: str = "EC_hcat_c", crs: str | None = LATVIAN) -> gpd.GeoDataFrame:
    codes = [f"33010{i:02d}000" for i in range(count)]
    years = [2021] * count
    columns = {column: codes, "year": years, "owner": "Mari Maasikas"}
    return gpd.GeoDataFrame(columns, geometry=[square(i) for i in range(count)], crs=crs)


def with_holes(folder: Path) -> Path:
    """A GeoPackage whose rows are not numbered one after the other."""
    path = folder / "holes.gpkg"
    table(30).to_file(path, layer='with "quotes" in')
    with sqlite3.connect(path) as database:
        for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            database.execute('DROP TRIGGER "' + name.replace('"', '""') + '"')
        database.execute('DELETE FROM "with ""quotes"" in" WHERE fid % 5 IN (1, 2, 3)')
    database.close()
    return path


WRITERS: dict[str, Callable[[Path], Path]] = {
    "gpkg": lambda folder: saved(folder / "a.gpkg"),
    "gpkg with holes": with_holes,
    "shp": lambda folder: saved(folder / "a.shp"),
    "fgb": lambda folder: saved(folder / "a.fgb", SPATIAL_INDEX="NO"),
    "geojson": lambda folder: saved(folder / "a.geojson", table().to_crs(4326)),
    "gml": lambda folder: saved(folder / "a.gml", driver="GML"),
    "parquet": lambda folder: parquet(folder / "a.parquet", row_group_size=5),
}


def saved(path: Path, frame: gpd.GeoDataFrame | None = None, **how: object) -> Path:
    (table() if frame is None else frame).to_file(path, **how)
    return path


def parquet(path: Path, **how: object) -> Path:
    table().to_parquet(path, **how)
    return path


@pytest.mark.parametrize("kind", WRITERS)
def test_any_chunks_together_are_the_file(kind, tmp_path, monkeypatch):
    monkeypatch.setattr("catalogs.parcels.vectors.MARK", 3)
    monkeypatch.setattr("catalogs.parcels.geoparquet.GROUP", 4)
    source = open_source(WRITERS[kind](tmp_path), EUROCROPS, tmp_path / "s")
    whole, truth = read_chunk(source, 0, 100), table().to_crs(source.crs)
    assert source.count == len(whole.codes) == len(truth)
    if "holes" not in kind:
        assert whole.codes.tolist() == truth.EC_hcat_c.tolist() and set(whole.years) == {2021}
        assert shapely.equals_exact(*map(shapely.normalize, (whole.shapes, truth.geometry.to_numpy())), 1e-6).all()
    for size in (1, 3, 5, 11):
        parts = [read_chunk(source, first, size) for first in range(0, 12, size)]
        assert np.concatenate([p.codes for p in parts]).tolist() == whole.codes.tolist()
        assert np.concatenate([p.numbers for p in parts]).tolist() == list(range(12))
        assert shapely.equals_exact(np.concatenate([p.shapes for p in parts]), whole.shapes, 0).all()
    assert len(read_chunk(source, 12, 5).codes) == len(read_chunk(source, 99, 5).shapes) == 0


def test_holes_in_the_numbering_are_stepped_over(tmp_path):
    chunk = read_chunk(open_source(with_holes(tmp_path), EUROCROPS, tmp_path / "s"), 5, 4)
    assert chunk.codes.tolist() == [f"33010{fid - 1:02d}000" for fid in (15, 19, 20, 24)]


def test_numbers_in_gml_keep_their_zeros(tmp_path):
    saved(tmp_path / "a.gml", table(2, column="code").assign(code=["088", "002"]), driver="GML")
    (tmp_path / "a.xsd").unlink()
    source = open_source(tmp_path / "a.gml", Asked("national", code="code"), tmp_path / "s")
    assert read_chunk(source, 0, 2).codes.tolist() == ["088", "002"]


@pytest.mark.parametrize(
    "epsg", [5514, 3059, 31287, 31370, 28992, 3765, 3346, 3301, 3794, 2154, 25833, 3006, 3763, 4258]
)
def test_the_same_crs_is_known_however_it_is_written(epsg, tmp_path):
    area = CRS.from_epsg(epsg).area_of_use
    middle = Point((area.west + area.east) / 2, (area.south + area.north) / 2)
    ground = gpd.GeoSeries([middle], crs="OGC:CRS84").to_crs(epsg).buffer(0.01)
    gpd.GeoDataFrame({"EC_hcat_c": ["3301010101"]}, geometry=ground).to_file(tmp_path / "a.shp")
    assert open_source(tmp_path / "a.shp", Asked(crs=f"EPSG:{epsg}"), tmp_path / "s").count == 1


@pytest.mark.parametrize("kind", ["gpkg with holes", "one group of rows"])
def test_the_last_chunk_of_many_costs_what_the_first_does(kind, tmp_path):
    count = 300_000
    corners = np.column_stack([X + np.arange(count) % 1000 * 20.0, Y + np.arange(count) // 1000 * 20.0])
    shapes = shapely.box(*corners.T, *(corners + 10).T)
    many = gpd.GeoDataFrame({"EC_hcat_c": [f"{i:010d}" for i in range(count)]}, geometry=shapes, crs=LATVIAN)
    if kind == "one group of rows":
        many.to_parquet(path := tmp_path / "many.parquet", row_group_size=count)
    else:
        many.to_file(path := tmp_path / "many.gpkg", SPATIAL_INDEX="NO")
        with sqlite3.connect(path) as database:
            database.execute("DELETE FROM many WHERE fid = 7")
        database.close()
    source = open_source(path, EUROCROPS, tmp_path / "s")
    assert source.count == count - (kind != "one group of rows")
    first, last = (min(cpu_seconds(source, first, 500) for _ in range(4)) for first in (0, source.count - 500))
    assert last < 2 * first + 0.01, (first, last)
    assert last < cpu_seconds(source, 0, count) / 4
    assert not source.is_parquet or largest_group(Path(source.opens_as)) <= GROUP
    assert read_chunk(source, source.count - 2, 9).codes.tolist() == [f"{count - 2:010d}", f"{count - 1:010d}"]


def cpu_seconds(source, first: int, count: int) -> float:
    began = time.process_time()
    read_chunk(source, first, count)
    return time.process_time() - began


IRELAND = """<?xml version="1.0" encoding="UTF-8"?>
<gml:FeatureCollection xmlns:gml="http://www.opengis.net/gml/3.2" xmlns:elu="http://inspire.ec.europa.eu/schemas/elu/4.0"
 xmlns:xlink="http://www.w3.org/1999/xlink">
<gml:featureMember><elu:ExistingLandUseObject gml:id="a"><elu:localId>7</elu:localId><elu:geometry>
<gml:Polygon gml:id="b" srsName="http://www.opengis.net/def/crs/EPSG/0/4258"><gml:exterior><gml:LinearRing><gml:posList>
53.0 -8.0 53.001 -8.0 53.001 -7.999 53.0 -7.999 53.0 -8.0</gml:posList></gml:LinearRing></gml:exterior></gml:Polygon>
</elu:geometry><elu:specificLandUse xlink:title="Spring Barley, Peas"/>
<elu:observationDate>2023-05-15+01:00</elu:observationDate>
</elu:ExistingLandUseObject></gml:featureMember></gml:FeatureCollection>"""


def test_ireland_has_its_crops_in_attributes_and_latitude_first(tmp_path):
    (tmp_path / "GSAA.gml").write_text(IRELAND)
    source = open_source(tmp_path / "GSAA.gml", NATIONAL, tmp_path / "s")
    chunk = read_chunk(source, 0, 5)
    assert (chunk.names.tolist(), chunk.years.tolist(), source.country) == (["Spring Barley"], [2023], "IE")
    assert source.bounds == pytest.approx((-8.0, 53.0, -7.999, 53.001))


def test_nothing_is_written_beside_the_users_file(tmp_path):
    (folder := tmp_path / "theirs").mkdir()
    for kind in ("gml", "geojson", "gpkg", "shp", "fgb"):
        WRITERS[kind](folder)
    (folder / "a.xsd").unlink()  # without it GDAL writes notes of its own
    before = {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}
    for name in ("a.gml", "a.geojson", "a.gpkg", "a.shp", "a.fgb"):
        source = open_source(folder / name, EUROCROPS, tmp_path / "s")
        assert len(read_chunk(source, 0, 20).codes) == 12
    assert {path.name: path.stat().st_mtime_ns for path in folder.iterdir()} == before


@pytest.mark.parametrize("kind", ["gml", "geojson", "fgb"])
def test_what_is_converted_holds_no_names_of_farmers_and_is_made_once(kind, tmp_path):
    path = WRITERS[kind](tmp_path)
    assert b"Maasikas" in path.read_bytes()
    first = open_source(path, EUROCROPS, tmp_path / "s")
    made = Path(first.opens_as).stat().st_mtime_ns
    assert list(pd.read_parquet(first.opens_as).columns[:-1]) == ["EC_hcat_c", "year"]
    assert open_source(path, EUROCROPS, tmp_path / "s") == first and Path(first.opens_as).stat().st_mtime_ns == made
    assert not list((tmp_path / "s").rglob("*.partial"))
    os.utime(path, ns=(1, 1))  # another file under the same name is converted anew
    assert open_source(path, EUROCROPS, tmp_path / "s").opens_as != first.opens_as


def test_geoparquet_by_its_primary_column_or_by_what_is_usual(tmp_path):
    frame = table().rename_geometry("geom")
    frame.to_parquet(tmp_path / "named.parquet")
    assert open_source(tmp_path / "named.parquet", EUROCROPS, tmp_path).layer == "geom"
    frame.to_wkb().to_parquet(tmp_path / "bare.parquet")
    bare = open_source(tmp_path / "bare.parquet", Asked(crs=LATVIAN), tmp_path)
    assert (bare.crs, len(read_chunk(bare, 3, 4).shapes)) == (LATVIAN, 4)
    refused(tmp_path / "bare.parquet", EUROCROPS, "does not say its coordinate system", "[labels] crs")
    pd.DataFrame({"EC_hcat_c": ["3301010101"]}).to_parquet(tmp_path / "table.parquet")
    refused(tmp_path / "table.parquet", EUROCROPS, "without a column of geometries")


# place in Slovakia: Bratislava castle, longitude 17.100, latitude 48.142
BRATISLAVA = (17.100, 48.142)


def test_krovak_is_east_then_north_and_negative(tmp_path):
    point = gpd.GeoSeries([Point(*BRATISLAVA)], crs="OGC:CRS84").to_crs(5514)
    assert point.x[0] == pytest.approx(-573_900, abs=1500) and point.y[0] == pytest.approx(-1_280_300, abs=1500)
    frame = gpd.GeoDataFrame({"EC_hcat_c": ["3301010101"]}, geometry=point.buffer(100))
    frame.to_file(tmp_path / "sk.gpkg")
    frame.set_crs(None, allow_override=True).to_file(tmp_path / "bare.shp")
    for source in (
        open_source(tmp_path / "sk.gpkg", EUROCROPS, tmp_path / "s"),
        open_source(tmp_path / "bare.shp", Asked(crs="EPSG:5514"), tmp_path / "s"),
    ):
        shape = gpd.GeoSeries(read_chunk(source, 0, 1).shapes, crs=source.crs).to_crs("OGC:CRS84")[0]
        assert (shape.centroid.x, shape.centroid.y) == pytest.approx(BRATISLAVA, abs=1e-4)
        assert max(source.bounds) < 0
    turned = frame.set_geometry(frame.geometry.affine_transform([0, -1, -1, 0, 0, 0])).set_crs(
        None, allow_override=True
    )
    turned.to_file(tmp_path / "turned.shp")  # south and west, positive: what EPSG:5513 says and 5514 does not
    refused(tmp_path / "turned.shp", Asked(crs="EPSG:5514"), "EPSG:5514", "longitude")


def test_coordinate_systems_that_cannot_be(tmp_path):
    table(crs=None).to_file(tmp_path / "none.shp")
    refused(tmp_path / "none.shp", EUROCROPS, "does not say its coordinate system", "[labels] crs")
    refused(tmp_path / "none.shp", Asked(crs="EPSG:99999"), "EPSG:99999", "not understood")
    refused(tmp_path / "none.shp", Asked(crs="EPSG:31370"), "EPSG:31370", "not used")
    saved(tmp_path / "a.gpkg")
    refused(tmp_path / "a.gpkg", Asked(crs="EPSG:3035"), "EPSG:3059", "EPSG:3035")
    assert open_source(tmp_path / "a.gpkg", Asked(crs=LATVIAN), tmp_path).crs == LATVIAN
    local = 'LOCAL_CS["site",UNIT["metre",1],AXIS["x",EAST],AXIS["y",NORTH]]'
    table(crs=local).to_parquet(tmp_path / "site.parquet")
    refused(tmp_path / "site.parquet", EUROCROPS, "nothing of its place on Earth")
    assert open_source(tmp_path / "site.parquet", Asked(crs=LATVIAN), tmp_path).crs == LATVIAN
    table().to_crs(25832).set_crs(None, allow_override=True).to_file(tmp_path / "metres.geojson")
    refused(tmp_path / "metres.geojson", EUROCROPS, "does not say its coordinate system")


HIDDEN = {"SK_2021_EC": "cp1250", "LT_2021_EC": "cp1257", "PT_2021": "cp1252", "SI_2021_EC21": "utf-8"}


@pytest.mark.parametrize(("name", "encoding"), HIDDEN.items())
def test_a_shapefile_that_hides_its_encoding(name, encoding, tmp_path):
    text = {"cp1250": "Pšenica ozimná ľ", "cp1257": "Žieminiai ė", "cp1252": "MAÇÃ", "utf-8": "pšenica ž"}[encoding]
    frame = table(2).assign(EC_trans_n=[text, "plain"])
    frame.to_file(tmp_path / f"{name}.shp", encoding=encoding)
    (tmp_path / f"{name}.cpg").unlink()
    source = open_source(tmp_path / f"{name}.shp", EUROCROPS, tmp_path / "s")
    assert read_chunk(source, 0, 2).names.tolist() == [text, "plain"]


@pytest.mark.parametrize("column", ["EC_trans_n", "né"])
def test_a_cpg_file_that_lies(column, tmp_path):
    frame = table(2).assign(**{column: ["Blé", "Maïs"]})
    frame.to_file(tmp_path / "FR_2018.shp", encoding="cp1252")
    (tmp_path / "FR_2018.cpg").write_text("UTF-8")
    source = open_source(tmp_path / "FR_2018.shp", Asked(name=column), tmp_path / "s")
    assert read_chunk(source, 0, 2).names.tolist() == ["Blé", "Maïs"]


def test_garbled_letters_of_real_tables_are_mended():
    with real("eurocrops/country_mappings/lt_2021.csv").open(encoding="utf-8-sig", newline="") as file:
        lithuanian = {mended(row["original_name"], "LT") for row in csv.DictReader(file)}
    assert {"Žieminiai javai", "Ankštiniai javai", "Šlapynės", "Kukurūzai", "Kita ariama žemė"} <= lithuanian
    with real("eurocrops/country_mappings/be_vlg_2021.csv").open(encoding="utf-8-sig", newline="") as file:
        flemish = {mended(row["original_name"], "BE_VLG") for row in csv.DictReader(file)}
    assert {"Bloeiende kamerplanten (kalanchoë, ...)", "Loods (bv. voor machines, opslag,…)"} <= flemish
    for country, name in (
        ("at_2021", "AT"),
        ("sk_2021", "SK"),
        ("fi_2020", "FI"),
        ("pt_2021", "PT"),
        ("dk_2019", "DK"),
    ):
        with real(f"eurocrops/country_mappings/{country}.csv").open(encoding="utf-8-sig", newline="") as file:
            for row in csv.DictReader(file):
                assert mended(row["original_name"], name) == row["original_name"]


def test_letters_are_mended_only_where_they_cannot_be_meant():
    assert mended("P\x9aenica ozimn\xe1", "SK") == "Pšenica ozimná"
    assert mended("Bl\xe9 d\x92hiver", "FR") == "Blé d’hiver"
    for country in ("SI", "FR", "EE", ""):
        assert mended("crème è Ã", country) == "crème è Ã"
    assert mended("Žieminiai javai", "LT") == "Žieminiai javai"


def test_latvia_lost_letters_that_stay_lost(tmp_path):
    source = open_source(real("parcels/ec_lv/*.zip"), Asked("national"), tmp_path)
    assert "Mie?i, vasaras" in read_chunk(source, 0, 100).names


def test_lithuania_is_mended_by_its_columns_or_its_name(tmp_path):
    frame = table(1).assign(NMA_ID=1, KZS_NR=2, GRUPE="Þieminiai javai")
    for name in ("fields.gpkg", "LT_2021_EC.gpkg"):
        frame.drop(columns="NMA_ID").to_file(tmp_path / name)
        source = open_source(tmp_path / name, Asked(name="GRUPE"), tmp_path)
        assert read_chunk(source, 0, 1).names.tolist() == ["Žieminiai javai"]


def test_codes_taken_for_numbers_and_nulls(tmp_path):
    frame = table(4).assign(EC_hcat_c=[3301010401.0, np.nan, 3302000000.0, 3301010101.0])
    frame.to_file(tmp_path / "n.gpkg")
    frame.to_parquet(tmp_path / "n.parquet")
    for name in ("n.gpkg", "n.parquet"):
        chunk = read_chunk(open_source(tmp_path / name, EUROCROPS, tmp_path), 0, 4)
        assert chunk.codes.tolist() == ["3301010401", None, "3302000000", "3301010101"]


def test_years_from_names():
    names = {"AT_2021": 2021, "x_2023_-_(28-03-2024)": 2023, "RPG_FXX_2022-01-01": 2022, "RO_ny": None,
             "rpg_parcels_EPSG2154": None, "a_2015-2021": None, "HU2021_20220923": 2021, "c2019": 2019}  # fmt: skip
    assert {name: year_in(name) for name in names} == names


def test_a_file_of_several_years_says_none(tmp_path):
    table(4).assign(year=[2020, 2021, 2021, 0]).to_file(tmp_path / "AT_2021.gpkg")
    source = open_source(tmp_path / "AT_2021.gpkg", EUROCROPS, tmp_path)
    assert declared_year(source) is None and read_chunk(source, 0, 4).years.tolist() == [2020, 2021, 2021, 0]


def refused(path: Path, asked: Asked, *words: str) -> None:
    with pytest.raises(BadInput) as caught, tempfile.TemporaryDirectory() as scratch:
        open_source(path, asked, Path(scratch))
    for word in words:
        assert word in str(caught.value), str(caught.value)


def test_files_that_cannot_give_crops_are_refused(tmp_path):
    refused(tmp_path / "none.gpkg", EUROCROPS, "none.gpkg", "no such file")
    refused(tmp_path, EUROCROPS, "folder")
    for name in ("text.gpkg", "text.parquet", "text.shp", "empty.gml"):
        (tmp_path / name).write_text("not a vector" if "text" in name else "")
        refused(tmp_path / name, EUROCROPS, "not a file of parcels")
    (tmp_path / "led.gml").write_text("<OGRVRTDataSource><!-- opengis.net/gml --><SrcDataSource>x</SrcDataSource>")
    refused(tmp_path / "led.gml", EUROCROPS, "not a file of parcels")
    led = {"type": "gdal_streamed_alg", "command_line": f"gdal vector pipeline ! read {saved(tmp_path / 'b.gpkg')}"}
    (tmp_path / "led.json").write_text(json.dumps(led))
    with pytest.raises(BadInput, match="not a file of parcels"):
        format_of(tmp_path / "led.json")  # before GDAL sees it
    saved(tmp_path / "a.gpkg", table(column="crop"))
    refused(tmp_path / "a.gpkg", EUROCROPS, "EC_hcat_c", "crop, year, owner", "code_column")
    refused(tmp_path / "a.gpkg", NATIONAL, "crop, year, owner", "code_column")
    refused(tmp_path / "a.gpkg", Asked("national", code="krop"), "no column 'krop'", "crop, year, owner")
    assert read_chunk(open_source(tmp_path / "a.gpkg", Asked("national", code="CROP"), tmp_path), 0, 1).codes[0]
    table()[:0].to_file(tmp_path / "empty.gpkg", geometry_type="Polygon")
    refused(tmp_path / "empty.gpkg", EUROCROPS, "holds no parcels")
    points = gpd.GeoDataFrame({"EC_hcat_c": ["3301010101"]}, geometry=[Point(X, Y)], crs=LATVIAN)
    points.to_file(tmp_path / "points.gpkg")
    refused(tmp_path / "points.gpkg", EUROCROPS, "no layer of polygons")
    saved(tmp_path / "part.shp")
    refused(tmp_path / "part.dbf", EUROCROPS, "part of a shapefile", ".shp")
    (tmp_path / "part.dbf").unlink()
    refused(tmp_path / "part.shp", EUROCROPS, "part.dbf")


@pytest.mark.parametrize(
    "kind", ["gml with its schema", "gml", "shp", "dbf of shp", "fgb", "geojson", "parquet", "gpkg"]
)
def test_a_file_that_is_cut_off_is_refused(kind, tmp_path):
    name = kind.split()[0]
    path = WRITERS[kind.split()[-1] if name == "dbf" else name](tmp_path).with_suffix(f".{name}")
    if kind == "gml":
        (tmp_path / "a.xsd").unlink()
    os.truncate(path, path.stat().st_size * 2 // 3)
    sign = "cut off or damaged" if name in ("gml", "shp") else "or it is damaged"
    with pytest.raises(BadInput, match=sign):
        read_chunk(open_source(path.with_suffix(".shp") if name == "dbf" else path, EUROCROPS, tmp_path / "s"), 0, 20)


@pytest.mark.parametrize("schema", [True, False])
def test_a_gml_file_that_is_broken_in_its_middle_is_refused_as_damaged(schema, tmp_path):
    path = WRITERS["gml"](tmp_path)
    if not schema:
        (tmp_path / "a.xsd").unlink()
    head, rest = path.read_text().split("<ogr:featureMember", 1)
    path.write_text(f"{head}<ogr:lost<{rest}")
    with pytest.raises(BadInput, match="damaged: its XML is broken.*line"):
        open_source(path, EUROCROPS, tmp_path / "s")


def test_a_gml_file_may_end_in_remarks(tmp_path):
    path = WRITERS["gml"](tmp_path)
    head, root = path.read_text().split("?>", 1)
    path.write_text(f"{head}?>\n<!-- of <2021> -->{root.rstrip()}\n<!-- made by </hand> -->\n\n")
    assert open_source(path, EUROCROPS, tmp_path / "s").count == 12


def without_notice(path: Path, layer: str, deleted: str) -> Path:
    """Rows deleted by what does not keep the file's own count."""
    with sqlite3.connect(path) as database:
        for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            database.execute(f'DROP TRIGGER "{name}"')
        database.execute(f"DELETE FROM {layer} WHERE {deleted}")
    database.close()
    return path


def test_a_geopackage_that_states_an_old_count(tmp_path, monkeypatch):
    monkeypatch.setattr("catalogs.parcels.vectors.MARK", 3)
    path = without_notice(saved(tmp_path / "a.gpkg"), "a", "fid = 5")
    source = open_source(path, EUROCROPS, tmp_path / "s")
    codes = [code for first in range(0, 12, 4) for code in read_chunk(source, first, 4).codes]
    assert source.count == 11 and codes == [code for i, code in enumerate(table().EC_hcat_c) if i != 4]
    refused(without_notice(path, "a", "TRUE"), EUROCROPS, "holds no parcels")


@pytest.mark.parametrize("column", ["EC_hcat_c", "year"])
def test_columns_of_lists_are_refused(column, tmp_path):
    frame = table(2)
    frame[column] = [["3301010101", "3301010401"], ["3301010101"]]
    frame.to_parquet(tmp_path / "a.parquet")
    frame.to_crs(4326).to_file(tmp_path / "a.geojson")
    for name in ("a.parquet", "a.geojson"):
        refused(tmp_path / name, EUROCROPS, f"column {column} holds several values")


def test_geoparquet_that_contradicts_itself(tmp_path):
    whole = pq.read_table(parquet(tmp_path / "a.parquet"))
    geo = json.loads(whole.schema.metadata[b"geo"])
    odd = [{"columns": {"geometry": "x"}}, {"columns": {"geometry": [1]}}]
    odd.append({"columns": {"geometry": {**geo["columns"]["geometry"], "bbox": ["a", None, 1, 2]}}})
    for told in odd:
        pq.write_table(whole.replace_schema_metadata({"geo": json.dumps(geo | told)}), tmp_path / "odd.parquet")
        refused(tmp_path / "odd.parquet", EUROCROPS, "or it is damaged")
    pq.write_table(whole.append_column("EC_hcat_c", whole["EC_hcat_c"]), tmp_path / "twice.parquet")
    refused(tmp_path / "twice.parquet", EUROCROPS, "or it is damaged")
    pq.write_table(whole.set_column(whole.num_columns - 1, "geometry", whole["EC_hcat_c"]), tmp_path / "text.parquet")
    refused(tmp_path / "text.parquet", EUROCROPS, "not WKB")
    letters = pa.array([b"33\xe9"] * len(whole))
    latin = pa.Array.from_buffers(pa.string(), len(whole), letters.buffers())
    pq.write_table(whole.set_column(0, "EC_hcat_c", latin), tmp_path / "latin.parquet")
    with pytest.raises(BadInput, match="or it is damaged"):
        read_chunk(open_source(tmp_path / "latin.parquet", EUROCROPS, tmp_path), 0, 2)


def test_the_wrong_kind_of_file_is_told(tmp_path):
    refused(real("parcels/nl/*.gpkg"), EUROCROPS, "EC_hcat_c", "national", "NL")
    refused(real("eurocropsv2/it_1/*.parquet"), EUROCROPS, "eurocrops-v2")
    stack = table(2, column="c2020").assign(c2021="115", cf2021=1)
    stack.to_parquet(tmp_path / "at_stack.parquet")
    refused(tmp_path / "at_stack.parquet", V2, "several years", "code_column = 'c2021'")
    source = open_source(tmp_path / "at_stack.parquet", Asked("eurocrops-v2", code="c2021"), tmp_path)
    assert read_chunk(source, 0, 2).codes.tolist() == ["115", "115"]


def test_the_layer_is_the_one_with_crops_or_the_one_that_is_named(tmp_path):
    path = tmp_path / "layers.gpkg"
    table().to_file(path, layer="parcels")
    table(3, column="note").to_file(path, layer="blocks")
    assert open_source(path, EUROCROPS, tmp_path).layer == "parcels"
    refused(path, Asked(layer="blocks"), "EC_hcat_c")
    refused(path, Asked(layer="fields"), "'fields'", "parcels, blocks")
    table(3).to_file(path, layer="again")
    refused(path, EUROCROPS, "parcels, again", "layer = 'parcels'")
    assert open_source(path, Asked(layer="AGAIN"), tmp_path).count == 3


def test_names_of_eurocrops():
    austria, latvia = named("eurocrops:AT_2021"), named("eurocrops:lv_2021.zip")
    assert austria.address == "https://zenodo.org/records/14094196/files/AT_2021.zip"
    assert (austria.md5, latvia.name, latvia.md5) == ("490241df2e3d62812e572049fc0c36c5", "LV_2021", "")
    with pytest.raises(BadInput, match="Did you mean AT_2021"):
        named("eurocrops:AT_2020")
