"""Real parcel files of many countries audited alone, against counts by plain geopandas and the mapping tables."""

import csv
import io
import json
import shutil
import zipfile
from collections import Counter
from pathlib import Path
from typing import Any

import geopandas
import py7zr
import pytest
import shapely

from catalogs.errors import BadInput
from catalogs.parcels.sources import Asked
from catalogs.root import Root
from cluster.progress import LineProgress
from pipelines import parcel_check
from pipelines.audit_fit import unfit
from pipelines.parcel_check import check_parcels

DATA = Path(__file__).parents[2] / "shared" / "data"
PARCELS, MAPPINGS = DATA / "parcels", DATA / "eurocrops" / "country_mappings"

TEN = {
    "maize": ("3301010600", "3301010699", "3301090400"),
    "wheat": ("33010101", "33010102"),
    "barley": ("33010104",),
    "rapeseed": ("33010604",),
    "sunflower": ("33010605",),
    "sugar_beet": ("33012907",),
    "potato": ("33010300",),
    "soybean": ("33011600",),
    "forage_legumes": ("33010903",),
    "grassland": ("3302", "33010901", "33010902"),
}
"""Prefixes of HCAT3 by class, written down here a second time; what is in none is background."""

SLIVER_WIDTH, PIXEL, STRAY = 5.0, 100.0, 1_000_000.0


@pytest.fixture(autouse=True)
def real_files() -> None:
    if not PARCELS.exists():
        pytest.skip("the real parcel files are not here")


def of_hcat(code: str | None) -> str:
    if not code or code.startswith("3399") or code == "3000000000":
        return "ignore"
    found = [(len(prefix), name) for name, prefixes in TEN.items() for prefix in prefixes if code.startswith(prefix)]
    return max(found)[1] if found else "background"


def table_of(path: Path, key: str) -> dict[str, str]:
    """original_code or original_name -> HCAT3 code, as the table says."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        return {row[key].strip(): row["HCAT3_code"].strip() for row in csv.DictReader(file) if row.get(key)}


def usable(frame: geopandas.GeoDataFrame) -> geopandas.GeoDataFrame:
    """Without outlines that are no ground, span too far or are slivers, by the documented limits."""
    frame = frame[frame.geometry.notna() & ~frame.geometry.is_empty].to_crs(3035)
    shapes = frame.geometry.make_valid()
    parts = shapes.explode(index_parts=False)
    span = parts.bounds.eval("maxx - minx").clip(lower=parts.bounds.eval("maxy - miny")).groupby(level=0).max()
    sliver = (2 * shapes.area / shapes.length < SLIVER_WIDTH) & (shapes.area < PIXEL)
    return frame[(span.reindex(frame.index) <= STRAY) & ~sliver & (shapes.area > 0)]


def plain(value: Any) -> str:
    text = str(value).strip()
    return text[:-2] if text.endswith(".0") else text


def counts_by_code(frame: geopandas.GeoDataFrame, column: str, table: dict[str, str]) -> Counter[str]:
    padded = {code.lstrip("0") or "0": hcat for code, hcat in table.items()}
    codes = (plain(value) for value in frame[column])
    return Counter(of_hcat(table.get(code) or padded.get(code.lstrip("0") or "0")) for code in codes)


def audited(out: Path, file: Path, source: str, country: str, mapping: Path | None, **asked: Any) -> dict[str, Any]:
    progress = LineProgress(io.StringIO())
    return check_parcels(file, out, Asked(source, **asked), country, mapping, None, progress)


def check_totals(figures: dict[str, Any], out: Path) -> Counter[str]:
    """Totals add up, and page and JSON are there; parcels by class."""
    totals = figures["totals"]
    assert totals["read"] == totals["kept"] + totals["dropped"] and totals["dropped"] == sum(
        totals["dropped_by"].values()
    )
    for rows in (figures["classes"], figures["codes"], figures["status"].values()):
        assert sum(row["parcels"] for row in rows) == totals["kept"]
    assert json.loads((out / "labels/audit.json").read_text())["totals"] == totals
    assert (out / "labels/index.html").read_text().startswith("<!doctype html>")
    return Counter({row["name"]: row["parcels"] for row in figures["classes"] if row["parcels"]})


def only(folder: str, pattern: str) -> Path:
    return next((PARCELS / folder).glob(pattern))


NATIONAL = {
    "AT": ("at", "*.zip", "SNAR_CODE", "at/at_2021.csv"),
    "BE_VLG": ("be_vlg", "*.zip", "GWSCOD_H", "be_vlg/be_vlg_2021.csv"),
    "DK": ("dk", "*.zip", "Afgkode", "dk/dk_2019.csv"),
    "NL": ("nl", "*.gpkg", "gewascode", "../eurocrops/country_mappings/nl_2020.csv"),
    "FI": ("fi", "*.gpkg", "KASVIKOODI", "../eurocrops/country_mappings/fi_2020.csv"),
    "FR": (".", "rpg_parcels_EPSG2154.gpkg", "code_cultu", "fr/fr_2018.csv"),
}


@pytest.mark.parametrize("country", NATIONAL)
def test_counts_of_national_files_are_those_of_plain_geopandas(country: str, tmp_path: Path) -> None:
    folder, pattern, column, mapping = NATIONAL[country]
    file = only(folder, pattern)
    figures = audited(tmp_path, file, "national", country, PARCELS / mapping)
    frame = geopandas.read_file(file)
    column = next(name for name in frame.columns if name.casefold() == column.casefold())
    expected = counts_by_code(usable(frame), column, table_of(PARCELS / mapping, "original_code"))
    assert check_totals(figures, tmp_path) == expected
    assert figures["totals"]["read"] == len(frame)
    areas = usable(frame).geometry.make_valid().area.sum() / 1e4
    assert figures["totals"]["hectares"] == pytest.approx(areas, rel=1e-4)
    assert unfit(figures) is None and figures["verdict"]["fit"]


def test_france_in_an_archive_of_7z(tmp_path: Path) -> None:
    file, mapping = only("fr", "*.7z.001"), PARCELS / "fr/fr_2018.csv"
    figures = audited(tmp_path / "out", file, "national", "FR", mapping)
    shutil.copy(file, tmp_path / "whole.7z")
    with py7zr.SevenZipFile(tmp_path / "whole.7z") as archive:
        archive.extractall(tmp_path / "plain")
    frame = geopandas.read_file(next((tmp_path / "plain").rglob("*.gpkg")))
    column = next(name for name in frame.columns if name.casefold().startswith("code_cultu"))
    expected = counts_by_code(usable(frame), column, table_of(mapping, "original_code"))
    assert check_totals(figures, tmp_path / "out") == expected


def test_wallonia_is_read_by_the_names_of_its_crops(tmp_path: Path) -> None:
    mapping = PARCELS / "be_wal/be_wal_all_years.csv"
    figures = audited(tmp_path, only("be_wal", "*.zip"), "national", "BE_WAL", mapping)
    frame = usable(geopandas.read_file(only("be_wal", "*.zip"), layer="ExistingLandUseObject"))
    table = table_of(mapping, "original_name")
    names = [text.rsplit(" - ", 1)[-1].strip() for text in frame["description"]]
    assert check_totals(figures, tmp_path) == Counter(of_hcat(table.get(name)) for name in names)


@pytest.mark.parametrize(("folder", "country", "fit"), [("ec_lv", "LV", True), ("ec_ro", "RO", False)])
def test_eurocrops_files_are_counted_by_their_codes(folder: str, country: str, fit: bool, tmp_path: Path) -> None:
    figures = audited(tmp_path, only(folder, "*.zip"), "eurocrops", country, None)
    with zipfile.ZipFile(only(folder, "*.zip")) as archive:
        archive.extractall(tmp_path / "plain")
    frame = usable(geopandas.read_file(next((tmp_path / "plain").rglob("*.shp"))))
    assert check_totals(figures, tmp_path) == Counter(of_hcat(code) for code in frame["EC_hcat_c"])
    assert figures["verdict"]["fit"] == fit


def test_romania_is_audited_and_refused_for_what_it_says(tmp_path: Path) -> None:
    mapping = PARCELS / "ec_ro/ro_no_year.csv"
    figures = audited(tmp_path, only("ec_ro", "*.zip"), "eurocrops", "RO", mapping)
    refusal = unfit(figures)
    assert isinstance(refusal, BadInput) and "tells land use, not crops" in refusal.why
    assert "Arable land" in refusal.why and "0 have a crop of the classes" in refusal.why
    assert figures["declared"]["unit"] == "square metres"  # the column is called AREA_HA
    assert figures["classes"][10]["parcels"] == 3 and "cannot teach" in (tmp_path / "labels/index.html").read_text()


def test_eurocrops_v2_is_read_with_its_table(tmp_path: Path) -> None:
    file, table = DATA / "eurocropsv2/it_1/iti1_2023.parquet", DATA / "eurocropsv2/eurocrops.csv"
    figures = audited(tmp_path, file, "eurocrops-v2", "ITI1", table)
    frame = geopandas.read_parquet(file)
    assert sum(check_totals(figures, tmp_path).values()) == len(usable(frame))
    with table.open(encoding="utf-8-sig", newline="") as rows:
        hcat = {
            row["original_code"]: row["hcat4_code"] for row in csv.DictReader(rows) if row["nuts"].lower() == "iti1"
        }
    wheat = sum(str(hcat.get(code, "")).startswith(("33101010", "33101020")) for code in usable(frame)["original_code"])
    assert next(row for row in figures["classes"] if row["name"] == "wheat")["parcels"] == wheat > 0


def test_planted_duplicates_and_overlaps_are_found(tmp_path: Path) -> None:
    frame = geopandas.read_file(PARCELS / "rpg_parcels_EPSG2154.gpkg")
    before = audited(
        tmp_path / "before", PARCELS / "rpg_parcels_EPSG2154.gpkg", "national", "FR", PARCELS / "fr/fr_2018.csv"
    )
    maize = frame[frame["code_cultu"] == "MIS"].iloc[:3]
    again = maize.iloc[:1]
    turned = maize.iloc[1:2].set_geometry(shapely.reverse(maize.geometry.iloc[1:2].to_numpy())).assign(code_cultu="BTH")
    moved = maize.iloc[2:3].assign(code_cultu="PPH")
    moved = moved.set_geometry(moved.translate(3000, 3000))
    beside = moved.set_geometry(moved.translate(20, 0)).assign(code_cultu="BTH")
    planted = geopandas.pd.concat([frame, again, turned, moved, beside], ignore_index=True)
    planted.set_crs(2154).to_file(tmp_path / "planted.gpkg", engine="pyogrio")
    figures = audited(tmp_path / "after", tmp_path / "planted.gpkg", "national", "FR", PARCELS / "fr/fr_2018.csv")
    count = len(frame)
    same, other = (figures["duplicates"][kind]["examples"] for kind in ("same_crop", "other_crop"))
    assert same == [[int(maize.index[0]) + 1, count + 1]] and other == [[int(maize.index[1]) + 1, count + 2]]
    pairs = {tuple(row["classes"]): (row["pairs"], row["hectares"]) for row in figures["overlaps"]}
    known = {tuple(row["classes"]): (row["pairs"], row["hectares"]) for row in before["overlaps"]}
    shared = moved.to_crs(3035).geometry.iloc[0].intersection(beside.to_crs(3035).geometry.iloc[0]).area / 1e4
    assert pairs[2, 10] == (1, pytest.approx(shared, rel=1e-3)) and (2, 10) not in known
    grown = frame[frame["code_cultu"].isin(["MIS", "MIE"])].to_crs(3035).geometry
    met = grown.intersection(turned.to_crs(3035).geometry.iloc[0]).area
    pairs_before, area_before = known.get((1, 2), (0, 0.0))
    assert pairs[1, 2][0] == pairs_before + (met > 1).sum() >= 1
    assert pairs[1, 2][1] == pytest.approx(area_before + met[met > 1].sum() / 1e4, rel=1e-3)


def test_a_wrong_file_leaves_nothing_that_looks_like_an_audit(tmp_path: Path) -> None:
    (tmp_path / "text.gpkg").write_text("not a vector file")
    with pytest.raises(BadInput):
        audited(tmp_path / "out", tmp_path / "text.gpkg", "eurocrops", "AT", None)
    assert not (tmp_path / "out/labels").exists()


RPG = (PARCELS / "rpg_parcels_EPSG2154.gpkg", "national", "FR", PARCELS / "fr/fr_2018.csv")


def test_wrong_words_are_refused_before_the_file_is_opened(tmp_path: Path) -> None:
    file, kind, country, mapping = tmp_path / "none.gpkg", *RPG[1:]
    with pytest.raises(BadInput, match="eurocrops or eurocrops-v2 or national"):
        audited(tmp_path / "out", file, "euro", country, mapping)
    with pytest.raises(BadInput, match="Files are known of AT, BE_VLG"):
        audited(tmp_path / "out", file, kind, "France", mapping)
    (tmp_path / "mapping.csv").write_text("crop,class\n")
    with pytest.raises(BadInput, match="formats are"):
        audited(tmp_path / "out", file, kind, country, tmp_path / "mapping.csv")
    assert not (tmp_path / "out").exists()


def test_a_folder_of_another_file_is_refused_with_what_helps(tmp_path: Path) -> None:
    figures = audited(tmp_path / "out", RPG[0], RPG[1], "fr", RPG[3])
    assert figures["country"] == "FR"
    file, mapping = only("ec_lv", "*.zip"), None
    with pytest.raises(BadInput, match="planned differently.*Choose another --out, or remove"):
        audited(tmp_path / "out", file, "eurocrops", "LV", mapping)


def test_overlaps_of_many_squares_are_those_of_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = audited(tmp_path / "whole", *RPG)
    root = Root(str(tmp_path / "whole"))
    monkeypatch.setattr(parcel_check, "SQUARE", 2000.0)
    monkeypatch.setattr(parcel_check, "FARTHEST", 2500)
    squares = parcel_check._squares(root)
    pairs = sum(row[2] for square in squares for row in parcel_check.square_overlaps(root, square))
    assert len(squares) > 3 and pairs == sum(row["pairs"] for row in whole["overlaps"]) > 0


def test_the_squares_of_a_parcel_as_large_as_a_country_are_those_of_its_neighbours(tmp_path: Path) -> None:
    shapes = [shapely.box(4e6, 2e6, 4.9e6, 2.9e6), shapely.box(4.1e6, 2.1e6, 4.1e6 + 100, 2.1e6 + 100)]
    frame = geopandas.GeoDataFrame({"EC_hcat_c": ["3301010600"] * 2}, geometry=shapes, crs=3035)
    frame.to_file(tmp_path / "wide.gpkg")
    audited(tmp_path / "out", tmp_path / "wide.gpkg", "eurocrops", "", None)
    assert parcel_check._squares(Root(str(tmp_path / "out"))) == [(400, 205)]
