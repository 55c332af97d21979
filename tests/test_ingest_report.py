"""The report of an ingest against a small hand-written cube: figures, pictures and words are right, safe and loud."""

import io
import json
import shutil
import tracemalloc
from dataclasses import fields
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import shapely
import xarray as xr
from PIL import Image

from catalogs import cube
from catalogs.bands import BANDS
from catalogs.cube import CubeUnit, cube_units
from catalogs.scenes import Scene, SceneList
from catalogs.stores import Store, write_shard
from cluster.progress import LineProgress
from pipelines.cube_pictures import CLEAR_STEPS, true_colour
from pipelines.cube_survey import mean_of_seen, survey_cube
from pipelines.ingest_report import write_ingest_report
from pipelines.pages import days, duration, size
from pipelines.plan import Plan, make_plan
from pipelines.project import parse_project

TOML = """
[region]
name = {name}
boundary = "boundary.geojson"
crs = "EPSG:3035"
tile = 128
[season]
start = 2021-03-01
end = 2021-05-31
[labels]
file = "parcels.gpkg"
country = "AT"
[patches]
size = 128
block = 128
[store]
root = "root"
"""

HOSTILE = "<script>alert('1')</script>"
LEFT, TOP, SIDE = 4_608_000, 2_816_000, 1280
GREY, RED = (185, 184, 178), (179, 33, 58)
MARCH, APRIL, MAY = range(3)
UNSEEN, LOST = 0, 2
"""Tile that nobody saw in May, and tile where a scene could not be read in March."""


def lay_plan(folder: Path, name: str = "Marchfeld", across: int = 2) -> Plan:
    """A region of `across` x `across` tiles of 128 pixels, of which the lower right one is not of the region."""
    right, bottom = LEFT + across * SIDE, TOP - across * SIDE
    square = shapely.box(LEFT, bottom, right, TOP)
    corner = shapely.box(right - SIDE, bottom, right, bottom + SIDE)
    feature = {"type": "Feature", "properties": {}, "geometry": json.loads(shapely.to_geojson(square - corner))}
    crs = {"type": "name", "properties": {"name": "urn:ogc:def:crs:EPSG::3035"}}
    outline = {"type": "FeatureCollection", "crs": crs, "features": [feature]}
    (folder / "boundary.geojson").write_text(json.dumps(outline))
    return make_plan(parse_project(TOML.format(name=json.dumps(name)), folder / "project.toml"))


def scene(name: str, moment: str, baseline: str = "05.00", offset: int = 1000) -> Scene:
    known = {
        "id": name, "moment": moment, "epsg": 32633, "footprint": {"type": "Point", "coordinates": [16, 48]},
        "hrefs": {}, "offset": offset, "offset_reason": "", "baseline": baseline, "tile": "33UXP", "cloud": 0.0,
        "platform": "sentinel-2a",
    }  # fmt: skip
    return Scene(**{field.name: known[field.name] for field in fields(Scene) if field.name in known})


SCENES = SceneList(
    (
        scene("S2A_33UXP_20210305", "2021-03-05T10:00:00+00:00", "02.14", 0),
        scene("S2B_33UXP_20210310", "2021-03-10T10:00:00+00:00"),
        scene("S2A_33UXP_20210504", "2021-05-04T10:00:00+00:00"),
        scene("S2B_33UXP_20210509", "2021-05-09T10:00:00+00:00"),
    ),
    (("S2A_33UXP_20210404", "cloud cover 93 % is over 80 %"), ("S2A_33UXP_20210301", "misses the region")),
)
USED = {MARCH: ["S2A_33UXP_20210305"], APRIL: [], MAY: ["S2A_33UXP_20210504"]}
OFFSETS = [
    {"scene": "S2B_33UXP_20210310", "metadata": np.int64(0), "reason": "flag", "verdict": "contradicts", "used": 1000,
     "figures": {"why": "dark pixels lie near 1000", "dark": {"B02": [1001, 1034.25, 1100]}}},
    {"scene": "S2A_33UXP_20210305", "metadata": 0, "reason": "baseline 02.14", "verdict": "confirms", "used": 0,
     "figures": {}},
]  # fmt: skip


def pixels(unit: CubeUnit, plan: Plan) -> tuple[np.ndarray, np.ndarray]:
    """Reflectance and observation counts of a unit, by chance but the same for the same unit."""
    number = plan.tiles.index(unit.tile)
    chance = np.random.default_rng([unit.period, number])
    count = chance.integers(0, 4, (128, 128)).astype(np.uint8)
    count[:40, :40] = 0
    picture = chance.integers(1, 4000, (len(BANDS), 128, 128)).astype(np.uint16)
    if unit.period == APRIL or (unit.period, number) == (MAY, UNSEEN):
        count[:] = 0
    elif (unit.period, number) == (MARCH, 1):
        count[64:, 64:] = 9
        picture[:, 64:, 64:] = np.array([300, 600, 900, *[0] * 7], np.uint16)[:, None, None]
    return np.where(count > 0, picture, 0).astype(np.uint16), count


def record_of(unit: CubeUnit, plan: Plan) -> dict:
    number = plan.tiles.index(unit.tile)
    record = {"scenes": USED[unit.period], "hidden": [], "unreadable": [], "observed": 0.5, "bytes": 4000}
    if unit.period == MAY:
        record["hidden"] = ["S2B_33UXP_20210509"]
    if (unit.period, number) == (MARCH, LOST):
        record["unreadable"] = [{"scene": "S2B_33UXP_20210310", "reason": f"no TIFF {HOSTILE}"}]
    return record


def fill(plan: Plan, made=pixels, backwards: bool = False, seconds: float = 1.5, skip: tuple[str, ...] = ()) -> Plan:
    store = Store(plan.root, cube.NAME)
    store.begin(
        cube.cube_layouts(plan.grid, len(plan.periods), "median of clear observations"),
        cube.cube_coordinates(plan.grid, plan.periods),
        {"store": "cube"},
    )
    units = [unit for unit in cube_units(plan.tiles, plan.periods) if unit.name not in skip]
    for unit in units[::-1] if backwards else units:
        picture, count = made(unit, plan)
        y, x = plan.grid.window(unit.tile).slices
        digests = [
            write_shard(store.array("reflectance"), (unit.period, slice(None), y, x), picture),
            write_shard(store.array("observations"), (unit.period, y, x), count),
        ]
        store.ledger.commit(unit.name, record_of(unit, plan) | {"digests": digests, "seconds": seconds})
    return plan


def write(plan: Plan, scenes: SceneList = SCENES, offsets: list | None = None) -> tuple[dict, str]:
    """The JSON, and what was said."""
    said = io.StringIO()
    write_ingest_report(plan, scenes, LineProgress(said), OFFSETS if offsets is None else offsets)
    return json.loads(plan.root.read("ingest/report.json")), said.getvalue()


@pytest.fixture(scope="session")
def written(tmp_path_factory) -> Plan:
    """A plan whose cube has been filled and reported; tests do not change it."""
    plan = fill(lay_plan(tmp_path_factory.mktemp("reported")))
    write(plan)
    return plan


@pytest.fixture
def copied(written, tmp_path) -> Plan:
    """The same, to be changed."""
    folder = Path(written.project.root).parent
    shutil.copytree(folder, tmp_path / "copy")
    return make_plan(parse_project(TOML.format(name='"Marchfeld"'), tmp_path / "copy/project.toml"))


def content_of(plan: Plan) -> dict:
    return json.loads(plan.root.read("ingest/report.json"))


def picture(plan: Plan, name: str) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(plan.root.read(f"ingest/{name}.png"))))


class Page(HTMLParser):
    """Tags with their attributes, and the text, as a browser would see them."""

    def __init__(self, plan: Plan) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(plan.root.read("ingest/index.html").decode())
        self.text = " ".join(self.text.split())

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))

    def handle_data(self, data):
        self.text += f" {data} "


# figures


def test_coverage_is_what_plain_xarray_counts(written):
    content = content_of(written)
    counts = xr.open_zarr(Path(written.project.root) / "cube.zarr").observations.load()
    names = {str(tile): written.grid.window(tile).slices for tile in written.tiles}
    assert [row["tile"] for row in content["tiles"]] == list(names) and len(names) == 3
    by_tile = [counts.isel(y=names[row["tile"]][0], x=names[row["tile"]][1]) for row in content["tiles"]]
    for row, tile in zip(content["tiles"], by_tile, strict=True):
        assert row["seen"] == pytest.approx((tile > 0).mean(("y", "x")).values, abs=1e-6)
        assert row["mean_clear"] == pytest.approx(tile.mean(("y", "x")).values, abs=1e-6)
        assert row["most_clear"] == tile.max(("y", "x")).values.tolist()
        assert row["seen_in_all"] == pytest.approx(float((tile > 0).all("time").mean()), abs=1e-6)
        assert row["seen_in_any"] == pytest.approx(float((tile > 0).any("time").mean()), abs=1e-6)
    stacked = np.stack([tile.values for tile in by_tile])  # tile, period, y, x
    for number, row in enumerate(content["periods"]):
        assert row["seen"] == pytest.approx((stacked[:, number] > 0).mean(), abs=2e-6)
        assert row["mean_clear"] == pytest.approx(stacked[:, number].mean(), abs=2e-6)
        assert row["most_clear"] == stacked[:, number].max()
    assert content["totals"]["seen"] == pytest.approx((stacked > 0).mean(), abs=2e-6)
    assert 0.1 < content["totals"]["seen"] < 0.9


def test_scenes_are_counted_where_they_were_used_hidden_or_lost(written):
    content = content_of(written)
    rows = {row["scene"]: (row["used"], row["hidden"], row["unreadable"]) for row in content["scenes"]}
    assert rows == {
        "S2A_33UXP_20210305": (3, 0, 0),
        "S2B_33UXP_20210310": (0, 0, 1),
        "S2A_33UXP_20210504": (3, 0, 0),
        "S2B_33UXP_20210509": (0, 3, 0),
    }
    (lost,) = content["unreadable"]
    assert (lost["scene"], lost["tile"]) == ("S2B_33UXP_20210310", str(written.tiles[LOST]))
    assert (lost["first"], lost["last"]) == ("2021-03-01", "2021-03-31")
    assert content["baselines"] == {"02.14": 1, "05.00": 3}
    assert content["hidden"] == {"S2B_33UXP_20210509": 3}
    assert [row["scene"] for row in content["left_out"]] == ["S2A_33UXP_20210301", "S2A_33UXP_20210404"]
    assert [(row["scenes_used"], row["scenes"]) for row in content["periods"]] == [(1, 2), (0, 0), (1, 2)]


def test_cost_adds_up(written):
    content = content_of(written)
    assert [row["seconds"] for row in content["periods"]] == [4.5, 4.5, 4.5]
    assert (content["totals"]["seconds"], content["totals"]["bytes"]) == (13.5, 36_000)


def test_offset_decisions_are_kept_with_their_numbers(written):
    first, second = content_of(written)["offsets"]
    assert (first["scene"], second["scene"]) == ("S2A_33UXP_20210305", "S2B_33UXP_20210310")
    assert (second["metadata"], second["used"], second["figures"]["dark"]["B02"][1]) == (0, 1000, 1034.25)
    text = Page(written).text
    assert "In 1 scene the pixels contradict the metadata" in text and "confirms (1), contradicts (1)" in text
    assert "Contradicted by the pixels Scene Metadata Used Why Pixels S2B_33UXP_20210310 0 1000 flag" in text
    assert " dark pixels lie near 1000, dark B02 1001 / 1034 / 1100" in text and "why dark" not in text


def test_records_of_before_have_no_bytes(copied):
    ledger = Store(copied.root, cube.NAME).ledger
    for unit in cube_units(copied.tiles, copied.periods):
        record = ledger.record(unit.name)
        ledger.commit(unit.name, {key: record[key] for key in ("scenes", "unreadable", "digests")})
    content, _ = write(copied)
    assert (content["totals"]["seconds"], content["totals"]["bytes"]) == (0, 0)
    assert content["tiles"] == content_of(copied)["tiles"]


def test_the_order_of_commits_changes_nothing_but_seconds(written, tmp_path):
    (tmp_path / "other").mkdir()
    other, _ = write(fill(lay_plan(tmp_path / "other"), backwards=True, seconds=2.5), offsets=OFFSETS[::-1])
    first = content_of(written)
    assert other != first
    for content in (other, first):
        content["totals"].pop("seconds")
        for row in content["periods"]:
            row.pop("seconds")
    assert other == first
    assert picture(written, "t000-colour").tolist() == picture(lay_plan(tmp_path / "other"), "t000-colour").tolist()


# what nobody saw


def test_a_period_and_a_tile_that_nobody_saw_are_named_everywhere(copied):
    content, said = write(copied)
    every, unseen = [str(tile) for tile in copied.tiles], str(copied.tiles[UNSEEN])
    assert [(row["first"], row["tiles"]) for row in content["not_seen"]] == [
        ("2021-04-01", every),
        ("2021-05-01", [unseen]),
    ]
    assert content["totals"]["tile_periods_not_seen"] == 4
    assert "not seen in April 2021: 3 of 3 tiles" in said and "not seen in May 2021: 1 of 3 tiles" in said
    text = Page(copied).text
    assert "4 of 9 tile periods have no clear observation" in text
    assert "April 2021: no tile at all was seen, for no scene was chosen" in text
    assert "May 2021: 1 of 3 tiles were not seen" in text


def test_a_cube_seen_everywhere_raises_no_alarm(tmp_path):
    everywhere = np.ones((len(BANDS), 128, 128), np.uint16), np.ones((128, 128), np.uint8)
    plan = fill(lay_plan(tmp_path), lambda unit, plan: everywhere)
    ledger = Store(plan.root, cube.NAME).ledger
    for unit in cube_units(plan.tiles, plan.periods):
        ledger.commit(unit.name, ledger.record(unit.name) | {"unreadable": []})
    content, said = write(plan, offsets=[])
    assert content["not_seen"] == [] and content["totals"]["seen_in_all"] == 1
    assert "not seen" not in said and "alert" not in [attributes.get("role") for _, attributes in Page(plan).tags]


def test_a_cube_with_holes_says_so(tmp_path):
    plan = lay_plan(tmp_path)
    hole = CubeUnit(MARCH, plan.tiles[1])
    content, _ = write(fill(plan, skip=(hole.name,)))
    assert content["missing"] == [{"tile": str(plan.tiles[1]), "first": "2021-03-01", "last": "2021-03-31"}]
    assert content["not_seen"][0]["tiles"] == [str(plan.tiles[1])]
    assert "The cube is not whole: 1 of 9 tile periods are missing" in Page(plan).text


# pictures


def test_pictures_have_the_right_pixels_at_known_places(written):
    colour, clear = picture(written, "t000-colour"), picture(written, "t000-clear")
    assert colour.shape == clear.shape == (256, 256, 4)
    shown = [round(255 * (value / 2500) ** (1 / 1.5)) for value in (900, 600, 300)]  # B04, B03, B02
    assert colour[100, 228].tolist() == [*shown, 255]
    assert clear[100, 228].tolist() == [*bytes.fromhex(CLEAR_STEPS[-1][2][1:]), 255]
    assert colour[20, 20].tolist() == [*GREY, 255] and clear[20, 20].tolist() == [*RED, 255]
    assert (colour[128:, 128:, 3] == 0).all() and (clear[128:, 128:, 3] == 0).all()
    assert (picture(written, "t001-colour")[:128, :, :3] == GREY).all()


def test_every_pixel_of_the_clear_picture_has_the_colour_of_its_count(written):
    counts = xr.open_zarr(Path(written.project.root) / "cube.zarr").observations.values[MAY]
    shown = picture(written, "t002-clear")[:128, :, :3]
    palette = {0: RED, **{n: tuple(bytes.fromhex(CLEAR_STEPS[n][2][1:])) for n in (1, 2, 3)}}
    assert (shown == np.array([palette[count] for count in range(4)])[counts[:128]]).all()
    assert set(np.unique(counts[:128])) == {0, 1, 2, 3}


def test_thin_pictures_show_the_mean_of_what_was_seen(written, monkeypatch):
    monkeypatch.setattr("pipelines.cube_survey.LONGEST", 64)
    found = survey_cube(written, Steps())
    store = xr.open_zarr(Path(written.project.root) / "cube.zarr")
    seen = store.observations > 0
    blocks = {"y": 4, "x": 4}
    enough = seen.coarsen(blocks).mean().values >= 0.5
    clear = store.observations.where(seen).coarsen(blocks).mean().values
    visible = store.reflectance.isel(band=slice(0, 3)).where(seen).coarsen(blocks).mean().values
    inside = np.ones((64, 64), bool)
    inside[32:, 32:] = False
    assert (found.inside == inside).all() and not enough[:, ~inside].any()
    assert (found.clear == np.where(enough, np.rint(clear), 0)).all()
    assert (found.visible == np.where(enough[:, None], np.rint(visible), 0)).all()
    assert 0.1 < enough.mean() < 0.9


def test_half_of_the_ground_is_enough_and_less_is_not():
    seen = np.array([[1, 1, 0, 0], [0, 0, 0, 1]], bool)
    assert mean_of_seen(np.full((2, 4), 7), seen, 2).tolist() == [[7, 0]]
    assert mean_of_seen(np.array([[2, 6], [9, 9]]), np.array([[True, True], [False, False]]), 2).tolist() == [[4]]


def test_true_colour_is_red_green_blue_from_black_to_white():
    reflectance = np.array([0, 1250, 9999]).reshape(3, 1, 1)
    assert true_colour(reflectance)[0, 0].tolist() == [255, round(255 * 0.5 ** (1 / 1.5)), 0]


class Steps:
    """Counts what was done."""

    def __init__(self) -> None:
        self.done = 0

    def advance(self, count: int = 1, note: str = "") -> None:
        self.done += count


def test_memory_does_not_grow_with_the_region(tmp_path, monkeypatch):
    """With thin images of one size, twelve times the ground takes little more than a few tiles of it."""
    monkeypatch.setattr("pipelines.cube_survey.LONGEST", 64)
    monkeypatch.setattr("pipelines.cube_survey.READERS", 1)
    peaks = []
    for across in (2, 6):
        (tmp_path / str(across)).mkdir()
        plan = fill(lay_plan(tmp_path / str(across), across=across))
        survey_cube(plan, Steps())  # what is loaded only once is not of the region
        tracemalloc.start()
        bar = Steps()
        survey_cube(plan, bar)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert bar.done == across**2 - 1
    cube_bytes = 3 * 35 * 128 * 128 * 21
    assert peaks[1] < 1.5 * peaks[0] and peaks[1] < cube_bytes / 5


# the page


def test_text_from_outside_is_escaped(tmp_path):
    plan = fill(lay_plan(tmp_path, name=f"A & B {HOSTILE}"))
    ledger = Store(plan.root, cube.NAME).ledger
    unit = CubeUnit(MARCH, plan.tiles[0])
    ledger.commit(unit.name, ledger.record(unit.name) | {"unreadable": [{"scene": HOSTILE, "reason": HOSTILE}]})
    scenes = SceneList((scene(HOSTILE, "2021-03-05T10:00:00+00:00", HOSTILE),), ((HOSTILE, HOSTILE),))
    offsets = [dict.fromkeys(("scene", "metadata", "reason", "used"), HOSTILE)]
    offsets[0] |= {"verdict": "contradicts", "figures": {HOSTILE: HOSTILE}}
    content, _ = write(plan, scenes, offsets)
    page = Page(plan)
    assert not [tag for tag, _ in page.tags if tag == "script"]
    assert page.text.count(HOSTILE) >= 15 and content["scenes"][0]["scene"] == HOSTILE
    assert {key.split("/")[-1] for key in plan.root.keys("ingest") if key.endswith(".png")} == {
        f"t00{period}-{kind}.png" for period in range(3) for kind in ("colour", "clear")
    }


def test_the_page_shows_all_its_pictures_and_needs_nothing_else(written):
    page = Page(written)
    pictures = [attributes for tag, attributes in page.tags if tag == "img"]
    assert len(pictures) == 6 and all(attributes["alt"] for attributes in pictures)
    links = [attributes.get("src") or attributes.get("href") for _, attributes in page.tags]
    files = {link for link in links if link and not link.startswith("#")}
    assert all(written.root.exists(f"ingest/{name}") for name in files) and len(files) == 7
    anchors = {link[1:] for link in links if link and link.startswith("#")}
    assert anchors == {"unreadable", "offsets"} <= {attributes.get("id") for _, attributes in page.tags}


def test_many_tiles_make_no_endless_table(written, monkeypatch):
    monkeypatch.setattr("pipelines.ingest_report.MOST_ROWS", 2)
    write(written)
    assert "Here are the 2 tiles that were seen least, of 3" in Page(written).text
    monkeypatch.undo()
    write(written)
    assert "tiles that were seen least" not in Page(written).text


# reporting again


@pytest.mark.parametrize(
    ("spoil", "reads"),
    [
        (lambda root: None, False),
        (lambda root: (root / "ingest/t001-clear.png").unlink(), True),
        (lambda root: (root / "ingest/report.json").write_text("{"), True),
        (lambda root: (root / "ingest/report.json").write_text("[]"), True),
        (lambda root: shutil.rmtree(root / "ingest"), True),
    ],
    ids=["unchanged", "picture-gone", "cut-json", "other-json", "all-gone"],
)
def test_an_unchanged_cube_is_not_read_again(copied, monkeypatch, spoil, reads):
    before, read = content_of(copied), []
    kept = survey_cube
    monkeypatch.setattr("pipelines.ingest_report.survey_cube", lambda *given: read.append(1) or kept(*given))
    spoil(Path(copied.project.root))
    content, said = write(copied)
    assert content == before and bool(read) == reads
    assert ("done before" in said) != reads


def test_a_unit_composed_anew_is_shown_anew(copied):
    unit = CubeUnit(APRIL, copied.tiles[0])
    store = Store(copied.root, cube.NAME)
    y, x = copied.grid.window(unit.tile).slices
    digest = write_shard(store.array("observations"), (APRIL, y, x), np.full((128, 128), 2, np.uint8))
    record = store.ledger.record(unit.name)
    store.ledger.commit(unit.name, record | {"digests": [record["digests"][0], digest]})
    content, _ = write(copied)
    assert content["tiles"][0]["seen"][APRIL] == 1
    assert picture(copied, "t001-clear")[5, 5].tolist() == [*bytes.fromhex(CLEAR_STEPS[2][2][1:]), 255]


# words


@pytest.mark.parametrize(
    ("first", "last", "words"),
    [
        ("2021-02-01", "2021-02-28", "February 2021"),
        ("2021-03-01", "2021-03-10", "1 to 10 March 2021"),
        ("2021-03-21", "2021-03-31", "21 to 31 March 2021"),
        ("2021-03-05", "2021-03-05", "5 March 2021"),
        ("2021-03-20", "2021-06-08", "20 March to 8 June 2021"),
        ("2020-12-21", "2021-01-10", "21 December 2020 to 10 January 2021"),
        ("2021-05-03", None, "no day before 3 May 2021"),
    ],
)
def test_days_in_words(first, last, words):
    assert days({"first": first, "last": last}) == words


@pytest.mark.parametrize(
    ("count", "words"),
    [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (123_456, "123 kB"), (999_600, "1.0 MB"), (2.5e12, "2.5 TB"),
     (4.2e18, "4200 PB")],
)  # fmt: skip
def test_sizes_in_words(count, words):
    assert size(count) == words


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0, "0.0 s"), (59.94, "59.9 s"), (59.96, "1 min 0 s"), (3599.7, "1 h 0 min"), (3_661_000, "1,016 h 56 min")],
)
def test_durations_in_words(seconds, words):
    assert duration(seconds) == words
