"""The made-up country is repeatable, looks like the real archive, and is broken only where it says so."""

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import geopandas as gpd
import numpy as np
import pystac
import pytest
import rasterio
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from catalogs.bands import BANDS, NATIVE_RESOLUTION
from catalogs.errors import BadInput
from catalogs.synthetic import (
    CountrySettings,
    SceneJob,
    plan_country,
    write_catalogue,
    write_declarations,
    write_scene,
)
from catalogs.synthetic.country import Country
from catalogs.synthetic.covers import TABLE
from catalogs.synthetic.declarations import BROKEN, declare, sound_rows
from catalogs.synthetic.frames import frame_of
from catalogs.synthetic.ground import survey_ground
from catalogs.synthetic.items import ASSETS, COLLECTION
from catalogs.synthetic.outline import square
from catalogs.synthetic.passes import Processing
from catalogs.synthetic.scenes import render

SMALL = CountrySettings(size=288, dates=8)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A whole small country, made in the order of time."""
    place = tmp_path_factory.mktemp("country")
    write_declarations(SMALL, str(place))
    for job in plan_country(SMALL).jobs:
        write_scene(SMALL, job, str(place))
    write_catalogue(SMALL, str(place))
    return place


def digests(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def scene_folder(folder: Path, job: SceneJob) -> Path:
    return folder / COLLECTION / job.scene_id


def read(folder: Path, job: SceneJob, band: str) -> np.ndarray:
    with rasterio.open(scene_folder(folder, job) / f"{ASSETS[band]}.tif") as raster:
        pixels: np.ndarray = raster.read(1)
        return pixels


def properties(folder: Path, job: SceneJob) -> dict[str, object]:
    item = json.loads((scene_folder(folder, job) / f"{job.scene_id}.json").read_text())
    found: dict[str, object] = item["properties"]
    return found


def test_same_settings_make_the_same_bytes_in_any_order(folder: Path, tmp_path: Path) -> None:
    plan_country.cache_clear()
    survey_ground.cache_clear()
    for job in reversed(plan_country(SMALL).jobs):
        write_scene(SMALL, job, str(tmp_path))
    write_declarations(SMALL, str(tmp_path))
    write_catalogue(SMALL, str(tmp_path))
    assert digests(tmp_path) == digests(folder)


def test_another_seed_makes_another_country() -> None:
    one, other = (plan_country(CountrySettings(size=128, seed=seed)) for seed in (1, 2))
    assert not one.boundary.equals(other.boundary)
    assert not np.array_equal(render(one.settings, one.jobs[0])["B04"], render(other.settings, other.jobs[0])["B04"])


def test_a_finished_scene_is_left_alone_and_a_torn_one_is_made_again(folder: Path) -> None:
    job = plan_country(SMALL).jobs[0]
    band, item = (scene_folder(folder, job) / name for name in ("red.tif", f"{job.scene_id}.json"))
    whole, written = band.read_bytes(), item.stat().st_mtime_ns
    write_scene(SMALL, job, str(folder))
    assert item.stat().st_mtime_ns == written
    item.unlink()
    band.write_bytes(whole[:1000])
    with pytest.raises(BadInput, match=job.scene_id):
        write_catalogue(SMALL, str(folder))
    write_scene(SMALL, job, str(folder))
    assert band.read_bytes() == whole and item.exists()


def test_both_conventions_hold_the_same_reflectance() -> None:
    """The provider's rule gives back the same ground whichever way the numbers were stored."""
    job = plan_country(SMALL).jobs[0]
    conventions = (Processing("05.00", True), Processing("05.00", False), Processing("02.14", False))
    stored = [render(SMALL, replace(job, processing=convention)) for convention in conventions]
    assert [convention.added for convention in conventions] == [0, 1000, 0]
    for band in BANDS:
        lowest = stored[0][band] > 1  # what the provider clips at zero cannot come back
        for numbers, convention in zip(stored, conventions, strict=True):
            back = numbers[band].astype(int) - convention.added
            assert np.array_equal(back[lowest], stored[0][band].astype(int)[lowest])


def test_both_conventions_and_their_metadata_occur(folder: Path) -> None:
    kinds = set()
    for job in plan_country(SMALL).jobs:
        about = properties(folder, job)
        applied, offset = about["earthsearch:boa_offset_applied"], str(about["s2:processing_baseline"]) >= "04.00"
        kinds.add((applied, offset))
        clear = read(folder, job, "B12")[np.isin(read(folder, job, "SCL"), (4, 6))]
        assert clear.size == 0 or (np.quantile(clear, 0.01) > 1000) == (offset and not applied)
    assert kinds == {(True, True), (False, True), (False, False)}


def test_one_scene_was_processed_twice(folder: Path) -> None:
    jobs = plan_country(SMALL).jobs
    again = [job for job in jobs if job.sequence == 1]
    assert len(again) == 1
    first = next(job for job in jobs if job.datatake == again[0].datatake and job.zone == again[0].zone)
    old, new = properties(folder, first), properties(folder, again[0])
    assert str(old["s2:datatake_id"]).split("_N")[0] == str(new["s2:datatake_id"]).split("_N")[0]
    assert str(old["s2:processing_baseline"]) < str(new["s2:processing_baseline"])
    assert str(old["s2:generation_time"]) < str(new["s2:generation_time"])
    assert old["datetime"] == new["datetime"] and old["grid:code"] == new["grid:code"]
    levels = [read(folder, job, "B08").astype(float) - job.processing.added for job in (first, again[0])]
    assert 0 < np.abs(levels[1] / np.maximum(levels[0], 1) - 1)[levels[0] > 500].mean() < 0.03


def test_every_band_is_a_cog_on_the_lattice(folder: Path) -> None:
    for job in plan_country(SMALL).jobs:
        frame = frame_of(SMALL, job.zone)
        for band, name in ASSETS.items():
            with rasterio.open(scene_folder(folder, job) / f"{name}.tif") as raster:
                step = NATIVE_RESOLUTION[band]
                assert raster.crs.to_epsg() == 32600 + job.zone
                assert raster.dtypes[0] == ("uint8" if band == "SCL" else "uint16") and raster.nodata == 0
                assert raster.shape == frame.shape(step) and raster.res == (step, step)
                assert raster.bounds.left % 20 == raster.bounds.top % 20 == 0
                assert raster.block_shapes == [(256, 256)] and raster.overviews(1)
                assert raster.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"


def test_no_data_is_where_the_satellite_did_not_look(folder: Path) -> None:
    shares = []
    for job in plan_country(SMALL).jobs:
        empty = read(folder, job, "SCL") == 0
        dark = np.ones_like(empty)
        for band in BANDS:
            zero = read(folder, job, band) == 0
            factor = 20 // NATIVE_RESOLUTION[band]
            dark &= zero.reshape(empty.shape[0], factor, empty.shape[1], factor).all(axis=(1, 3))
        assert np.array_equal(empty, dark)
        shares.append(empty.mean())
        assert properties(folder, job)["s2:nodata_pixel_percentage"] == pytest.approx(100 * empty.mean(), abs=1e-5)
        assert abs(_valid_share(folder, job) - (1 - empty.mean())) < 0.02
    assert max(shares) > 0.1 and min(shares) == 0


def _valid_share(folder: Path, job: SceneJob) -> float:
    """Of the scene's rectangle, by the item's geometry."""
    item = json.loads((scene_folder(folder, job) / f"{job.scene_id}.json").read_text())
    seen = gpd.GeoSeries([shapely.geometry.shape(item["geometry"])], crs=4326).to_crs(32600 + job.zone)
    return float(seen.area.iloc[0] / shapely.box(*frame_of(SMALL, job.zone).bounds).area)


def test_pystac_reads_the_catalogue_and_finds_every_file(folder: Path) -> None:
    catalogue = pystac.Catalog.from_file(str(folder / "catalog.json"))
    items = list(catalogue.get_items(recursive=True))
    assert sorted(item.id for item in items) == sorted(job.scene_id for job in plan_country(SMALL).jobs)
    for item in items:
        assert set(item.assets) == set(ASSETS.values())
        assert all(Path(asset.get_absolute_href() or "").is_file() for asset in item.assets.values())
        assert item.geometry and item.bbox and item.datetime and item.collection_id == COLLECTION
        assert shapely.geometry.shape(item.geometry).bounds == pytest.approx(item.bbox, abs=1e-5)


def test_the_item_speaks_like_earth_search(folder: Path) -> None:
    about = properties(folder, plan_country(SMALL).jobs[0])
    assert about["proj:epsg"] == 32632 and about["grid:code"] == "MGRS-32TQT"
    assert about["platform"] in ("sentinel-2a", "sentinel-2b") and about["constellation"] == "sentinel-2"
    assert str(about["s2:product_uri"]).endswith(".SAFE") and 0 <= float(str(about["eo:cloud_cover"])) <= 100


def test_the_sky_is_cloudy_as_wished_and_the_classifier_errs_a_little() -> None:
    country = plan_country(CountrySettings(size=288))
    covers = [job.clouds for job in country.jobs if job.zone == 32 and not job.sequence]
    assert min(covers) < 0.05 and max(covers) > 0.8
    assert 0.25 < np.mean(covers) < 0.35
    half = min(country.jobs, key=lambda job: abs(job.clouds - 0.5))
    scl = render(country.settings, half)["SCL"]
    assert {3, 4, 8, 9} <= set(np.unique(scl).tolist())
    assert abs(np.isin(scl, (8, 9, 10)).mean() - half.clouds) < 0.35


@given(st.integers(64, 300), st.integers(0, 2**32), st.integers(1, 12))
@settings(max_examples=6, deadline=None)
def test_any_size_makes_a_country(size: int, seed: int, dates: int) -> None:
    country = plan_country(CountrySettings(size=size, seed=seed, dates=dates))
    assert shapely.is_valid(country.land.geometry).all() and country.boundary.is_valid
    assert shapely.box(*square(country.settings)).contains(country.boundary)
    assert {job.zone for job in country.jobs} == {32, 33}
    assert len({job.scene_id for job in country.jobs}) == len(country.jobs)
    assert _overlap(country) < 0.01
    parcels = country.land.geometry[country.land.declared]
    assert country.boundary.buffer(0.01).contains(shapely.union_all(parcels))


def _overlap(country: Country) -> float:
    """Share of the fields' area that two fields claim."""
    fields = country.land.geometry[country.land.declared]
    return float(1 - shapely.union_all(fields).area / shapely.area(fields).sum())


@given(st.integers(0, 2**32))
@settings(max_examples=3, deadline=None)
def test_all_ten_crops_have_their_share(seed: int) -> None:
    country = plan_country(CountrySettings(size=640, seed=seed))
    fields = country.land.declared
    crops = np.array([cover.crop for cover in TABLE])[country.land.cover[fields]]
    areas = shapely.area(country.land.geometry[fields])
    assert 0.65 < areas.sum() / country.boundary.area < 0.9
    for crop in range(1, 11):
        assert areas[crops == crop].sum() / country.boundary.area > 0.025
        wanted = sum(cover.share for cover in TABLE if cover.crop == crop)
        assert areas[crops == crop].sum() / areas.sum() == pytest.approx(wanted, abs=0.005)
    assert 0.5 < np.median(areas) / 1e4 < 4


def test_declarations_are_like_eurocrops(folder: Path) -> None:
    rows = gpd.read_file(folder / "parcels.gpkg")
    assert rows.crs.to_epsg() == 31287
    assert {"EC_trans_n", "EC_hcat_n", "EC_hcat_c", "EC_NUTS3", "FS_KENNUNG", "SNAR_CODE"} <= set(rows.columns)
    codes = rows["EC_hcat_c"].dropna()
    assert codes.map(type).eq(str).all() and codes.str.fullmatch(r"33\d{8}").all()
    boundary = gpd.read_file(folder / "boundary.gpkg")
    assert boundary.crs.to_epsg() == 31287 and len(boundary) == 1


def test_every_fault_is_there_as_often_as_it_says(folder: Path) -> None:
    rows = gpd.read_file(folder / "parcels.gpkg")
    country = plan_country(SMALL)
    sound = len(sound_rows(country))
    expected = {fault: max(round(share * sound), 1) for fault, share in BROKEN.items()}
    shapes = rows.geometry[~(rows.geometry.is_empty | rows.geometry.isna())]
    assert len(rows) - len(shapes) == expected["empty"]
    assert (~shapes.is_valid).sum() == expected["bow tie"]
    assert rows["EC_hcat_c"].isna().sum() == expected["null code"]
    assert (rows["EC_hcat_c"] == "3399000000").sum() == expected["unknown crop"]
    assert shapes.to_wkb().duplicated().sum() == expected["duplicate"] + expected["declared twice"]
    narrow = shapes[shapes.is_valid].map(lambda shape: shapely.maximum_inscribed_circle(shape).length < 2.0)
    assert narrow.sum() >= expected["sliver"]
    twins = rows.loc[shapes.index[shapes.to_wkb().duplicated(keep=False)]]
    crops = twins.groupby(twins.geometry.to_wkb())["EC_hcat_c"].nunique()
    assert (crops == 2).sum() == expected["declared twice"]


def test_faults_are_rare_in_a_country_of_the_usual_size() -> None:
    country = plan_country(CountrySettings(size=1280))
    sound, told = sound_rows(country), declare(country)
    same = told.iloc[: len(sound)]
    wrong = (same["EC_hcat_c"] != sound["EC_hcat_c"]) | ~same.geometry.geom_equals(sound.geometry)
    assert 0 < (wrong.sum() + len(told) - len(sound)) / len(sound) < 0.02


@pytest.mark.parametrize("wrong", [{"size": 10}, {"dates": 0}, {"clouds": 1.5}, {"year": 1999}, {"seed": -1}])
def test_impossible_countries_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(BadInput, match=next(iter(wrong))):
        CountrySettings(**wrong)  # type: ignore[arg-type]
