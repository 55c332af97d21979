"""Files on a server: read whole whatever happens on the way, bad only if they are, unanswered if nobody answered."""

from collections.abc import Iterator
from itertools import repeat
from pathlib import Path

import numpy as np
import pytest
from affine import Affine
from loopback import Fault, Forwarder, Proxy, answers, cut, file_server, hangs, serving
from rasterio.enums import Resampling

from catalogs.failures import NoAnswer, UnreadableFile
from catalogs.files import GDAL_OPTIONS, Target, gdal_options, read_window
from catalogs.stac.access import Access
from catalogs.synthetic.cogs import write_cog

PIXELS = np.random.default_rng(1).integers(1, 9999, (512, 512), dtype=np.uint16)
PLACE = Affine(10, 0, 500_000, 0, -10, 5_000_000)
HERE = Target(32633, PLACE, PIXELS.shape)
ACCESS = Access("local", "sentinel-2-l2a", None, ("127.0.0.1",))


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"RETRY_DELAY": "0.01", "MAX_RETRY": "1", "LOW_SPEED_TIME": "1"}.items():
        monkeypatch.setenv(f"GDAL_HTTP_{name}", value)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    write_cog(str(tmp_path / "blue.tif"), PIXELS, 32633, PLACE, True)
    return tmp_path / "blue.tif"


@pytest.fixture
def remote(file: Path) -> Iterator[tuple[Proxy, str]]:
    """Under a name of its own: GDAL keeps what it read by address, and ports come again."""
    folder = file.parent
    with serving(file_server(folder.parent)) as behind:
        proxy = Proxy(behind)
        with serving(proxy) as address:
            yield proxy, f"{address}/{folder.name}/blue.tif"


def read(href: str) -> np.ndarray:
    return read_window(href, ACCESS, HERE, Resampling.nearest)


def but_for_size_and_header(fault: Fault) -> Fault:
    def some(request: Forwarder) -> None:
        easy = request.command == "HEAD" or request.headers.get("Range", "").startswith("bytes=0-")
        (Forwarder.forward if easy else fault)(request)

    return some


@pytest.mark.parametrize(
    "faults",
    [
        [answers(503)],
        [answers(429, Retry_After="0")],
        [answers(404)],
        [None, answers(503)],
        [None, None, cut],
        [None, cut, cut, cut, cut],
        [None, hangs],
        [None, None, *[answers(403)] * 2],
    ],
)
def test_what_passes_changes_nothing(remote, faults):
    proxy, href = remote
    proxy.faults.extend(faults)
    assert (read(href) == PIXELS).all() and not proxy.faults
    assert (read(href) == PIXELS).all()


@pytest.mark.parametrize("fault", [answers(503), answers(500), answers(429), answers(403), hangs])
@pytest.mark.parametrize("late", [False, True], ids=["from the start", "after size and header"])
def test_a_server_that_fails_is_not_a_bad_file(remote, fault, late):
    proxy, href = remote
    proxy.faults.extend(repeat(but_for_size_and_header(fault) if late else fault, 200))
    with pytest.raises(NoAnswer, match=r"blue\.tif: "):
        read(href)
    proxy.faults.clear()
    assert (read(href) == PIXELS).all()


@pytest.mark.parametrize("length", [400, 40_000, -1000])
def test_a_file_that_is_truncated_there_is_bad(remote, file, length):
    file.write_bytes(file.read_bytes()[:length])
    with pytest.raises(UnreadableFile):
        read(remote[1])


def test_a_file_that_is_not_there_or_no_picture_is_bad(remote, file):
    with pytest.raises(UnreadableFile, match="404"):
        read(remote[1].replace("blue", "connection-curl-timeout"))
    file.write_text("<VRTDataset/>" * 100)
    with pytest.raises(UnreadableFile, match="not recognized"):
        read(remote[1])


def test_a_link_that_nobody_serves_is_unanswered():
    with pytest.raises(NoAnswer):
        read("http://127.0.0.1:9/blue.tif")


def test_the_environment_sets_how_long_the_network_is_borne_with(monkeypatch):
    assert gdal_options()["GDAL_HTTP_MAX_RETRY"] == "1"
    monkeypatch.setenv("GDAL_CACHEMAX", "1")
    monkeypatch.delenv("GDAL_HTTP_MAX_RETRY")
    assert gdal_options() == GDAL_OPTIONS | {
        "GDAL_HTTP_RETRY_DELAY": "0.01", "GDAL_HTTP_LOW_SPEED_TIME": "1", "GDAL_HTTP_MAX_RETRY": "5",
    }  # fmt: skip
