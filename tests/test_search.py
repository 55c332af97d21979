"""Searching: pages, faults that pass and faults that do not, servers that mislead, and catalogues in files."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import date
from http.server import ThreadingHTTPServer
from pathlib import Path

import geopandas as gpd
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import shapely
from loopback import Proxy, Quiet, answers, cut, hangs, serving
from recorded import FLAGGED, answer, needs_real, recorded
from shapely import box
from shapely.geometry import shape

from catalogs.errors import BadInput
from catalogs.patience import Patience
from catalogs.stac.archive import search_archive
from catalogs.stac.choosing import choose_scenes
from catalogs.stac.providers import provider_of
from catalogs.stac.search import search_api
from catalogs.stac.wanted import Wanted

EARTH_SEARCH = replace(provider_of("earth-search", "sentinel-2-l2a"), page_size=2)
PLANETARY = provider_of("planetary-computer", "sentinel-2-l2a")
LOCAL = provider_of("local", "sentinel-2-l2a")
QUICK = Patience(tries=4, pause=0.001, longest=1, connect=1, answer=0.3)
WANTED = Wanted("sentinel-2-l2a", box(15, 47, 16, 48), date(2021, 3, 1), date(2021, 10, 31))


def item(name, day="2021-06-01", href=f"https://{EARTH_SEARCH.hosts[0]}/x.tif"):
    return {
        "type": "Feature",
        "stac_version": "1.0.0",
        "id": name,
        "collection": "sentinel-2-l2a",
        "bbox": [15, 47, 16, 48],
        "geometry": json.loads(shapely.to_geojson(box(15, 47, 16, 48))),
        "properties": {"datetime": f"{day}T10:00:00Z", "proj:epsg": 32633, "s2:processing_baseline": "05.00",
                       "grid:code": "MGRS-33UXP", "platform": "sentinel-2b", "eo:cloud_cover": 1.5},
        "assets": {asset: {"href": href} for asset in EARTH_SEARCH.assets.values()},
        "links": [],
    }  # fmt: skip


SEASON = [item(f"i{n}", f"2021-0{n + 3}-15") for n in range(5)]


@dataclass
class Api:
    """A STAC API as Earth Search is one: POST, a next body that is sent as it is, and an empty page at the end."""

    items: list = field(default_factory=lambda: SEASON)
    asked: list = field(default_factory=list)
    elsewhere: str = ""
    """Another server that its next links lead to."""
    widest: int = 10_000
    """Days; a wider search is too much for it."""
    going_in_circles: bool = False
    collections: tuple = ("sentinel-2-l2a", "sentinel-2-l1c", "landsat-c2-l2")

    def landing(self, here: str) -> dict:
        links = [{"rel": "self", "href": here}, {"rel": "root", "href": here}]
        search = {"rel": "search", "href": f"{here}/search", "type": "application/geo+json"}
        links += [search | {"method": method} for method in ("GET", "POST")]
        links += [{"rel": "data", "href": f"{here}/collections"}]
        parts = ("core", "item-search", "collections", "ogcapi-features")
        conforms = [f"https://api.stacspec.org/v1.0.0/{part}" for part in parts]
        return {"type": "Catalog", "id": "c", "description": "d", "stac_version": "1.0.0", "links": links,
                "conformsTo": conforms}  # fmt: skip

    def collection(self, name: str) -> dict:
        extent = {"spatial": {"bbox": [[-180, -90, 180, 90]]}, "temporal": {"interval": [[None, None]]}}
        return {"type": "Collection", "id": name, "description": "d", "stac_version": "1.0.0", "license": "other",
                "extent": extent, "links": []}  # fmt: skip

    def search(self, here: str, body: dict) -> tuple[int, dict]:
        self.asked.append(body)
        first, last = (date.fromisoformat(end[:10]) for end in body["datetime"].split("/"))
        if (last - first).days > self.widest:
            return 504, {}
        start = 0 if self.going_in_circles else int(body.get("next", 0))
        found = [item for item in self.items if str(first) <= item["properties"]["datetime"] < f"{last}T"]
        page = found[start : start + body["limit"]]
        body = body | {"next": str(start + body["limit"])}
        links = next_links(self.elsewhere or here, body, bool(page))
        return 200, {"type": "FeatureCollection", "features": page, "links": links}


def next_links(here: str, body: dict, more: bool) -> list[dict]:
    link = {"rel": "next", "method": "POST", "merge": False, "href": f"{here}/search", "body": body}
    return [link] if more else []


@contextmanager
def running(api: Api) -> Iterator[str]:
    class Handler(Quiet):
        def do_GET(self) -> None:
            here = f"http://{self.headers['Host']}"
            name = self.path.rstrip("/").removeprefix("/collections/")
            if self.path == "/":
                return self.say(200, api.landing(here))
            if self.path == "/collections":
                return self.say(200, {"collections": [api.collection(name) for name in api.collections], "links": []})
            return (
                self.say(200, api.collection(name)) if name in api.collections else self.say(404, {"code": "NotFound"})
            )

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            self.say(*api.search(f"http://{self.headers['Host']}", body))

        def say(self, status: int, content: dict) -> None:
            self.answer(status, {"Content-Type": "application/json"}, json.dumps(content).encode())

    with serving(ThreadingHTTPServer(("127.0.0.1", 0), Handler)) as address:
        yield address


@contextmanager
def faulty(api: Api, *faults) -> Iterator[tuple[str, Proxy]]:
    with running(api) as behind:
        proxy = Proxy(behind)
        proxy.faults.extend(faults)
        with serving(proxy) as address:
            yield address, proxy


def found(address, wanted=WANTED, provider=EARTH_SEARCH, **how):
    return [item["id"] for item in search_api(provider, address, wanted, patience=QUICK, **how)]


ALL = [item["id"] for item in SEASON]


def test_pages_are_followed_to_the_empty_one_with_the_body_that_was_given():
    api, told = Api(items=SEASON[:4]), []
    with running(api) as address:
        assert found(address, on_page=told.append) == ALL[:4]
    assert told == [2, 4]
    assert [body.get("next") for body in api.asked] == [None, "2", "4"]
    assert api.asked[0]["datetime"] == "2021-03-01T00:00:00Z/2021-11-01T00:00:00Z"


@pytest.mark.parametrize(
    "fault",
    [answers(429, Retry_After="0"), answers(429), answers(503), answers(502), answers(504), answers(403), cut, hangs],
    ids=["429-retry-after", "429", "503", "502", "504", "403", "cut", "hangs"],
)
@pytest.mark.parametrize("place", [0, 1, 2], ids=["landing", "first", "second"])
def test_what_passes_is_tried_again(fault, place):
    with faulty(Api(), *[None] * place, fault, fault) as (address, proxy):
        assert found(address) == ALL
        assert len(proxy.asked) == 1 + 4 + 2


def test_retry_after_is_honoured_and_has_a_limit():
    patience = Patience(longest=7)
    retry = patience.retry((429,))
    assert retry.parse_retry_after("3") == 3 and retry.parse_retry_after("86400") == 7


def test_pauses_grow_and_are_uneven():
    retry = Patience(pause=1, longest=120).retry(())
    waits = []
    for _ in range(4):
        retry = retry.new(history=(*retry.history, None))
        waits.append([retry.get_backoff_time() for _ in range(50)])
    for doubled, wait in enumerate(waits):
        assert 0.5 * 2**doubled <= min(wait) < max(wait) <= 2**doubled


@pytest.mark.parametrize(
    ("faults", "words"),
    [
        ([answers(429)] * 9, ["too busy", "HTTP 429, 4 times", "later"]),
        ([answers(403)] * 9, ["HTTP 403, 4 times", "later"]),
        ([answers(401)], ["does not let us in (HTTP 401)", "FURROW_CATALOG_TOKEN"]),
        ([answers(404)], ["did not answer as a STAC API does", "[imagery] catalog"]),
        ([hangs] * 9, ["cannot be reached", "network"]),
        ([cut] * 9, ["cannot be reached", "network"]),
    ],
    ids=["429", "403", "401", "404", "hangs", "cut"],
)
def test_what_does_not_pass_ends_with_what_to_do(faults, words):
    with faulty(Api(), *faults) as (address, proxy), pytest.raises(BadInput) as error:
        found(address)
    assert all(word in str(error.value) for word in words), error.value
    assert len(proxy.asked) <= 4


def test_403_is_throttling_at_earth_search_alone():
    with faulty(Api(), answers(403)) as (address, proxy), pytest.raises(BadInput, match="FURROW_CATALOG_TOKEN"):
        found(address, provider=PLANETARY)
    assert len(proxy.asked) == 1


def test_a_token_for_the_catalogue_is_sent_to_it(monkeypatch):
    monkeypatch.setenv("FURROW_CATALOG_TOKEN", "secret")
    seen = []

    def look(request) -> None:
        seen.append(request.headers.get("Authorization"))
        request.forward()

    with faulty(Api(), look) as (address, _):
        found(address)
    assert seen == ["Bearer secret"]


def test_nobody_there():
    with serving(ThreadingHTTPServer(("127.0.0.1", 0), Quiet)) as address:
        pass
    with pytest.raises(BadInput, match=r"cannot be reached.*network"):
        found(address)


def test_no_stac_api_there():
    def a_page(request) -> None:
        request.answer(200, {"Content-Type": "text/html"}, b"<html>hello</html>")

    def a_list(request) -> None:
        request.answer(200, {}, b"[1, 2]")

    for fault in (a_page, a_list, lambda request: request.answer(200, {}, b"[" * 100_000)):
        with faulty(Api(), *[fault] * 9) as (address, _), pytest.raises(BadInput, match="did not answer as a STAC API"):
            found(address)


def test_a_wrong_collection_is_told_the_right_ones():
    wanted = replace(WANTED, collection="sentinel-2-l2")
    with running(Api(items=[])) as address, pytest.raises(BadInput, match=r"'sentinel-2-l2'.*It has sentinel-2-l2a, "):
        found(address, wanted)


def test_a_season_without_scenes_is_no_error():
    with running(Api(items=[])) as address:
        assert found(address) == []


def test_a_search_that_is_too_wide_is_halved():
    api = Api(widest=100)
    with running(api) as address:
        assert found(address) == ALL
    answered = [body["datetime"] for body in api.asked if "next" not in body]
    assert "2021-03-01T00:00:00Z/2021-05-02T00:00:00Z" in answered


def test_a_next_link_to_another_server_is_not_followed():
    heard = threading.Event()

    class Trap(Quiet):
        def do_POST(self) -> None:
            heard.set()

    other = ThreadingHTTPServer(("127.0.0.1", 0), Trap)
    refused = pytest.raises(BadInput, match="leads to another server")
    with serving(other) as trap, running(Api(elsewhere=trap)) as address, refused:
        found(address)
    assert not heard.is_set()


def test_a_redirect_to_another_server_is_not_followed():
    fault = answers(302, Location="http://169.254.169.254/latest/meta-data")
    with faulty(Api(), fault) as (address, _), pytest.raises(BadInput, match="another server .'http://169.254"):
        found(address)


def test_pages_that_go_in_circles_end():
    with running(Api(going_in_circles=True)) as address, pytest.raises(BadInput, match="circles"):
        found(address)


@pytest.mark.parametrize(
    "href", ["/etc/passwd", "https://evil.example/x.tif", "http://169.254.169.254/x", "/vsizip/x.zip"]
)
def test_links_to_anywhere_else_end_the_search(href):
    with running(Api(items=[item("bad", href=href)])) as address, pytest.raises(BadInput, match="does not point to"):
        found(address)


def test_hosts_of_the_project_may_be_linked_to():
    with running(Api(items=[item("m", href="https://mirror.example.org/x.tif")])) as address:
        assert found(address, hosts=("mirror.example.org",)) == ["m"]


@needs_real
def test_the_recorded_pages_of_earth_search():
    """A full first page, and an empty one after it."""
    pages = [answer("earthsearch_v1_search_two_pages_last_empty.json")[name] for name in ("page1", "page2_empty")]
    api = Api()
    api.search = lambda here, body: (200, pages.pop(0)["response"] | {"links": next_links(here, body, bool(pages))})
    with running(api) as address:
        wanted = Wanted("sentinel-2-l2a", box(-180, -90, 180, 90), date(2023, 1, 1), date(2023, 12, 31))
        assert (
            len(choose_scenes(search_api(EARTH_SEARCH, address, wanted, patience=QUICK), EARTH_SEARCH, wanted).scenes)
            == 1
        )
    assert not pages


# catalogues in files


def geoparquet(folder: Path, items: list[dict], **change) -> Path:
    """As stac-geoparquet writes it: properties in columns, assets as parts, times as times."""
    rows = [
        {name: one[name] for name in ("type", "stac_version", "id", "collection", "bbox", "assets")}
        | one["properties"]
        | {"datetime": pd.Timestamp(one["properties"]["datetime"]), "geometry": shape(one["geometry"]).wkb}
        | change
        for one in items
    ]
    file = folder / "items.parquet"
    pq.write_table(pa.Table.from_pylist(rows), file)
    return file


def local_item(name, day="2021-06-01", href="red.tif"):
    return item(name, day, href)


def test_a_stac_geoparquet_file_is_a_catalogue(tmp_path):
    other = local_item("other") | {"collection": "sentinel-2-l1c"}
    file = geoparquet(
        tmp_path, [local_item("a"), local_item("late", "2021-11-01"), other, local_item("b", "2021-10-31")]
    )
    found = choose_scenes(search_archive(LOCAL, file, WANTED), LOCAL, WANTED)
    assert [scene.id for scene in found.scenes] == ["a", "b"] and not found.left_out
    scene = found.scenes[0]
    assert (scene.moment, scene.epsg, scene.offset, scene.hrefs["B04"]) == (
        "2021-06-01T10:00:00+00:00",
        32633,
        1000,
        "red.tif",
    )


@needs_real
def test_a_recorded_item_is_the_same_from_parquet(tmp_path):
    real = recorded(FLAGGED)[0]
    file = geoparquet(tmp_path, [real, local_item("sparse")])
    wanted = Wanted("sentinel-2-l2a", box(-180, -90, 180, 90), date(2025, 1, 1), date(2025, 12, 31))
    (scene,) = choose_scenes(search_archive(EARTH_SEARCH, file, wanted), EARTH_SEARCH, wanted).scenes
    assert scene == choose_scenes([real], EARTH_SEARCH, wanted).scenes[0]


def test_a_parquet_file_of_geopandas_is_read_too(tmp_path):
    one = local_item("a")
    columns = {"id": ["a"], "assets": [json.dumps(one["assets"])], **{k: [v] for k, v in one["properties"].items()}}
    gpd.GeoDataFrame(columns, geometry=[box(15, 47, 16, 48)], crs=4326).to_parquet(tmp_path / "items.parquet")
    found = choose_scenes(search_archive(LOCAL, tmp_path / "items.parquet", WANTED), LOCAL, WANTED)
    assert [scene.id for scene in found.scenes] == ["a"]


@pytest.mark.parametrize(
    "href", ["../red.tif", "/etc/passwd", "file:///etc/passwd", "https://evil.example/x", "/vsizip/x"]
)
def test_links_out_of_the_folder_are_refused(tmp_path, href):
    with pytest.raises(BadInput, match="points out of the catalogue's folder"):
        list(search_archive(LOCAL, geoparquet(tmp_path, [local_item("a", href=href)]), WANTED))


def test_an_absolute_path_inside_the_folder_is_a_link(tmp_path):
    file = geoparquet(tmp_path, [local_item("a", href=str(tmp_path / "red.tif"))])
    assert next(iter(search_archive(LOCAL, file, WANTED)))["assets"]["red"]["href"] == "red.tif"


def test_files_that_are_no_catalogue(tmp_path):
    for content in (b"", b"hello", b"PAR1" + b"\0" * 100 + b"PAR1"):
        (tmp_path / "x.parquet").write_bytes(content)
        with pytest.raises(BadInput, match="cannot be read as stac-geoparquet"):
            list(search_archive(LOCAL, tmp_path / "x.parquet", WANTED))
    with pytest.raises(BadInput, match="is not there"):
        list(search_archive(LOCAL, tmp_path / "none.parquet", WANTED))
    pq.write_table(pa.table({"id": ["a"]}), tmp_path / "x.parquet")
    with pytest.raises(BadInput, match="no column assets, datetime, geometry"):
        list(search_archive(LOCAL, tmp_path / "x.parquet", WANTED))


def test_a_static_catalogue_of_another_provider(tmp_path):
    """Files that the Planetary Computer's names describe, and links to its storage beside files."""
    one = local_item("a") | {"links": []}
    link = f"https://{PLANETARY.hosts[0]}/sentinel2-l2/x.tif"
    one["assets"] = {band: {"href": link if band == "B02" else f"{band}.tif"} for band in PLANETARY.assets.values()}
    (tmp_path / "items").mkdir()
    (tmp_path / "items" / "a.json").write_text(json.dumps(one))
    links = [{"rel": "item", "href": "./items/a.json"}]
    catalog = {"type": "Catalog", "id": "c", "description": "d", "stac_version": "1.0.0", "links": links}
    (tmp_path / "catalog.json").write_text(json.dumps(catalog))
    found = choose_scenes(search_archive(PLANETARY, tmp_path / "catalog.json", WANTED), PLANETARY, WANTED)
    (scene,) = found.scenes
    assert scene.hrefs["B03"] == "items/B03.tif" and scene.hrefs["B02"] == link and scene.offset == 1000
