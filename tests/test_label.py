"""From a parcel file to labels: right by an independent count, the same whoever does it, whole or absent."""

import csv
import io
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pytest
import rasterio.features
import shapely
from conftest import PROJECT, TINY
from shapely.affinity import translate

from catalogs import burnt_parcels, crops
from catalogs.burnt_parcels import overlaps, tell
from catalogs.errors import BadInput
from catalogs.grid import Grid
from catalogs.parcels.crosswalks import open_crosswalk
from catalogs.parcels.sources import Asked, open_source
from catalogs.parcels.table import Parcels, part_key, part_numbers, read_columns, read_parcels
from catalogs.parcels.table_plan import table_description
from catalogs.rasterise import Rule, rasterise
from catalogs.root import Root
from catalogs.stores import Store
from catalogs.synthetic import write_declarations
from catalogs.taxonomy import ten_crops
from cluster.kept import kept
from cluster.progress import LineProgress
from pipelines import harmonise as harmonising
from pipelines.harmonise import Harmonising, begin_table, fill_table, harmonise, harmonise_part
from pipelines.label import burn
from pipelines.label_plan import describe_labels, rule_of
from pipelines.labelling import Labelling, label_tile
from pipelines.plan import Plan, make_plan
from pipelines.project import parse_project

DATA = Path(__file__).parents[2] / "shared" / "data"
PARCELS, MAPPINGS = DATA / "parcels", DATA / "eurocrops" / "country_mappings"
PATIENCE = 120


def quiet() -> LineProgress:
    return LineProgress(io.StringIO())


# real files

FILES: dict[str, tuple[str, str, str | None, str]] = {
    "AT": ("at/inspire_schlaege_2025-1_polygon.gpkg.zip", "national", "at_2021.csv", "SNAR_CODE"),
    "BE_VLG": (
        "be_vlg/Landbouwgebruikspercelen_2023_-_Definitief_(extractie_28-03-2024)_GPKG.zip",
        "national",
        "be_vlg_2021.csv",
        "GWSCOD_H",
    ),
    "DK": ("dk/Marker_2026.zip", "national", "dk_2019.csv", "Afgkode"),
    "LV": ("ec_lv/LV_2021.zip", "eurocrops", None, "EC_hcat_c"),
    "RO": ("ec_ro/RO_ny.zip", "eurocrops", None, "EC_hcat_c"),
    "FR": ("rpg_parcels_EPSG2154.gpkg", "national", "fr_2018.csv", "code_cultu"),
    "NL": ("nl/brpgewaspercelen_definitief_2023.gpkg", "national", "nl_2020.csv", "gewascode"),
}
"""A country's file, its kind, its mapping, and the column of the code as plain geopandas sees it."""

ELSEWHERE = {
    "BE_WAL": ("be_wal/LU_ExistingLandUse_SIGEC2022.gml.zip", "national", "be_wal_all_years.csv", 10),
    "FI": ("fi/LandUse.ExistingLandUse.GSAAAgriculturalParcel.gpkg", "national", "fi_2020.csv", 100),
    "FR": ("fr/RPG_2-0__GPKG_LAMB93_FXX_2022-01-01.7z.001", "national", "fr_2018.csv", 100),
    "ITI1": ("../eurocropsv2/it_1/iti1_2023.parquet", "eurocrops-v2", "../../eurocropsv2/eurocrops.csv", 100),
}
"""Files whose crops plain geopandas does not see in a column; only that every parcel is accounted for."""


def real(path: Path) -> Path:
    if not path.exists():
        pytest.skip(f"{path} is not on this machine")
    return path


def job_of(country: str, file: str, kind: str, mapping: str | None, folder: Path) -> Harmonising:
    source = open_source(real(PARCELS / file), Asked(kind), folder / "scratch")
    crosswalk = open_crosswalk(kind, real(MAPPINGS / mapping) if mapping else None, ten_crops(), country)
    return Harmonising(Root(str(folder / "root")), source, crosswalk, "EPSG:3035", None, None)


def plain(code: object) -> str:
    return str(int(code)) if isinstance(code, float) and code.is_integer() else str(code)


def independent_classes(frame: gpd.GeoDataFrame, column: str, mapping: str | None) -> np.ndarray:
    """By the tables alone: native code to HCAT code to class."""
    with real(DATA / "derived" / "taxonomy10_hcat3.csv").open(newline="") as file:
        of_hcat = {row["hcat3_code"]: int(row["class_id"]) for row in csv.DictReader(file)}
    codes = [plain(code) for code in frame[column]]
    if mapping:
        with (MAPPINGS / mapping).open(newline="", encoding="utf-8-sig") as file:
            of_native = {row["original_code"].strip(): row["HCAT3_code"] for row in csv.DictReader(file)}
        codes = [of_native.get(code, "") for code in codes]
    unknown = {"", "3399000000", "3390000000", "3300000000", "3000000000"}
    return np.array([255 if code in unknown else of_hcat.get(code, 0) for code in codes])


@pytest.mark.parametrize("country", FILES)
def test_classes_and_pixels_of_a_real_file_are_those_of_an_independent_count(country, tmp_path):
    file, kind, mapping, column = FILES[country]
    job = job_of(country, file, kind, mapping, tmp_path)
    record = harmonise_part(job, 0)
    frame = gpd.read_file(job.source.opens_as, layer=job.source.layer).to_crs(3035)
    classes = independent_classes(frame, column, mapping)
    perimeter = frame.length.to_numpy()
    sliver = (frame.area.to_numpy() < 100) & (2 * frame.area.to_numpy() / perimeter < 5)
    assert record["read"] == len(frame) == record["kept"] + sum(record["dropped"].values())
    assert record["dropped"]["sliver"] == sliver.sum() and sum(record["dropped"].values()) == sliver.sum()
    counted: Counter[int] = Counter()
    for *_, number, _, parcels, _ in record["codes"]:
        counted[number] += parcels
    assert counted == Counter(classes[~sliver].tolist())
    table = next(read_columns(job.root, ["parcel", "hectares"])).sort_by("parcel")
    np.testing.assert_allclose(table["hectares"].to_numpy(), frame.area[~sliver] / 1e4, rtol=1e-6)
    check_pixels(job, frame[~sliver], classes[~sliver], np.flatnonzero(~sliver) + 1)


def check_pixels(job: Harmonising, frame: gpd.GeoDataFrame, classes: np.ndarray, ids: np.ndarray) -> None:
    """Around its middle parcel, every pixel is what rasterio's masks of single parcels say."""
    shapes = shapely.make_valid(frame.geometry.to_numpy())
    x, y = shapely.get_coordinates(shapely.centroid(shapes[len(shapes) // 2]))[0]
    grid = Grid.around((x - 600, y - 600, x + 600, y + 600), "EPSG:3035", 10, 64)
    held = np.zeros((len(shapes), *grid.shape), dtype=bool)
    for i in np.flatnonzero(shapely.intersects(shapes, shapely.box(*grid.bounds(grid_window(grid))))):
        held[i] = rasterio.features.rasterize([shapes[i]], grid.shape, transform=grid.transform) == 1
    crop = np.full(grid.shape, 254)
    for number in np.unique(classes):
        here = held[classes == number].any(axis=0)
        crop = np.where(here, np.where(crop == 254, number, 255), crop)
    found = np.full(grid.shape, 99, dtype=np.uint8)
    for tile in grid.tiles():
        window = grid.window(tile)
        parcels = read_parcels(job.root, grid.bounds(window), grid.crs)
        found[window.slices], _ = rasterise(parcels, grid, window, 0)
    np.testing.assert_array_equal(found, np.where(crop == 254, 0, crop))
    assert held.any()


def grid_window(grid: Grid) -> Any:
    return replace(grid.window(grid.first), height=grid.shape[0], width=grid.shape[1])


@pytest.mark.parametrize("country", ELSEWHERE)
def test_every_parcel_of_the_other_files_is_accounted_for(country, tmp_path):
    *words, count = ELSEWHERE[country]
    record = harmonise_part(job_of(country, *words, tmp_path), 0)
    assert record["read"] == count == record["kept"] + sum(record["dropped"].values())
    assert record["kept"] == sum(parcels for *_, parcels, _ in record["codes"])
    assert sum(parcels for *_, number, _, parcels, _ in record["codes"] if 1 <= number <= 10) >= 0.2 * count


# a made-up country


@pytest.fixture(scope="module")
def country(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("declared")
    write_declarations(TINY, str(folder))
    return folder


def plan_of(country: Path, root: Path, labels: str = "", **replaced: str) -> Plan:
    text = PROJECT.format(catalog=country, root=root).replace("[patches]", f"{labels}\n\n[patches]")
    for old, new in replaced.items():
        assert old in text
        text = text.replace(old, new)
    return make_plan(parse_project(text, root.parent / "project.toml"))


def source_job(country: Path, root: Path, part: int = 40) -> Harmonising:
    plan = plan_of(country, root)
    source = open_source(country / "parcels.gpkg", Asked(), root / "scratch")
    return Harmonising(plan.root, source, plan.crosswalk, plan.grid.crs, plan.region, None, part)


def bytes_of(root: Root, folder: str) -> dict[str, bytes]:
    return {key: root.read(key) for key in root.keys(folder)}


@pytest.fixture(scope="module")
def undisturbed(country: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The table as one process makes it, with no cluster."""
    job = source_job(country, tmp_path_factory.mktemp("undisturbed") / "root")
    assert len(job.parts) >= 4
    for number in job.parts:
        harmonise_part(job, number)
    return {key: data for key, data in bytes_of(job.root, "parcels").items() if key.endswith(".parquet")}


@pytest.mark.slow
def test_a_table_is_the_same_whoever_makes_it_and_resumes_what_is_missing(country, undisturbed, tmp_path):
    for workers in (1, 2):
        job = source_job(country, tmp_path / f"by-{workers}")
        with kept():
            records = fill_table(job, {"made": "so"}, workers, quiet())
            assert bytes_of(job.root, "parcels").items() >= undisturbed.items()
            assert sum(record["read"] for record in records) == job.source.count
            lost, forgotten = 1, 2
            job.root.remove(part_key(lost))
            job.root.remove(f"ledger/parcels/done/part-{forgotten:05d}.json")
            Path(job.root.path("parcels/part-00001.parquet.0a.partial")).write_bytes(b"cut")
            kept_before = os.stat(job.root.path(part_key(0))).st_mtime_ns
            again = fill_table(job, {"made": "so"}, workers, quiet())
        assert without_seconds(again) == without_seconds(records)
        assert bytes_of(job.root, "parcels").items() >= undisturbed.items()
        assert os.stat(job.root.path(part_key(0))).st_mtime_ns == kept_before
        assert not list(Path(job.root.url).rglob("*.partial"))


def test_a_single_part_is_worth_no_workers(country, tmp_path, monkeypatch):
    job = replace(source_job(country, tmp_path / "root"), part=10**6)
    monkeypatch.setattr("pipelines.harmonise.item_workers", lambda *_: pytest.fail("workers were started"))
    (record,) = fill_table(job, {"made": "so"}, 2, quiet())
    assert record["read"] == job.source.count
    nowhere = replace(job, root=Root(str(tmp_path / "other")), source=replace(job.source, opens_as="nowhere.gpkg"))
    with pytest.raises(BadInput, match="nowhere.gpkg|parcel file"):
        fill_table(nowhere, {"made": "so"}, 2, quiet())


def without_seconds(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{key: value for key, value in record.items() if key != "seconds"} for record in records]


KILLED = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[3])
from test_label import fill_table, quiet, source_job
if __name__ == "__main__":
    fill_table(source_job(Path(sys.argv[1]), Path(sys.argv[2])), {"made": "so"}, 1, quiet())
"""


@pytest.mark.slow
def test_a_killed_run_leaves_nothing_half_made(country, undisturbed, tmp_path):
    (tmp_path / "killed.py").write_text(KILLED)
    command = [sys.executable, "killed.py", str(country), str(tmp_path / "root"), str(Path(__file__).parent)]
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])}
    process = subprocess.Popen(command, cwd=tmp_path, env=environment, start_new_session=True)
    done, deadline = tmp_path / "root" / "ledger" / "parcels" / "done", time.monotonic() + PATIENCE
    while not (done.exists() and any(done.glob("*.json"))):
        assert process.poll() is None and time.monotonic() < deadline
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    job = source_job(country, tmp_path / "root")
    finished = {key: data for key, data in bytes_of(job.root, "parcels").items() if key.endswith(".parquet")}
    assert undisturbed.items() >= finished.items(), "what is there is whole"
    fill_table(job, {"made": "so"}, 1, quiet())
    assert bytes_of(job.root, "parcels").items() >= undisturbed.items()


def test_a_table_of_another_ground_is_refused(country, tmp_path):
    harmonise(plan_of(country, tmp_path / "root"), quiet())
    before = bytes_of(Root(str(tmp_path / "root")), "parcels")
    elsewhere = plan_of(country, tmp_path / "root", **{"EPSG:31287": "EPSG:3035"})
    with pytest.raises(BadInput, match=r"planned differently \(crs: the store has .*EPSG:31287.*EPSG:3035"):
        harmonise(elsewhere, quiet())
    assert bytes_of(Root(str(tmp_path / "root")), "parcels") == before


def test_a_plan_of_which_nothing_was_made_binds_nobody(tmp_path):
    root = Root(str(tmp_path))
    begin_table(root, {"made": "so"})
    begin_table(root, {"made": "otherwise"})
    assert table_description(root) == {"made": "otherwise"}
    root.write(part_key(0), b"a part")
    with pytest.raises(BadInput, match="planned differently"):
        begin_table(root, {"made": "so"})


def test_a_wrong_mapping_is_told_before_the_file_is_looked_for(country, tmp_path):
    none = {"parcels.gpkg": "none.gpkg"}
    plan = plan_of(country, tmp_path / "root", 'mapping = "mapping.csv"', **none)
    (tmp_path / "mapping.csv").write_text("crop,class\n")
    with pytest.raises(BadInput, match="formats are"):
        harmonise(plan, quiet())


def test_parts_that_nobody_planned_are_left_alone(country, tmp_path):
    plan = plan_of(country, tmp_path / "root")
    plan.root.write(part_key(0), b"somebody's own")
    with pytest.raises(BadInput, match="nothing says of which"):
        harmonise(plan, quiet())
    assert plan.root.read(part_key(0)) == b"somebody's own"


def test_another_year_is_left_out_and_counted(country, tmp_path):
    job = source_job(country, tmp_path / "root", part=10_000)
    frame = gpd.read_file(country / "parcels.gpkg")
    frame["year"] = np.where(np.arange(len(frame)) % 4 == 0, 2020, 2021)
    frame.to_file(tmp_path / "years.gpkg")
    source = open_source(tmp_path / "years.gpkg", Asked(), tmp_path / "scratch")
    record = harmonise_part(replace(job, source=source, year=2021), 0)
    assert record["dropped"]["other_year"] == -(-len(frame) // 4)
    assert record["years"] == {"2021": record["kept"]}
    assert record["dropped_parcels"]["other_year"][:3] == [1, 5, 9]
    assert record["read"] == record["kept"] + sum(record["dropped"].values())


def test_parcels_outside_the_region_are_told_and_kept(country, tmp_path):
    job = source_job(country, tmp_path / "root", part=10_000)
    left, bottom, right, top = job.region.bounds
    half = shapely.intersection(job.region, shapely.box(left, bottom, (left + right) / 2, top))
    record = harmonise_part(replace(job, region=half), 0)
    table = next(read_columns(job.root, ["inside", "hectares"]))
    abroad = ~table["inside"].to_numpy()
    assert record["outside"] == [abroad.sum(), pytest.approx(table["hectares"].to_numpy()[abroad].sum(), abs=1e-3)]
    assert 0.3 < abroad.mean() < 0.7


# labels


@pytest.fixture(scope="module")
def harmonised(country: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A root with the table of the country; tests make their labels from links to it."""
    root = tmp_path_factory.mktemp("harmonised") / "root"
    harmonise(plan_of(country, root), quiet())
    return root


def labelled(country: Path, harmonised: Path, folder: Path, labels: str = "", **replaced: str) -> Plan:
    """Labels made tile by tile in this process."""
    plan = plan_of(country, folder / "root", labels, **replaced)
    Path(plan.root.url).mkdir(parents=True)
    Path(plan.root.path("parcels")).symlink_to(harmonised / "parcels")
    store = Store(plan.root, crops.LABELS)
    store.begin(crops.label_layouts(plan.grid, plan.taxonomy), {}, describe_labels(plan))
    outside = {"background": 0, "ignore": 255}[plan.project.labels.outside]
    job = Labelling(plan.root, plan.grid, plan.region, outside, rule_of(plan))
    for tile in plan.tiles:
        label_tile(job, tile)
    return plan


def records_of(plan: Plan) -> dict[str, dict[str, Any]]:
    ledger = Store(plan.root, crops.LABELS).ledger
    return {str(tile): ledger.record(str(tile)) for tile in plan.tiles}


def everything(plan: Plan) -> Any:
    left, bottom, right, top = plan.grid.bounds(grid_window(plan.grid))
    return read_parcels(plan.root, (left - 1e5, bottom - 1e5, right + 1e5, top + 1e5), plan.grid.crs)


def test_every_large_parcel_has_a_pixel_or_is_named(country, harmonised, tmp_path):
    plan = labelled(country, harmonised, tmp_path)
    records, parcels = records_of(plan).values(), everything(plan)
    burnt = np.unique(Store(plan.root, crops.LABELS).read("parcel"))
    large = parcels.ids[shapely.area(parcels.geometries) > 100]
    without = {number for record in records for number in record["without_pixel"]}
    across = {number for record in records for number in record["across"]}
    assert set(large) - set(burnt) == without - across
    assert across <= set(burnt) and without & set(burnt) <= across
    assert len(across) > 10 and without - across
    boxes = shapely.bounds(parcels.geometries)
    for tile in plan.tiles:
        left, bottom, right, top = plan.grid.bounds(plan.grid.window(tile))
        inner = (boxes[:, :2] >= [left, bottom]).all(axis=1) & (boxes[:, 2:] <= [right, top]).all(axis=1)
        assert not set(records_of(plan)[str(tile)]["across"]) & set(parcels.ids[inner])


def test_overlaps_are_counted_once_and_right(country, harmonised, tmp_path):
    plan = labelled(country, harmonised, tmp_path)
    parcels = everything(plan)
    one, other = parcels.tree.query(parcels.geometries, predicate="intersects")
    one, other = one[one < other], other[one < other]
    area = shapely.area(shapely.intersection(parcels.geometries[one], parcels.geometries[other]))
    expected: dict[tuple[int, int], list[float]] = {}
    for a, b, ground in zip(parcels.classes[one], parcels.classes[other], area, strict=True):
        if ground >= 1:
            entry = expected.setdefault((min(a, b), max(a, b)), [0, 0.0])
            entry[0] += 1
            entry[1] += ground / 1e4
    found: dict[tuple[int, int], list[float]] = {}
    for record in records_of(plan).values():
        for a, b, pairs, ground in record["overlaps"]:
            entry = found.setdefault((a, b), [0, 0.0])
            entry[0] += pairs
            entry[1] += ground
    assert {kind: entry[0] for kind, entry in found.items()} == {kind: entry[0] for kind, entry in expected.items()}
    for kind, entry in expected.items():
        assert found[kind][1] == pytest.approx(entry[1], abs=1e-3)
    assert len(expected) >= 2 and any(a == b for a, b in expected) and any(a != b for a, b in expected)


def test_neighbours_do_not_overlap_however_their_corners_are_rounded(country, harmonised):
    parcels = read_parcels(Root(str(harmonised)), (-1e7, -1e7, 1e7, 1e7), "EPSG:31287")
    bounds = tuple(shapely.total_bounds(parcels.geometries) + [-1, -1, 1, 1])
    one, other = parcels.tree.query(parcels.geometries, predicate="touches")
    moves = np.random.default_rng(0).normal(0, 1e-7, (len(parcels), 2))
    moved = [translate(shape, *move) for shape, move in zip(parcels.geometries, moves, strict=True)]
    rounded = replace(parcels, geometries=np.array(moved, dtype=object))
    assert shapely.overlaps(rounded.geometries[one], rounded.geometries[other]).sum() > 100
    assert overlaps(parcels, bounds) == overlaps(rounded, bounds) != []
    told = tell(parcels, np.zeros((2, 2), np.uint32), bounds, 10)
    assert told["parcels"] == len(parcels) and told["across"] == []


def test_outlines_that_many_share_count_for_every_pair(monkeypatch):
    """Two stacks that overlap, one of them with rings that begin elsewhere, a hole that none shares, and a stranger."""
    monkeypatch.setattr(burnt_parcels, "ASKED", 3)
    monkeypatch.setattr(burnt_parcels, "SLICE", 2)
    square = shapely.box(0, 0, 100, 100)
    ring = shapely.get_coordinates(square)[:-1]
    turned = [shapely.Polygon(np.roll(ring, number % 4, axis=0)) for number in range(5)]
    holed = shapely.difference(square, shapely.box(40, 40, 60, 60))
    shapes = [*turned, *[translate(square, 50, 0)] * 4, holed, translate(square, 90, 90), translate(square, 5000, 0)]
    classes = np.array([1, 2, 1, 255, 1, 2, 2, 1, 7, 1, 7, 7], np.uint8)
    parcels = Parcels("EPSG:3035", np.array(shapes, object), classes, np.arange(1, 13, dtype=np.uint32))
    expected: dict[tuple[int, int], list[float]] = {}
    for a, b in combinations(range(len(shapes)), 2):
        if (area := shapes[a].intersection(shapes[b]).area) >= 1:
            entry = expected.setdefault(tuple(sorted((int(classes[a]), int(classes[b])))), [0, 0.0])
            entry[0], entry[1] = entry[0] + 1, entry[1] + area / 1e4
    everywhere = (-np.inf, -np.inf, np.inf, np.inf)
    assert overlaps(parcels, everywhere) == [[*k, n, round(area, 4)] for k, (n, area) in sorted(expected.items())]
    halves = [overlaps(parcels, bounds) for bounds in ((-np.inf, -np.inf, 50, np.inf), (50, -np.inf, np.inf, np.inf))]
    assert sum(row[2] for half in halves for row in half) == sum(n for n, _ in expected.values())


def test_an_outline_of_a_hundred_thousand_parcels_is_intersected_once():
    shapes = np.full(100_000, shapely.box(0, 0, 100, 100), dtype=object)
    parcels = Parcels("EPSG:3035", shapes, np.ones(100_000, np.uint8), np.arange(1, 100_001, dtype=np.uint32))
    pairs = 100_000 * 99_999 // 2
    assert overlaps(parcels, (-np.inf, -np.inf, np.inf, np.inf)) == [[1, 1, pairs, float(pairs)]]


@pytest.mark.slow
def test_workers_write_the_bytes_that_this_process_writes_and_resume(country, harmonised, tmp_path):
    mine = labelled(country, harmonised, tmp_path / "mine")
    theirs = plan_of(country, tmp_path / "theirs" / "root")
    Path(theirs.root.url).mkdir(parents=True)
    Path(theirs.root.path("parcels")).symlink_to(harmonised / "parcels")
    with kept():
        burn(theirs, quiet())
        shards = {k.split("/c/")[1]: v for k, v in bytes_of(theirs.root, f"{crops.LABELS}/parcel/c").items()}
        assert shards == {k.split("/c/")[1]: v for k, v in bytes_of(mine.root, f"{crops.LABELS}/parcel/c").items()}
        before = bytes_of(theirs.root, crops.LABELS)
        tile = str(theirs.tiles[0])
        theirs.root.remove(f"ledger/{crops.LABELS}/done/{tile}.json")
        theirs.root.remove(f"{crops.LABELS}/crop/c/0/1")
        burn(theirs, quiet())
    assert bytes_of(theirs.root, crops.LABELS) == before


OPTIONS = {
    "as it is": "",
    "touched": 'rule = "touched"',
    "share": 'rule = "share"',
    "much": 'rule = "share"\nmin_share = 0.9',
    "inward": "inward = 12.0",
    "outside": "",
}


def test_every_option_changes_the_labels_and_what_they_are_described_by(country, harmonised, tmp_path):
    pixels, described = {}, {}
    for name, labels in OPTIONS.items():
        replaced = {'outside = "background"': 'outside = "ignore"'} if name == "outside" else {}
        plan = labelled(country, harmonised, tmp_path / name, labels, **replaced)
        pixels[name] = Store(plan.root, crops.LABELS).read("crop").tobytes()
        described[name] = json.dumps(describe_labels(plan), sort_keys=True)
    assert len(set(pixels.values())) == len(set(described.values())) == len(OPTIONS)
    again = labelled(country, harmonised, tmp_path / "again", "min_share = 0.9")
    assert Store(again.root, crops.LABELS).read("crop").tobytes() == pixels["as it is"]
    assert json.dumps(describe_labels(again), sort_keys=True) == described["as it is"], "it changes no pixel"


def test_ground_beyond_the_region_is_unknown(country, harmonised, tmp_path):
    plan = labelled(country, harmonised, tmp_path)
    store = Store(plan.root, crops.LABELS)
    crop, parcel = store.read("crop"), store.read("parcel")
    x, y = np.meshgrid(plan.grid.x, plan.grid.y)
    abroad = ~shapely.contains_xy(plan.region, x, y)
    assert abroad.any() and (crop[abroad] == 255).all() and not parcel[abroad].any()
    assert (crop[~abroad] == 0).any(), "outside all parcels it is background, as the project says"
    assert table_description(plan.root)["store"] == "parcels" and part_numbers(plan.root) == [0]
    assert harmonising.PART == 100_000 and rule_of(plan) == Rule()
