"""Publishing a small hand-written map: pictures, page and item are right, safe, repeatable, or refused."""

import io
import json
from html.parser import HTMLParser

import numpy as np
import pystac
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft7Validator
from PIL import Image
from pystac.validation.local_validator import get_local_schema_cache
from referencing import Registry, Resource

from catalogs import crops, patch_store
from catalogs.errors import BadInput
from catalogs.patch_store import write_index
from catalogs.patches import Candidate, block_of, patch_windows
from catalogs.scenes import Scene, SceneList
from catalogs.stores import Store, spatial_coordinates, write_shard
from catalogs.taxonomy import IGNORE, ten_crops
from cluster.progress import LineProgress
from models.metrics import confusion, score
from pipelines.outcomes import Unfinished
from pipelines.pictures import LONGEST, commonest, layers, plain
from pipelines.plan import Plan, make_plan
from pipelines.project import parse_project
from pipelines.publish import publish
from pipelines.report import percent, rate

TOML = """
[region]
name = {name}
boundary = "boundary.geojson"
crs = "EPSG:3035"
tile = {tile}
[season]
start = 2021-03-01
end = 2021-10-31
[labels]
file = "parcels.gpkg"
country = "AT"
[patches]
size = 128
block = 128
[store]
root = "root"
"""

HOSTILE = '<script>alert("1")</script>'
LEFT, TOP = 4_608_000, 2_816_000  # a corner of the lattice for tiles of 64 to 1024 pixels
TITLES = ten_crops().titles
WEIGHTS = "ab" * 32


def lay_plan(folder, name="Marchfeld", tile=128, size=(1270, 1000), triangle=False) -> Plan:
    """A region that is a rectangle of `size` metres, height first, from the corner of the lattice; or half of it."""
    square = shapely.box(LEFT, TOP - size[0], LEFT + size[1], TOP)
    if triangle:
        square = shapely.Polygon([(LEFT, TOP), (LEFT, TOP - size[0]), (LEFT + size[1], TOP)])
    crs = {"type": "name", "properties": {"name": "urn:ogc:def:crs:EPSG::3035"}}
    feature = {"type": "Feature", "properties": {}, "geometry": json.loads(shapely.to_geojson(square))}
    outline = {"type": "FeatureCollection", "crs": crs, "features": [feature]}
    (folder / "boundary.geojson").write_text(json.dumps(outline))
    text = TOML.format(name=json.dumps(name), tile=tile)
    return make_plan(parse_project(text, folder / "project.toml"))


def fill(plan: Plan, name: str, layouts, arrays) -> None:
    store = Store(plan.root, name)
    store.begin(layouts, spatial_coordinates(plan.grid), {"store": name, "grid": plan.grid_description})
    for tile in plan.tiles:
        where = plan.grid.window(tile).slices
        digests = [write_shard(store.array(array), where, values[where]) for array, values in arrays.items()]
        store.ledger.commit(str(tile), {"digests": digests})


def write_root(plan: Plan, truth=None, mapped=None, confidence=None) -> Plan:
    """Everything that earlier verbs would have left, by hand."""
    stripes = np.broadcast_to(np.arange(plan.grid.shape[1]) // 8 % 11, plan.grid.shape).astype(np.uint8)
    truth = stripes if truth is None else truth
    mapped = stripes if mapped is None else mapped
    confidence = np.full(plan.grid.shape, 95, np.uint8) if confidence is None else confidence
    observations = np.where(mapped == 255, 255, np.arange(plan.grid.shape[1]) % 40).astype(np.uint8)
    known = {"crop": mapped, "confidence": confidence, "observations": observations}
    fill(plan, crops.MAP, crops.map_layouts(plan.grid, ten_crops()), known)
    fill(plan, crops.LABELS, crops.label_layouts(plan.grid, ten_crops()), {"crop": truth, "parcel": truth})
    counted = confusion(truth, mapped, 11)
    scores = {"checkpoint": "season", "split": "test", "blocks": 1, "pixels": int(counted.matrix.sum()), "margin": 16}
    scores |= {"season": score(counted).as_dict(ten_crops().names), "single_date": None, "unmapped_pixels": 0}
    scores |= {"confusion": counted.matrix.tolist(), "classes": list(ten_crops().names)}
    scores |= {"seams": {"border": 0.1, "interior": 0.1, "ratio": 1.0}}
    card = {"name": "season", "architecture": "unet", "weights_sha256": WEIGHTS, "training": {"epochs": 20}}
    ground = json.loads(shapely.to_geojson(plan.region_lonlat))
    scene = Scene("S2A_33UWP_20210401_0_L2A", "2021-04-01T10:00:00+00:00", 32633, ground, {}, 0, "03.00")
    scenes = SceneList((scene,), (("S2B_33UWP_20210404_0_L2A", "cloud cover 93 % is over 80 %"),))
    plan.root.write("report/scores.json", json.dumps(scores).encode())
    plan.root.write("checkpoints/season/card.json", json.dumps(card).encode())
    plan.root.write("scenes.json", scenes.encode({}))
    return plan


def hold_out(plan: Plan) -> None:
    """A patch index in which the first patch is for the test and the others are for training."""
    windows = [window for tile in plan.tiles for window in patch_windows(plan.grid, tile, 128)]
    chosen = [Candidate(w.y, w.x, block_of(plan.grid, w.y, w.x, 128), 1, 1, (0,) * 11) for w in windows]
    splits = {candidate.block: "train" for candidate in chosen} | {chosen[0].block: "test"}
    write_index(plan.root, plan.grid, 128, chosen, splits, ten_crops().names)


def run(plan: Plan) -> dict[str, str]:
    return publish(plan, LineProgress(io.StringIO()))


def picture(plan: Plan, key: str) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(plan.root.read(f"report/{key}.png"))))


def pixels_of(image: np.ndarray, colour: str) -> int:
    return int((image == list(bytes.fromhex(colour[1:]))).all(axis=-1).sum())


def item_of(plan: Plan) -> dict:
    return json.loads(plan.root.read("map.json"))


class Page(HTMLParser):
    """Tags with their attributes, and the text, as a browser would see them."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))

    def handle_data(self, data):
        self.text += f" {data} "


def page_of(plan: Plan) -> Page:
    return Page(plan.root.read("report/index.html").decode())


@pytest.fixture(scope="module")
def small(tmp_path_factory) -> Plan:
    """A published region of one tile, its name an attack."""
    plan = write_root(lay_plan(tmp_path_factory.mktemp("small"), HOSTILE))
    run(plan)
    return plan


def test_everything_promised_is_there(small):
    said = run(small)
    assert (said["item"], said["report"]) == (small.root.path("map.json"), small.root.path("report/index.html"))
    for name in ("map", "truth", "confidence"):
        assert Image.open(io.BytesIO(small.root.read(f"report/{name}.png"))).format == "PNG"
    assert not small.root.exists("report/errors.png")  # nothing was held out
    assert not [key for key in small.root.keys("report") if key.endswith(".partial")]


def test_the_picture_shows_each_class_in_its_colour_and_share(small):
    image = picture(small, "map")
    shown = np.arange(100) // 8 % 11  # the region is 100 pixels wide, each drawn 7 x 7, 127 of them high
    for number, colour in enumerate(ten_crops().colours):
        in_map = (shown == number).sum() * 127 * 7 * 7
        assert in_map <= pixels_of(image, colour) <= in_map + 30 * 26  # the rest is the swatch of the legend
    assert image.shape[1] == 1000 + 2 * 44


def test_ground_outside_the_region_is_neither_drawn_nor_counted(small):
    hectares = item_of(small)["properties"]["furrow:hectares"]
    columns = np.bincount(np.arange(100) // 8 % 11, minlength=11)
    assert hectares.pop("no_data") == 0
    assert hectares == {name: round(n * 127 / 100, 2) for name, n in zip(ten_crops().names, columns, strict=True)}


def test_a_region_with_a_slanted_border_is_cut_along_it(tmp_path):
    plan = lay_plan(tmp_path, size=(1280, 1280), triangle=True)
    everywhere = np.full(plan.grid.shape, 4, np.uint8)
    run(write_root(plan, truth=everywhere, mapped=everywhere))
    inside = np.arange(128)[:, None] + np.arange(128) < 127
    image = picture(plan, "map")
    on_border = 128 * 49  # pixels whose centre the border meets may fall either way
    assert abs(pixels_of(image, ten_crops().colours[4]) - inside.sum() * 49 - 30 * 26) <= on_border
    assert abs(item_of(plan)["properties"]["furrow:hectares"]["rapeseed"] - inside.sum() / 100) < 1.3


def test_pixels_without_a_class_are_hatched_and_never_coloured(tmp_path):
    plan = lay_plan(tmp_path)
    truth = np.full(plan.grid.shape, IGNORE, np.uint8)
    truth[:60] = 7
    run(write_root(plan, truth=truth))
    image = picture(plan, "truth")
    assert 60 * 100 * 49 <= pixels_of(image, ten_crops().colours[7]) <= 60 * 100 * 49 + 30 * 26
    pale, dark = pixels_of(image, "#f0efe9"), pixels_of(image, "#dbd9d0")
    assert 67 * 100 * 49 <= pale + dark <= 67 * 100 * 49 + 30 * 26
    assert 0.2 < dark / (pale + dark) < 0.3


def test_confidence_is_drawn_in_steps(tmp_path):
    plan = lay_plan(tmp_path)
    confidence = np.full(plan.grid.shape, 39, np.uint8)
    confidence[:10], confidence[10:30] = 90, 40
    run(write_root(plan, confidence=confidence))
    image, colours = picture(plan, "confidence"), layers(ten_crops())["confidence"].colours
    for colour, rows in {colours[0]: 97, colours[1]: 20, colours[2]: 0, colours[4]: 10}.items():
        assert rows * 100 * 49 <= pixels_of(image, colour) <= rows * 100 * 49 + 30 * 26


def test_errors_are_those_of_held_out_patches_without_their_margin(tmp_path):
    plan = lay_plan(tmp_path, size=(1280, 2560))
    wrong = np.zeros(plan.grid.shape, np.uint8)
    wrong[:64] = 3
    hold_out(write_root(plan, truth=np.zeros_like(wrong), mapped=wrong))
    run(plan)
    image, (right, other) = picture(plan, "errors"), layers(ten_crops())["errors"].colours
    times = (1000 // 256) ** 2
    for colour, rows in {right: 48, other: 48}.items():  # 128 rows less two margins of 16; half of them wrong
        assert rows * 96 * times <= pixels_of(image, colour) <= rows * 96 * times + 30 * 26
    assert "errors.png" in plan.root.read("report/index.html").decode()


def test_large_maps_are_thinned_tile_by_tile(tmp_path):
    plan = lay_plan(tmp_path, tile=1024, size=(10_000, 20_000))
    truth = np.zeros(plan.grid.shape, np.uint8)
    truth[:, 1000:1500] = 9
    run(write_root(plan, truth=truth, mapped=truth))
    image = picture(plan, "map")
    assert image.shape[1] <= LONGEST + 2 * 44
    assert 500 * 250 <= pixels_of(image, ten_crops().colours[9]) <= 500 * 250 + 30 * 26  # half the size each way
    assert item_of(plan)["properties"]["furrow:hectares"]["forage_legumes"] == 1000 * 500 / 100


@given(st.integers(1, 4), st.integers(1, 4), st.data())
def test_the_commonest_class_of_a_block(step, blocks, data):
    side = step * blocks
    flat = data.draw(st.lists(st.sampled_from([0, 1, 2, IGNORE]), min_size=side * side, max_size=side * side))
    values = np.array(flat, np.uint8).reshape(side, side)
    thin = commonest(values, step, 3)
    for y in range(blocks):
        for x in range(blocks):
            block = values[y * step : (y + 1) * step, x * step : (x + 1) * step].ravel()
            counts = [int((block == number).sum()) for number in range(3)]
            known = sum(counts) * 4 >= step * step
            assert thin[y, x] == (counts.index(max(counts)) if known else IGNORE)


def test_the_page_shows_a_hostile_name_as_text(small):
    page = page_of(small)
    assert "script" not in {tag for tag, _ in page.tags}
    assert HOSTILE in page.text
    assert not {name for _, attributes in page.tags for name in attributes if name.startswith("on")}


def test_the_page_needs_nothing_from_elsewhere(small):
    links = [value for _, found in page_of(small).tags for name, value in found.items() if name in ("src", "href")]
    assert sorted(set(links)) == ["confidence.png", "map.png", "truth.png"]
    html = small.root.read("report/index.html").decode()
    assert "http" not in html and "url(" not in html and "@import" not in html


def test_the_page_says_what_the_scores_say(small):
    text = " ".join(page_of(small).text.split())
    for part in ("Mean IoU 1.000", "Kappa 1.000", "not estimates", WEIGHTS, "too cloudy (1)", *TITLES):
        assert part in text
    assert "Made-up country" not in text


def test_a_made_up_country_is_called_so(tmp_path):
    plan = write_root(lay_plan(tmp_path))
    plan.root.write("catalog/catalog.json", b"{}")
    run(plan)
    assert "a score here is not a score on Earth" in page_of(plan).text
    assert item_of(plan)["properties"]["furrow:made_up"] is True


def test_a_single_date_is_compared(tmp_path):
    plan = write_root(lay_plan(tmp_path))
    scores = json.loads(plan.root.read("report/scores.json"))
    scores["single_date"] = scores["season"] | {"mean_iou": 0.4321, "period": "2021-06-01/2021-06-30"}
    plan.root.write("report/scores.json", json.dumps(scores).encode())
    run(plan)
    text = page_of(plan).text
    assert "0.432 single date" in text and "2021-06-01 to 2021-06-30" in text


def test_a_crop_that_nobody_grows_leaves_gaps_not_errors(tmp_path):
    plan = lay_plan(tmp_path)
    only = np.zeros(plan.grid.shape, np.uint8)
    run(write_root(plan, truth=only, mapped=only))
    assert "nan" not in page_of(plan).text.lower().split()
    assert (rate(None), percent(None)) == ("–", "–")


def item_schema() -> Draft7Validator:
    """The core schema of STAC 1.1 with those that it refers to; they come with pystac, so no network is needed."""
    schemas = get_local_schema_cache()
    registry = Registry().with_resources((uri, Resource.from_contents(schema)) for uri, schema in schemas.items())
    return Draft7Validator(next(v for k, v in schemas.items() if k.endswith("/item.json")), registry=registry)


def test_the_item_is_a_stac_item(small):
    found = item_of(small)
    assert not list(item_schema().iter_errors(found))
    assert list(item_schema().iter_errors(found | {"geometry": 1}))
    item = pystac.Item.from_dict(found)
    assert found["stac_version"] == "1.1.0" and item.datetime is None
    outline = shapely.geometry.shape(item.geometry)
    assert outline.hausdorff_distance(small.region_lonlat) < 2e-4 and item.bbox == list(outline.bounds)
    assert item.id == "crops-script-alert-1-script-20210301-20211031"
    assert found["properties"]["proj:code"] == "EPSG:3035"
    assert found["properties"]["proj:bbox"] == [LEFT, TOP - 1280, LEFT + 1280, TOP]
    assert found["properties"]["proj:shape"] == [128, 128]
    assert found["properties"]["proj:transform"] == [10, 0, LEFT, 0, -10, TOP]
    assert found["properties"]["furrow:weights_sha256"] == WEIGHTS
    assert found["properties"]["furrow:scores"]["mean_iou"] == 1


def test_the_item_names_the_classes_and_its_assets_exist(small):
    found = item_of(small)
    band, confidence, observations = found["assets"]["map"]["bands"]
    assert observations["name"] == "observations" and "unit" not in observations
    assert (band["data_type"], band["nodata"], band["raster:spatial_resolution"]) == ("uint8", 255, 10)
    assert confidence["name"] == "confidence" and "classification:classes" not in confidence
    first, *_, last = band["classification:classes"]
    assert first == {"value": 0, "name": "background", "title": "Other land", "color_hint": "E9E4DA"}
    assert last["value"] == 255 and last["nodata"] is True
    assert found["assets"]["map"]["type"] == "application/vnd.zarr; version=3"
    for asset in found["assets"].values():
        assert small.root.exists(asset["href"].removeprefix("./"))


def test_publishing_twice_gives_the_same_bytes(small):
    keys = ["map.json", *small.root.keys("report"), *small.root.keys("published"), *small.root.keys("map.zarr")]
    before = {key: small.root.read(key) for key in keys}
    run(small)
    assert {key: small.root.read(key) for key in keys} == before


def test_the_item_is_written_last(tmp_path, monkeypatch):
    plan = write_root(lay_plan(tmp_path))
    order = []
    write = type(plan.root).write
    monkeypatch.setattr(type(plan.root), "write", lambda root, key, data: (order.append(key), write(root, key, data)))
    run(plan)
    assert order[-1] == "map.json" and "report/index.html" in order


@pytest.mark.parametrize(
    ("gone", "verb"),
    [
        ("map.zarr", "furrow map"),
        ("map.zarr/confidence/c/0/0", "furrow map"),
        ("ledger/map.zarr/done", "furrow map"),
        ("labels.zarr", "furrow label"),
        ("report/scores.json", "furrow validate"),
        ("checkpoints/season/card.json", "furrow train"),
        ("scenes.json", "furrow ingest"),
    ],
)
def test_what_is_not_whole_is_not_published(tmp_path, gone, verb):
    plan = write_root(lay_plan(tmp_path))
    plan.root.remove(gone)
    with pytest.raises((BadInput, Unfinished)) as refused:
        run(plan)
    assert verb in str(refused.value)
    assert not plan.root.exists("map.json") and not plan.root.exists("report/index.html")


def test_scores_of_another_map_are_refused(tmp_path):
    plan = write_root(lay_plan(tmp_path))
    Store(plan.root, patch_store.NAME).begin({}, {}, {"store": "patches"})
    scores = json.loads(plan.root.read("report/scores.json"))
    plan.root.write("report/scores.json", json.dumps(scores | {"identity": "0" * 16}).encode())
    with pytest.raises(BadInput, match="another map"):
        run(plan)


def test_names_are_put_into_letters_that_the_font_has():
    assert plain("Österreich") == "Osterreich"
    assert plain("Łódź – Część") == "Lodz - Czesc"
    assert plain("Ελλάδα") == ""
