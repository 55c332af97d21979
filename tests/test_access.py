"""How links become what GDAL opens: signed at each read, refused where they lead astray, and without secrets shown."""

import json
import pickle
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import rasterio
from loopback import Quiet, answers, file_server, serving

from catalogs.errors import BadInput
from catalogs.patience import Patience
from catalogs.stac.access import Access, without_secrets
from catalogs.stac.links import check_href
from catalogs.stac.providers import provider_of
from catalogs.stac.signing import Tokens

EARTH_SEARCH = Access("earth-search", "sentinel-2-l2a", None)
COGS = "https://sentinel-cogs.s3.us-west-2.amazonaws.com"
BLOB = "https://sentinel2l2a01.blob.core.windows.net/sentinel2-l2/60/V/B02.tif"
HOUSE = Path(__file__).parents[1]
QUICK = Patience(tries=3, pause=0.001, connect=1, answer=1)
VARIABLES = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE", "AWS_S3_ENDPOINT", "AWS_ENDPOINT_URL",
             "AWS_ENDPOINT_URL_S3", "AWS_REGION", "AWS_NO_SIGN_REQUEST", "AWS_REQUEST_PAYER", "AWS_HTTPS",
             "AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE", "AWS_WEB_IDENTITY_TOKEN_FILE")  # fmt: skip


@pytest.fixture(autouse=True)
def nobody(monkeypatch, tmp_path) -> None:
    """A user without keys."""
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))


def with_keys(monkeypatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "the-key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "the-secret")


def picture(path: Path, driver: str = "GTiff", **options) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.arange(64 * 64, dtype=np.uint16).reshape(64, 64)
    frame = {"crs": 32633, "transform": rasterio.Affine(10, 0, 600000, 0, -10, 5300040)}
    size = {"width": 64, "height": 64, "count": 1, "dtype": "uint16"}
    with rasterio.open(path, "w", driver=driver, **size, **frame, **options) as file:
        file.write(pixels, 1)
    return path


# what is refused


@pytest.mark.parametrize(
    "href",
    [
        "/etc/passwd",
        "relative/x.tif",
        "file:///etc/passwd",
        "/vsicurl/https://sentinel-cogs.s3.us-west-2.amazonaws.com/x.tif",
        "/vsizip/https://sentinel-cogs.s3.us-west-2.amazonaws.com/x.zip",
        f"{COGS}//vsicurl/http://169.254.169.254/x.tif",
        f"{COGS}/%2Fvsizip/x.tif",
        f"{COGS}/a%252e%252e/%2e%2e/x.tif",
        f"{COGS}/a b.tif",
        f"{COGS}/a\nb.tif",
        f"{COGS}\\@evil.example/x.tif",
        f"{COGS}:8443/x.tif",
        "http://sentinel-cogs.s3.us-west-2.amazonaws.com/x.tif",
        "http://169.254.169.254/latest/meta-data",
        "https://169.254.169.254/latest/meta-data",
        "https://10.0.0.8/x.tif",
        "https://localhost/x.tif",
        "http://127.0.0.1:9/x.tif",
        "https://[::1]/x.tif",
        "https://[::ffff:169.254.169.254]/x.tif",
        "https://2130706433/x.tif",
        "https://user:word@sentinel-cogs.s3.us-west-2.amazonaws.com/x.tif",
        "https://sentinel-cogs.s3.us-west-2.amazonaws.com@evil.example/x.tif",
        "https://sentinel-cogs.s3.us-west-2.amazonaws.com.evil.example/x.tif",
        "https://evil.example/?sentinel-cogs.s3.us-west-2.amazonaws.com",
        "https://evil.example/#sentinel-cogs.s3.us-west-2.amazonaws.com",
        "https://[bad/x.tif",
        "ftp://sentinel-cogs.s3.us-west-2.amazonaws.com/x.tif",
        "s3://other-bucket/x.tif",
        "s3://sentinel-cogs/../other-bucket/x.tif",
        "s3://sentinel-cogs",
        "gs://sentinel-cogs/x.tif",
        "",
    ],
)
def test_links_to_anywhere_else_are_refused(href):
    with pytest.raises(BadInput, match="does not point to"):
        EARTH_SEARCH.location(href)
    with pytest.raises(BadInput, match="does not point to"):
        check_href(provider_of("planetary-computer", "sentinel-2-l2a"), href)


def test_only_hosts_that_the_project_names_are_added():
    access = Access(
        "earth-search", "sentinel-2-l2a", None, ("127.0.0.1", "mirror.example.org", "cogs.s3.eu-west-1.amazonaws.com")
    )
    assert access.location("http://127.0.0.1:8000/x.tif") == "/vsicurl/http://127.0.0.1:8000/x.tif"
    assert access.location("https://mirror.example.org:8443/x.tif") == "/vsicurl/https://mirror.example.org:8443/x.tif"
    assert access.location("s3://cogs/x.tif") == "/vsis3/cogs/x.tif"
    for href in ("http://mirror.example.org/x.tif", "s3://mirror/x.tif", "https://localhost/x.tif"):
        with pytest.raises(BadInput, match="does not point to"):
            access.location(href)


def test_no_list_of_hosts_opens_the_link_local_network():
    with pytest.raises(BadInput, match="does not point to"):
        Access("earth-search", "sentinel-2-l2a", None, ("169.254.169.254",)).location("https://169.254.169.254/x")


# files


def test_a_file_below_the_folder_is_opened_and_nothing_else(tmp_path):
    folder = tmp_path / "archive"
    inside, outside = picture(folder / "a/red.tif"), picture(tmp_path / "red.tif")
    (folder / "link.tif").symlink_to(outside)
    access = Access("local", "sentinel-2-l2a", folder)
    assert access.location("a/red.tif") == str(inside)
    for href in ("../red.tif", str(outside), "link.tif", "a/../../red.tif", "/vsimem/x.tif"):
        with pytest.raises(BadInput, match="points out of"):
            access.location(href)
    with pytest.raises(FileNotFoundError):
        access.location("a/none.tif")


def test_a_file_that_is_no_picture_is_not_opened(tmp_path):
    (tmp_path / "x.tif").write_text("<VRTDataset></VRTDataset>")
    with pytest.raises(OSError, match="neither a TIFF nor a JPEG 2000"):
        Access("local", "sentinel-2-l2a", tmp_path).location("x.tif")


def test_jpeg_2000_is_a_picture(tmp_path):
    picture(tmp_path / "x.jp2", "JP2OpenJPEG", QUALITY=100, REVERSIBLE=True)
    with rasterio.open(Access("cdse", "sentinel-2-l2a", tmp_path).location("x.jp2")) as file:
        assert file.read(1)[3, 5] == 3 * 64 + 5


# signing


@dataclass
class Service:
    """Gives tokens out, and pixels to those who bear the newest."""

    folder: Path
    lifetime: timedelta = timedelta(hours=1)
    given: list[str] = field(default_factory=list)
    refused: int = 0
    """How many reads came without a good token."""
    faults: list = field(default_factory=list)
    asked: list[str] = field(default_factory=list)


@contextmanager
def running(service: Service) -> Iterator[str]:
    class Handler(Quiet):
        def do_GET(self) -> None:
            if not self.path.startswith("/token/"):
                return self.pixels()
            service.asked.append(self.path)
            if service.faults:
                return service.faults.pop(0)(self)
            service.given.append(f"sv=1&sig=s{len(service.given)}%3D")
            expiry = (datetime.now(UTC) + service.lifetime).isoformat().replace("+00:00", "Z")
            self.answer(200, {}, json.dumps({"msft:expiry": expiry, "token": service.given[-1]}).encode())

        def pixels(self) -> None:
            if self.path == "/expire":
                service.given.append("nobody has this")
                return self.answer(200, {}, b"")
            path, _, token = self.path.partition("?")
            if not service.given or token != service.given[-1]:
                service.refused += 1
                return self.answer(403, {}, b"expired")
            self.answer(200, {}, (service.folder / path.strip("/")).read_bytes())

        do_HEAD = do_GET

    with serving(ThreadingHTTPServer(("127.0.0.1", 0), Handler)) as address:
        yield address


def test_links_are_signed_with_a_token_of_their_account_and_container(tmp_path):
    service, tokens = Service(tmp_path), Tokens()
    with running(service) as address:
        signed = [tokens.sign(BLOB + query, f"{address}/token", QUICK) for query in ("", "?sig=old")]
        assert signed == [f"{BLOB}?sv=1&sig=s0%3D"] * 2
        tokens.sign(BLOB.replace("sentinel2-l2", "other"), f"{address}/token", QUICK)
    assert service.asked == ["/token/sentinel2l2a01/sentinel2-l2", "/token/sentinel2l2a01/other"]


def test_a_token_that_ends_within_a_minute_is_renewed(tmp_path):
    service, tokens = Service(tmp_path, lifetime=timedelta(seconds=59)), Tokens()
    with running(service) as address:
        assert tokens.sign(BLOB, f"{address}/token", QUICK) != tokens.sign(BLOB, f"{address}/token", QUICK)


READS = """
import sys, urllib.request
import rasterio
from catalogs.stac.access import Access

access = Access("planetary-computer", "sentinel-2-l2a", None, ("127.0.0.1",), sys.argv[1] + "/token")

def corner(name):
    with rasterio.open(access.location(f"{sys.argv[1]}/container/{name}")) as file:
        return file.read(1)[1, 1]

print(corner("red.tif"))
urllib.request.urlopen(sys.argv[1] + "/expire").read()
try:
    corner("green.tif")
except rasterio.errors.RasterioIOError as error:
    print("403" in str(error))
else:
    print("read")
access.forget()
print(corner("green.tif"))
"""


def test_a_refused_token_is_forgotten_and_the_next_read_is_signed_anew(tmp_path):
    for name in ("red.tif", "green.tif"):
        picture(tmp_path / "container" / name)
    service = Service(tmp_path)
    with running(service) as address:
        assert apart(READS, address) == ["65", "True", "65"]
    assert service.refused and len(service.asked) == 2


def apart(program: str, *words: str) -> list[str]:
    """What a program prints: GDAL waits for an answer without letting a server in its own process give it."""
    done = subprocess.run(
        [sys.executable, "-c", program, *words], capture_output=True, text=True, cwd=HOUSE, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_a_busy_token_service_is_asked_again(tmp_path):
    service = Service(tmp_path, faults=[answers(503), answers(429, Retry_After="0")])
    with running(service) as address:
        assert Tokens().sign(BLOB, f"{address}/token", QUICK).endswith("sig=s0%3D")


def test_a_token_service_that_fails_is_a_failure_of_the_network(tmp_path):
    service = Service(tmp_path, faults=[answers(503)] * 9)
    with running(service) as address, pytest.raises(ConnectionError, match="HTTP response code: 503"):
        Tokens().sign(BLOB, f"{address}/token", QUICK)
    with pytest.raises(ConnectionError, match="no connection"):
        Tokens().sign(BLOB, f"{address}/token", QUICK)


def test_odd_tokens_are_not_put_into_links(tmp_path):
    odd = json.dumps({"msft:expiry": "2100-01-01T00:00:00Z", "token": "a b\r\nHost: evil"}).encode()
    service = Service(tmp_path, faults=[lambda request: request.answer(200, {}, odd)] * 9)
    with running(service) as address, pytest.raises(ConnectionError):
        Tokens().sign(BLOB, f"{address}/token", QUICK)


def test_the_subscription_key_is_sent_and_a_wrong_one_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv("PC_SDK_SUBSCRIPTION_KEY", "mine")
    seen = []

    def refuse(request) -> None:
        seen.append(request.headers.get("Ocp-Apim-Subscription-Key"))
        request.answer(401, {}, b"")

    service = Service(tmp_path, faults=[refuse])
    with running(service) as address, pytest.raises(BadInput, match="PC_SDK_SUBSCRIPTION_KEY"):
        Tokens().sign(BLOB, f"{address}/token", QUICK)
    assert seen == ["mine"]


def test_only_the_planetary_computers_storage_is_signed():
    assert EARTH_SEARCH.location(f"{COGS}/x.tif") == f"/vsicurl/{COGS}/x.tif"
    mirrored = Access("planetary-computer", "sentinel-2-l2a", None, ("mirror.example.org",))
    assert mirrored.location("https://mirror.example.org/x.tif") == "/vsicurl/https://mirror.example.org/x.tif"


# S3


def test_the_copernicus_data_space_needs_keys_and_says_which(monkeypatch):
    access = Access("cdse", "sentinel-2-l2a", None)
    assert access.location("s3://eodata/Sentinel-2/x.jp2") == "/vsis3/eodata/Sentinel-2/x.jp2"
    with pytest.raises(BadInput, match="AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"):
        access.options()
    with_keys(monkeypatch)
    assert access.options() == {"AWS_S3_ENDPOINT": "eodata.dataspace.copernicus.eu", "AWS_VIRTUAL_HOSTING": "FALSE",
                                "AWS_HTTPS": "YES", "AWS_REGION": "default"}  # fmt: skip


@pytest.mark.parametrize(
    ("given", "options"),
    [
        ({}, {"AWS_NO_SIGN_REQUEST": "YES"}),
        ({"AWS_REQUEST_PAYER": "requester"}, {}),
        ({"AWS_ENDPOINT_URL": "http://127.0.0.1:9000"},
         {"AWS_S3_ENDPOINT": "127.0.0.1:9000", "AWS_VIRTUAL_HOSTING": "FALSE", "AWS_HTTPS": "NO"}),
        ({"AWS_S3_ENDPOINT": "minio.example.org", "AWS_ENDPOINT_URL": "http://127.0.0.1:9000"},
         {"AWS_S3_ENDPOINT": "minio.example.org", "AWS_VIRTUAL_HOSTING": "FALSE", "AWS_HTTPS": "YES"}),
    ],
)  # fmt: skip
def test_mirrors_on_s3_follow_the_usual_variables(monkeypatch, given, options):
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    assert EARTH_SEARCH.options() == options


READS_S3 = """
import rasterio
from catalogs.stac.access import Access

access = Access("earth-search", "sentinel-2-l2a", None)
with rasterio.Env(GDAL_DISABLE_READDIR_ON_OPEN="EMPTY_DIR", **access.options()):
    with rasterio.open(access.location("s3://sentinel-cogs/a/red.tif")) as file:
        print(file.read(1)[1, 1])
"""


@pytest.mark.parametrize("keys", [False, True], ids=["anonymous", "signed"])
def test_gdal_reads_a_mirror_on_s3(tmp_path, monkeypatch, keys):
    picture(tmp_path / "sentinel-cogs/a/red.tif")
    seen = []
    server = file_server(tmp_path)
    handler = server.RequestHandlerClass
    forward = handler.do_GET

    def remember(request) -> None:
        seen.append(request.headers.get("Authorization", "nobody"))
        forward(request)

    handler.do_GET = handler.do_HEAD = remember
    if keys:
        with_keys(monkeypatch)
    with serving(server) as address:
        monkeypatch.setenv("AWS_ENDPOINT_URL", address)
        monkeypatch.setenv("AWS_NO_SIGN_REQUEST", "NO" if keys else "YES")
        assert apart(READS_S3) == ["65"]
    assert seen and all(("the-key" in sent) == keys for sent in seen)


# secrets


def test_access_travels_without_secrets(monkeypatch):
    with_keys(monkeypatch)
    for provider in ("earth-search", "planetary-computer", "cdse"):
        access = Access(provider, "sentinel-2-l2a", None)
        assert b"the-" not in pickle.dumps(access) and "the-" not in str(access) + str(access.options())
        assert pickle.loads(pickle.dumps(access)) == access


def test_messages_are_shown_without_signatures():
    told = without_secrets(f"'/vsicurl/{BLOB}?sv=1&sig=abc%3D' not recognized; HTTP response code: 403")
    assert told == f"'/vsicurl/{BLOB}?...' not recognized; HTTP response code: 403"
