"""The label audit against parcels with planted faults: every fault is found, counted once, and shown safely."""

import io
import json
import zipfile
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pytest
import shapely
from PIL import Image

from catalogs import cube
from catalogs.bands import BANDS
from catalogs.cube import cube_units
from catalogs.errors import BadInput
from catalogs.ledger import Ledger
from catalogs.stores import Store, write_shard
from catalogs.taxonomy import ten_crops
from cluster.kept import kept
from cluster.progress import LineProgress
from pipelines import audit_duplicates, curves
from pipelines.audit import audit, audit_labels, audit_parcels, check_fit
from pipelines.audit_duplicates import find_duplicates
from pipelines.harmonise import harmonise
from pipelines.label import label
from pipelines.plan import Plan, make_plan
from pipelines.project import parse_project

TOML = """
[region]
name = "Audited"
boundary = "boundary.geojson"
crs = "EPSG:3035"
tile = 128
[season]
start = 2021-03-01
end = 2021-08-31
[labels]
file = "{file}"
country = "AT"
{labels}
[patches]
size = 128
block = 128
[store]
root = "root"
[compute]
workers = 1
"""

HOSTILE = "<script>alert('1')</script>"
LEFT, TOP, TILE = 4_608_000, 2_816_000, 1280
WHEAT, MAIZE, GRASS = "3301010101", "3301010600", "3302000000"
CLASS_OF = {code: ten_crops().class_of(code) for code in (WHEAT, MAIZE, GRASS)}
CURVES = {
    WHEAT: (0.35, 0.55, 0.8, 0.75, 0.35, 0.2),
    MAIZE: (0.15, 0.15, 0.25, 0.6, 0.85, 0.8),
    GRASS: (0.5, 0.6, 0.65, 0.6, 0.6, 0.6),
}
ACROSS, PITCH, SIDE = 20, 12, 10
"""Parcels along a side of the made field, pixels from one to the next, pixels of a parcel's side."""
SWAPPED = tuple(range(7, 400, 37))
"""Places of parcels whose declared crop is not what grows there."""


def square(x: float, y: float, width: float, height: float) -> shapely.Polygon:
    """From the upper left corner of the region, in metres."""
    return shapely.box(LEFT + x, TOP - y - height, LEFT + x + width, TOP - y)


def field(place: int) -> shapely.Polygon:
    row, col = divmod(place, ACROSS)
    return square(10 * PITCH * col, 10 * PITCH * row, 10 * SIDE, 10 * SIDE)


def true_crop(place: int) -> str:
    return (WHEAT, MAIZE, GRASS)[(place * 7 + place // ACROSS) % 3]


def declared_crop(place: int) -> str:
    true = true_crop(place)
    return {WHEAT: MAIZE, MAIZE: WHEAT, GRASS: MAIZE}[true] if place in SWAPPED else true


BOW_TIE = shapely.Polygon([(LEFT + x, TOP - y) for x, y in ((2450, 100), (2500, 200), (2500, 100), (2450, 200))])

FAULTS: dict[str, tuple[shapely.Geometry | None, str | None]] = {
    "same crop": (field(0), declared_crop(0)),
    "other crop": (field(1), {WHEAT: MAIZE, MAIZE: GRASS, GRASS: WHEAT}[declared_crop(1)]),
    "overlap": (square(10 * PITCH * 4 + 50, 0, 100, 100), GRASS),
    "null": (square(2450, 300, 60, 60), None),
    "unknown": (square(2450, 400, 60, 60), HOSTILE),
    "not known": (square(2450, 500, 60, 60), "3399000000"),
    "outside": (square(-500, 0, 100, 100), WHEAT),
    "bow tie": (BOW_TIE, WHEAT),
    "sliver": (square(2450, 700, 3, 20), WHEAT),
    "strip": (square(2450 + 6, 800, 3, 300), WHEAT),
    "empty": (None, WHEAT),
    "large": (square(3000, 3000, 3000, 3000), GRASS),
}
"""Outline and code of each row after the fields."""

NUMBER = {name: ACROSS**2 + 1 + i for i, name in enumerate(FAULTS)}


def write_rows(path: Path, rows: list[tuple[Any, str | None]], **columns: Any) -> None:
    shapes, codes = zip(*rows, strict=True)
    frame = {
        "EC_hcat_c": codes,
        "PRODUCT_CODE": "1",
        "EC_trans_n": [HOSTILE if c == HOSTILE else "crop" for c in codes],
    } | columns
    geopandas.GeoDataFrame(frame, geometry=list(shapes), crs=3035).to_file(path, engine="pyogrio")


def lay_plan(folder: Path, rows: list[tuple[Any, str | None]], name: str = "parcels.gpkg", labels: str = "",
             **columns: Any) -> Plan:  # fmt: skip
    """A region of four tiles of 128 pixels, with these declarations."""
    write_rows(folder / name, rows, **columns)
    outline = json.loads(shapely.to_geojson(shapely.box(LEFT, TOP - 2 * TILE, LEFT + 2 * TILE, TOP)))
    crs = {"type": "name", "properties": {"name": "urn:ogc:def:crs:EPSG::3035"}}
    feature = {"type": "Feature", "properties": {}, "geometry": outline}
    content = {"type": "FeatureCollection", "crs": crs, "features": [feature]}
    (folder / "boundary.geojson").write_text(json.dumps(content))
    return make_plan(parse_project(TOML.format(file=name, labels=labels), folder / "project.toml"))


def fill_cube(plan: Plan, south: int = 0) -> None:
    """What truly grows in each field, the picture moved southwards by some pixels."""
    store, chance = Store(plan.root, cube.NAME), np.random.default_rng(1)
    periods = len(plan.periods)
    store.begin(
        cube.cube_layouts(plan.grid, periods, "median"),
        cube.cube_coordinates(plan.grid, plan.periods),
        {
            "store": "cube",
            "grid": plan.grid_description,
            "periods": [str(period) for period in plan.periods],
            "moved": south,
        },
    )
    green = np.full((periods, *plan.grid.shape), 0.1, np.float32)
    for place in range(ACROSS**2):
        row, col = (10 * PITCH * n // 10 for n in divmod(place, ACROSS))
        curve = np.array(CURVES[true_crop(place)]) + 0.03 * chance.standard_normal(periods)
        green[:, row : row + SIDE, col : col + SIDE] = curve[:, None, None]
    green = np.roll(green, south, axis=1) + 0.01 * chance.standard_normal(green.shape)
    for unit in cube_units(plan.tiles, plan.periods):
        y, x = plan.grid.window(unit.tile).slices
        ndvi = green[unit.period, y, x]
        picture = np.full((len(BANDS), *ndvi.shape), 1000, np.uint16)
        picture[BANDS.index("B08")] = (1000 * (1 + ndvi) / (1 - ndvi)).astype(np.uint16)
        count = np.ones(ndvi.shape, np.uint8)
        digests = [
            write_shard(store.array("reflectance"), (unit.period, slice(None), y, x), picture),
            write_shard(store.array("observations"), (unit.period, y, x), count),
        ]
        store.ledger.commit(unit.name, {"digests": digests})


def quiet() -> LineProgress:
    return LineProgress(io.StringIO())


def content_of(plan: Plan) -> dict[str, Any]:
    return json.loads(plan.root.read("labels/audit.json"))


ROWS = [(field(place), declared_crop(place)) for place in range(ACROSS**2)] + list(FAULTS.values())
AREAS = [1e4 if shape is None else shape.area for shape, _ in ROWS]


@pytest.fixture(scope="module", autouse=True)
def one_set_of_workers():
    """They take seconds to start."""
    with kept():
        yield


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Plan:
    """Labelled and audited, with a whole cube; the images lie where they belong."""
    plan = lay_plan(tmp_path_factory.mktemp("audited"), ROWS, AREA_DECLARED=AREAS)
    fill_cube(plan)
    label(plan, quiet())
    return plan


# figures of parcels


def test_what_was_read_is_what_was_kept_and_what_was_dropped(built):
    content = content_of(built)
    totals, classes, codes = (content[name] for name in ("totals", "classes", "codes"))
    assert totals["read"] == len(ROWS) == totals["kept"] + totals["dropped"]
    assert totals["dropped_by"] == {"empty": 1, "sliver": 1}
    assert totals["dropped_parcels"] == {"empty": [NUMBER["empty"]], "sliver": [NUMBER["sliver"]]}
    for rows in (classes, codes, content["status"].values()):
        assert sum(row["parcels"] for row in rows) == totals["kept"]
        assert sum(row["hectares"] for row in rows) == pytest.approx(totals["hectares"], abs=1e-3)
    assert sum(content["drawn"].values()) == totals["kept"]


def test_every_code_says_where_it_went(built):
    content = content_of(built)
    by_code = {row["code"]: row for row in content["codes"]}
    declared = [code for shape, code in ROWS if shape is not None]
    for code, number in CLASS_OF.items():
        assert by_code[code]["class"] == number
        assert by_code[code]["parcels"] == declared.count(code) - (code == WHEAT)  # but for the sliver
        assert by_code[code]["went"] == ten_crops().titles[number]
    assert {code: by_code[code]["status"] for code in (None, HOSTILE, "3399000000")} == {
        None: "null", HOSTILE: "unknown", "3399000000": "not_known",
    }  # fmt: skip
    assert all(by_code[code]["class"] == 255 for code in (None, HOSTILE, "3399000000"))
    assert {name: row["parcels"] for name, row in content["status"].items()} == {
        "mapped": len(ROWS) - 5, "null": 1, "unknown": 1, "not_known": 1,
    }  # fmt: skip


def test_planted_faults_of_outlines_are_found(built):
    content = content_of(built)
    assert content["duplicates"]["same_crop"]["examples"] == [[1, NUMBER["same crop"]]]
    assert content["duplicates"]["other_crop"]["examples"] == [[2, NUMBER["other crop"]]]
    assert [content["duplicates"][kind]["parcels"] for kind in ("same_crop", "other_crop")] == [1, 1]
    assert content["totals"]["repaired"] == 1 and content["totals"]["narrow"] == 1
    assert content["outside"]["parcels"] == 2  # the one beside it, and the large one beyond its corner
    assert content["outside"]["hectares"] == pytest.approx(901, abs=0.1)
    assert content["sizes"]["large"]["examples"] == [[NUMBER["large"], 900.0]]
    assert content["sizes"]["below_pixel"]["parcels"] == 0


def test_the_unit_of_declared_areas_is_found(built, tmp_path):
    assert content_of(built)["declared"]["unit"] == "square metres"
    for name, factor, unit in (("a", 1e-4, "hectares"), ("b", 1e-6, "square kilometres"), ("c", 0.37, "odd")):
        areas = [area * factor for area in AREAS[:50]]
        areas[:2] = [area * 1.5 for area in areas[:2]]
        (tmp_path / name).mkdir()
        plan = lay_plan(tmp_path / name, ROWS[:50], AREA_DECLARED=areas)
        figures = audit_parcels(plan, harmonise(plan, quiet()), quiet())
        assert figures["declared"]["unit"] == unit and figures["declared"]["parcels"] == 50
        assert figures["declared"]["differing"] == 2


@pytest.mark.parametrize("at_once", [20, 100, 10**6])
def test_duplicates_do_not_depend_on_how_much_fits_into_memory(built, monkeypatch, at_once):
    kept = content_of(built)["totals"]["kept"]
    whole, ids = find_duplicates(built.root, kept)
    monkeypatch.setattr(audit_duplicates, "AT_ONCE", at_once)
    again, ids_again = find_duplicates(built.root, kept)
    assert again == whole and ids_again.tolist() == ids.tolist() == [1, 2, NUMBER["same crop"], NUMBER["other crop"]]


# figures of rasters


def test_overlaps_and_parcels_without_a_pixel_are_found(built):
    labels = content_of(built)["labels"]
    mixed = [row for row in labels["overlaps"] if row["classes"][0] != row["classes"][1]]
    neighbours = [shape for shape, _ in ROWS if shape is not None]
    pairs, area = 0, 0.0
    classes = {code: CLASS_OF.get(code, 255) for _, code in ROWS}
    kept_rows = [(s, classes[c]) for i, (s, c) in enumerate(ROWS, 1) if s is not None and i != NUMBER["sliver"]]
    tree = shapely.STRtree([shapely.make_valid(shape) for shape, _ in kept_rows])
    for a, b in tree.query(tree.geometries).T:
        shared = tree.geometries[a].intersection(tree.geometries[b]).area if a < b else 0
        if shared > 1 and kept_rows[a][1] != kept_rows[b][1]:
            pairs, area = pairs + 1, area + shared / 1e4
    assert sum(row["pairs"] for row in mixed) == pairs >= 2 and len(neighbours) > 400
    assert sum(row["hectares"] for row in mixed) == pytest.approx(area, abs=1e-3)
    assert {row["parcel"]: row["why"] for row in labels["without_pixel"]["listed"]} == {
        NUMBER["strip"]: "too narrow to hold the centre of a pixel",
        NUMBER["other crop"]: "overlapped by other parcels, or holds no centre that the rule of burning asks for",
        2: "overlapped by other parcels, or holds no centre that the rule of burning asks for",
        NUMBER["same crop"]: "overlapped by other parcels, or holds no centre that the rule of burning asks for",
    }
    assert labels["without_pixel"]["parcels"] == 4


def test_parcels_that_did_not_grow_as_declared_are_listed(built):
    curves = content_of(built)["curves"]
    listed = curves["suspects"]["listed"]
    assert {row["parcel"] for row in listed} == {place + 1 for place in SWAPPED}
    titles = dict(enumerate(ten_crops().titles))
    for row in listed:
        assert row["fits_title"] == titles[CLASS_OF[true_crop(row["parcel"] - 1)]]
        assert row["title"] == titles[CLASS_OF[declared_crop(row["parcel"] - 1)]]
        middle = geopandas.GeoSeries([field(row["parcel"] - 1).centroid], crs=3035).to_crs(4326)[0]
        assert (row["lon"], row["lat"]) == pytest.approx((middle.x, middle.y), abs=1e-5)
    assert [row["score"] for row in listed] == sorted((row["score"] for row in listed), reverse=True)


def test_a_parcel_on_several_tiles_is_judged_once(built):
    """All fields are judged but the one that has two crops, also the many that lie on two or four tiles."""
    curves = content_of(built)["curves"]
    judged = sum(row["judged"] for row in curves["classes"])
    crossing = [p for p in range(ACROSS**2) if any(n * PITCH // 128 != (n * PITCH + 9) // 128 for n in divmod(p, 20))]
    assert len(crossing) > 30 and judged == ACROSS**2 - 1  # field 1 has two crops
    assert sum(row["parcels"] for row in curves["classes"]) == judged


def test_what_was_measured_is_not_measured_again(built):
    before = {unit: Ledger(built.root, "curves").record(unit) for unit in Ledger(built.root, "curves").done()}
    marked = {unit: record | {"kept": True} for unit, record in before.items()}
    for unit, record in marked.items():
        Ledger(built.root, "curves").commit(unit, record)
    content = content_of(built)
    audit_labels(built, quiet())
    assert {unit: Ledger(built.root, "curves").record(unit) for unit in before} == marked
    assert content_of(built)["curves"] == content["curves"]


def test_a_shift_is_looked_for_in_some_tiles_and_nothing_kept_for_the_others(built, monkeypatch):
    monkeypatch.setattr(curves, "COMPARED_TILES", 2)
    found = curves.find_contradictions(built, quiet())
    edges = [Ledger(built.root, "curves").record(str(tile))["edges"] for tile in built.tiles]
    assert [bool(each) for each in edges] == [True, False, True, False]
    assert found.shift.known and (found.shift.south, found.shift.east) == (0, 0)


@pytest.mark.parametrize(
    ("old", "new", "store"),
    [
        ("[patches]", 'rule = "touched"\n[patches]', "labels"),
        ("2021-08-31", "2021-07-31", "cube"),
    ],
)
def test_labels_and_images_of_another_plan_are_not_audited(built, old, new, store):
    before = content_of(built)
    text = TOML.format(file="parcels.gpkg", labels="").replace(old, new)
    plan = make_plan(parse_project(text, Path(built.root.url).parent / "project.toml"))
    with pytest.raises(BadInput, match=f"{store}.*planned differently"):
        audit(plan, quiet())
    assert content_of(built) == before


def test_images_that_lie_on_the_labels_are_not_called_displaced(built):
    shift = content_of(built)["curves"]["shift"]
    assert (shift["south"], shift["east"], shift["found"], shift["known"]) == (0, 0, False, True)


def test_images_a_pixel_too_far_south_are_found(tmp_path):
    plan = lay_plan(tmp_path, ROWS[: ACROSS**2])
    fill_cube(plan, south=1)
    said = io.StringIO()
    label(plan, quiet())
    audit(plan, LineProgress(said))
    shift = content_of(plan)["curves"]["shift"]
    assert (shift["south"], shift["east"], shift["found"]) == (1, 0, True) and shift["strength"] > 1.2 * shift[
        "unmoved"
    ]
    assert "1 pixel too far south of the labels (10 m)" in said.getvalue()
    assert "1 pixel too far south" in Page(plan).text


# what is refused


def refusal(folder: Path, rows: list[tuple[Any, str | None]], **about: Any) -> BadInput | None:
    plan = lay_plan(folder, rows, **about)
    figures = audit_parcels(plan, harmonise(plan, quiet()), quiet())
    try:
        check_fit(plan, figures)
    except BadInput as error:
        assert not content_of(plan)["verdict"]["fit"] and "cannot teach a crop map" in Page(plan).text
        return error
    assert content_of(plan)["verdict"]["fit"]
    return None


def of_codes(*codes: str | None) -> list[tuple[Any, str | None]]:
    return [(field(place), code) for place, code in enumerate(codes)]


@pytest.mark.parametrize(
    ("codes", "words"),
    [
        (["3301000000"] * 60 + ["3302000000"] * 30 + ["3306000000"] * 10, "tells land use, not crops: 100 of 100"),
        (["3301000000"] * 150 + ["3306000000"] * 50 + [WHEAT], "and 1 have a crop of the classes"),
        (["3303010000"] * 9 + [None], "no parcel of a crop to learn among 10"),
        ([None] * 5, "no parcel has a crop code"),
        (["3399000000"] * 5, "every code says that the crop is not known"),
        (["A", "B", "B"], "no code is in the table (B crop 2, A crop 1)"),
    ],
)
def test_what_cannot_teach_crops_is_refused_with_the_evidence(tmp_path, codes, words):
    error = refusal(tmp_path, of_codes(*codes))
    assert error is not None and words in error.why and "parcels.gpkg" in error.given


@pytest.mark.parametrize(
    "codes",
    [
        [WHEAT, GRASS, GRASS],
        ["3301000000"] * 90 + [WHEAT] * 5 + [MAIZE] * 5,
        ["3303010000"] * 500 + [WHEAT],
        [WHEAT] + ["unheard of"] * 20,
    ],
)
def test_few_crops_among_much_else_are_enough(tmp_path, codes):
    assert refusal(tmp_path, of_codes(*(codes if len(codes) <= 400 else codes[-400:]))) is None


def test_parcels_elsewhere_are_refused(tmp_path):
    error = refusal(tmp_path, [(square(9000, 9000 + 200 * n, 100, 100), WHEAT) for n in range(3)])
    assert error is not None and "all 3 lie outside it" in error.why


def test_another_year_is_refused_unless_the_project_says_it(tmp_path):
    cases = [
        ("a", {"PERIOD_CODE": [2019] * 4}, "", "2019 (4 parcels), and the season is of 2021"),
        ("b", {"PERIOD_CODE": [2021, 2021, 2019, 2021]}, "", "2019 (1 parcels)"),
        ("c", {"PERIOD_CODE": [2021] * 4}, "", None),
        ("d", {"PERIOD_CODE": [2019, 2019, 2020, 2019]}, "year = 2019", None),
        ("e", {"PERIOD_CODE": [2019] * 4}, "year = 2018", "no declarations of 2018: all 4 are of other years"),
    ]
    for folder, columns, labels, words in cases:
        (tmp_path / folder).mkdir()
        error = refusal(tmp_path / folder, of_codes(WHEAT, MAIZE, GRASS, WHEAT), labels=labels, **columns)
        assert (error is None) == (words is None) and (words is None or (error and words in error.why)), folder


def test_the_year_in_a_name_counts_where_no_column_says_one(tmp_path):
    for folder, labels, fits in (("a", "", False), ("b", "year = 2021", True), ("c", "year = 2018", True)):
        (tmp_path / folder).mkdir()
        error = refusal(tmp_path / folder, of_codes(WHEAT, MAIZE), name="AT_2018.gpkg", labels=labels)
        assert (error is None) == fits, folder


def test_the_year_in_the_name_of_a_file_in_an_archive_counts(tmp_path):
    lay_plan(tmp_path, of_codes(WHEAT, MAIZE))
    geopandas.read_file(tmp_path / "parcels.gpkg").to_parquet(tmp_path / "parcels_2019.parquet")
    with zipfile.ZipFile(tmp_path / "parcels.zip", "w") as archive:
        archive.write(tmp_path / "parcels_2019.parquet", "parcels_2019.parquet")
    plan = make_plan(parse_project(TOML.format(file="parcels.zip", labels=""), tmp_path / "project.toml"))
    said = io.StringIO()
    figures = audit_parcels(plan, harmonise(plan, quiet()), LineProgress(said))
    with pytest.raises(BadInput, match="2019 .2 parcels., and the season is of 2021"):
        check_fit(plan, figures)
    assert "cannot teach a crop map. It holds declarations of 2019" in said.getvalue()
    assert "Give the file of 2021; [labels] year = 2021" in said.getvalue()
    assert f"See {plan.root.path('labels/index.html')}\n" in said.getvalue()


# the page


class Page(HTMLParser):
    """Tags with their attributes, and the text, as a browser would see them."""

    def __init__(self, plan: Plan) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(plan.root.read("labels/index.html").decode())
        self.text = " ".join(self.text.split())

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))

    def handle_data(self, data):
        self.text += f" {data} "


def test_text_from_the_file_is_shown_as_text(built):
    page = Page(built)
    assert HOSTILE in page.text and "script" not in {tag for tag, _ in page.tags}


def test_the_page_begins_with_the_verdict_and_links_what_is_there(built):
    page, content = Page(built), content_of(built)
    kept = content["totals"]["kept"]
    known = content["totals"]["mapped"]["parcels"]
    assert f"{known} of {kept} parcels" in page.text and "they hold 3 crops" in page.text
    sources = {about["src"] for tag, about in page.tags if tag == "img"}
    assert sources == {"crops.png", "problems.png", "raster.png"}
    for name in sources:
        assert Image.open(io.BytesIO(built.root.read(f"labels/{name}"))).format == "PNG"
    assert sum(tag == "svg" for tag, _ in page.tags) == 3
    for words in ("Overlaps of two classes", "Same outline, other class", "Curve contradicts the crop", "One crop a"):
        assert words in page.text


def test_pictures_show_classes_and_problems(built):
    colours = [tuple(bytes.fromhex(colour[1:])) for colour in ten_crops().colours]
    image = np.asarray(Image.open(io.BytesIO(built.root.read("labels/crops.png"))))
    shown = {tuple(colour) for colour in image[image[..., 3] > 0][:, :3]}
    assert {colours[number] for number in CLASS_OF.values()} <= shown
    drawn = content_of(built)["drawn"]
    assert drawn["Curve contradicts the crop"] == len(SWAPPED) and drawn["Same outline as another"] == 1


def test_a_table_without_parcels_is_audited_too(tmp_path):
    plan = lay_plan(tmp_path, [(None, WHEAT), (None, MAIZE)])
    try:
        records = harmonise(plan, quiet())
    except BadInput:
        return  # nothing to read is refused at once, and nothing is left behind
    figures = audit_parcels(plan, records, quiet())
    with pytest.raises(BadInput, match="no parcel that can be used"):
        check_fit(plan, figures)
