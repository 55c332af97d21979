"""A real STAC API and files over HTTP: what comes from them is what lies on disk, also when the network misbehaves."""

import copy
import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import pytest
import xarray as xr
from conftest import PROJECT, finish, furrow
from loopback import Fault, Proxy, answers, cut, file_server, hangs, serving, slow
from numpy.typing import NDArray
from servers import load_stac, stac_api
from shapely import box

from catalogs.bands import BANDS
from catalogs.errors import BadInput
from catalogs.files import GDAL_OPTIONS
from catalogs.grid import Grid
from catalogs.patience import Patience
from catalogs.reading import Scenery
from catalogs.scenes import Scene, SceneList
from catalogs.stac.access import Access
from catalogs.stac.providers import provider_of
from catalogs.stac.search import search_api
from catalogs.stac.wanted import Wanted

pytestmark = pytest.mark.slow

COLLECTION = "sentinel-2-l2a"
OLDER = 45
"""Products of each observation that a newer one has replaced: enough of them for several pages of the usual size."""

HASTY = Patience(tries=6, pause=0.02, connect=2, answer=2)

SMALL = {"tile = 128": "tile = 256", "periods = 3": "periods = 2", "end = 2021-10-31": "end = 2021-06-30"}


class Network:
    """The API and the files, each behind a proxy."""

    def __init__(self, api: Proxy, files: Proxy, addresses: dict[str, str]) -> None:
        self.api, self.files = api, files
        self.address, self.files_address = addresses["api"], addresses["files"]


@pytest.fixture(scope="module")
def network(catalog: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Network]:
    with ExitStack() as running:
        service = running.enter_context(stac_api())
        api = Proxy(service["address"])
        files = Proxy(running.enter_context(serving(file_server(catalog))))
        addresses = {"api": running.enter_context(serving(api)), "files": running.enter_context(serving(files))}
        folder = tmp_path_factory.mktemp("to-load")
        written = [item for path in catalog.glob("*/*/*.json") for item in published(path, catalog, addresses["files"])]
        for kind, content in {
            "collections": [json.loads((catalog / COLLECTION / "collection.json").read_text())],
            "items": written,
        }.items():
            (folder / kind).write_text("\n".join(map(json.dumps, content)))
            load_stac(service["database"], kind, folder / kind)
        yield Network(api, files, addresses)


def published(path: Path, catalog: Path, files: str) -> Iterator[dict[str, Any]]:
    """An item with links over HTTP, and products of the same observation that it has replaced, whose files are gone."""
    item = json.loads(path.read_text())
    item["links"] = []
    for asset in item["assets"].values():
        asset["href"] = f"{files}/{(path.parent / asset['href']).resolve().relative_to(catalog.resolve())}"
    yield item
    for number in range(OLDER):
        older = copy.deepcopy(item)
        older["id"] += f"_OLD{number}"
        older["properties"] |= {"s2:processing_baseline": "02.05", "s2:generation_time": "2020-01-01T00:00:00.000Z"}
        for asset in older["assets"].values():
            asset["href"] = f"{files}/gone/{number}.tif"
        yield older


@pytest.fixture(autouse=True)
def quiet(request: pytest.FixtureRequest) -> None:
    """No faults are left over from the test before."""
    if "network" in request.fixturenames:
        running = request.getfixturevalue("network")
        for proxy in (running.api, running.files):
            proxy.faults.clear(), proxy.asked.clear()


def ingested(folder: Path, catalog: Path, replace_: dict[str, str]) -> xr.Dataset:
    """The cube that the command makes of a project."""
    text = PROJECT.format(catalog=catalog, root=folder / "root")
    for old, new in (SMALL | replace_).items():
        assert old in text
        text = text.replace(old, new)
    (folder / "project.toml").write_text(text)
    finish(furrow("ingest", folder / "project.toml"))
    return xr.open_zarr(folder / "root/cube.zarr", decode_coords="all").load()


@pytest.fixture(scope="module")
def local(catalog: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[xr.Dataset, SceneList]:
    """The cube made from the files on disk, and its scenes."""
    folder = tmp_path_factory.mktemp("local")
    cube = ingested(folder, catalog, {})
    return cube, SceneList.decode((folder / "root/scenes.json").read_bytes())[0]


def over_http(network: Network, catalog: Path) -> dict[str, str]:
    return {
        'provider = "local"': f'provider = "earth-search"\nhosts = ["127.0.0.1"]\ncatalog = "{network.address}"',
        f'catalog = "{catalog}/catalog.json"': "",
    }


def pages(proxy: Proxy) -> int:
    return sum("/search" in line for line in proxy.asked)


SPELLS: dict[str, dict[str, list[Fault | None]]] = {
    "undisturbed": {"api": [], "files": []},
    "disturbed": {
        "api": [answers(429, Retry_After="0"), None, answers(503), None, cut, answers(403), slow(0.3)],
        "files": [None, answers(429, Retry_After="0"), None, None, answers(503), None, None, None, cut, slow(0.3)] * 2,
    },
}


@pytest.mark.parametrize("spell", SPELLS)
def test_the_cube_from_a_stac_api_is_the_cube_from_files(
    spell: str, local: tuple[xr.Dataset, SceneList], network: Network, catalog: Path, tmp_path: Path
) -> None:
    network.api.faults.extend(SPELLS[spell]["api"])
    network.files.faults.extend(SPELLS[spell]["files"])
    cube = ingested(tmp_path, catalog, over_http(network, catalog))
    assert cube.identical(local[0]) and (cube.observations > 0).any()
    found = SceneList.decode((tmp_path / "root/scenes.json").read_bytes())[0]
    assert found.identity == local[1].identity and len(found.scenes) == 8
    assert pages(network.api) >= 4 and not network.api.faults and not network.files.faults
    assert any(line.endswith(".tif") for line in network.files.asked)
    assert not any("/gone/" in line for line in network.files.asked)


def found(network: Network, page_size: int = 60) -> list[dict[str, Any]]:
    """All items of the summer, in an order of their own, without their links, which say where they were asked for."""
    provider = replace(provider_of("earth-search", COLLECTION), page_size=page_size)
    wanted = Wanted(COLLECTION, box(11.9, 47.8, 12.1, 48.0), date(2021, 6, 1), date(2021, 8, 31), of_server=True)
    items = search_api(provider, network.address, wanted, ("127.0.0.1",), HASTY)
    return sorted(({**item, "links": []} for item in items), key=lambda item: str(item["id"]))


API_FAULTS: dict[str, Callable[[], list[Fault | None]]] = {
    "429": lambda: [answers(429, Retry_After="0")] * 3,
    "429, come back in a second": lambda: [None, answers(429, Retry_After="1")],
    "503": lambda: [None, answers(503), answers(503)],
    "403, which is how Earth Search throttles": lambda: [answers(403), None, answers(403), answers(403)],
    "cut": lambda: [cut, None, cut, cut],
    "slow": lambda: [slow(0.3)] * 4,
    "hung": lambda: [hangs, None, None, hangs],
    "all of them": lambda: [
        hangs,
        answers(429, Retry_After="0"),
        cut,
        None,
        answers(503),
        slow(0.2),
        cut,
        answers(403),
    ],
}


@pytest.mark.parametrize("fault", API_FAULTS)
def test_a_search_bears_with_the_server(fault: str, network: Network) -> None:
    undisturbed = found(network)
    assert len(undisturbed) > 200 and pages(network.api) >= 4
    asked = len(network.api.asked)
    network.api.faults.extend(API_FAULTS[fault]())
    assert found(network) == undisturbed
    tried_again = len(network.api.asked) - 2 * asked
    assert not network.api.faults and (tried_again > 0) == (fault != "slow")


@pytest.mark.parametrize("page_size", [7, 100, 1000])
def test_pages_of_any_size_bring_the_same_items(page_size: int, network: Network) -> None:
    assert found(network, page_size) == found(network)


def test_a_server_that_never_answers_is_given_up_and_the_error_says_what_to_do(network: Network) -> None:
    network.api.faults.extend([answers(503)] * 100)
    with pytest.raises(BadInput, match=r"127\.0\.0\.1") as refused:
        found(network)
    assert "503" in str(refused.value) and len(network.api.asked) <= HASTY.tries


FILE_FAULTS: dict[str, Callable[[], list[Fault | None]]] = {
    "429": lambda: [answers(429, Retry_After="0"), None, answers(429, Retry_After="0")],
    "503": lambda: [answers(503), None, None, answers(503)],
    "cut in the header": lambda: [cut],
    "cut in the pixels": lambda: [None, None, cut],
    "slow": lambda: [slow(0.3)] * 3,
    "hung": lambda: [hangs, None, None, hangs],
}


@pytest.mark.parametrize("fault", FILE_FAULTS)
def test_pixels_bear_with_the_server(
    fault: str, local: tuple[xr.Dataset, SceneList], network: Network, catalog: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {"GDAL_HTTP_TIMEOUT": "1", "GDAL_HTTP_RETRY_DELAY": "0.1"}.items():
        monkeypatch.setitem(GDAL_OPTIONS, name, value)
    cube, scene = local[0], local[1].scenes[0]
    west, south, east, north = (float(value) for value in (cube.x[0], cube.y[-1], cube.x[-1], cube.y[0]))
    grid = Grid.around((west, south, east, north), "EPSG:31287", 10, 256)
    # GDAL remembers what an address has answered, so each test asks for one that it has not seen.
    hrefs = {band: f"{network.files_address}/{href}?{uuid4()}" for band, href in scene.hrefs.items()}
    expected = pixels(scene, Access("local", COLLECTION, catalog), grid)
    network.files.faults.extend(FILE_FAULTS[fault]())
    remote = pixels(replace(scene, hrefs=hrefs), Access("earth-search", COLLECTION, None, ("127.0.0.1",)), grid)
    assert not network.files.faults and expected.any()
    assert (remote == expected).all()


def pixels(scene: Scene, access: Access, grid: Grid) -> NDArray[Any]:
    """All bands of a scene on the first tile of a grid."""
    window = grid.window(next(grid.tiles()))
    found = np.empty((len(BANDS), window.height, window.width), np.uint16)
    Scenery(access, grid, "bilinear").bands(scene, BANDS, window, found)
    return found
