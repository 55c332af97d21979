"""Downloads from a real server on this machine that cuts connections, changes its file and asks for patience."""

import hashlib
import io
import os
import re
import socket
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from loopback import Quiet, serving

from catalogs.errors import BadInput
from catalogs.parcels import named
from catalogs.parcels.sources import Asked, open_source
from catalogs.patience import Patience
from catalogs.root import Root
from cluster.progress import LineProgress
from pipelines.download import fetch, local_copy

MEGABYTE = 1024**2
CONTENT = os.urandom(5 * MEGABYTE + 123)
HASTY = Patience(tries=3, pause=0.001)


@dataclass
class Shelf:
    """One file on a server, and what the server does to the next requests for it."""

    content: bytes = CONTENT
    etag: str = '"one"'
    modified: str = ""
    cuts: deque[int | None] = field(default_factory=deque)
    """bytes after which the connection is cut, or None"""
    answers: deque[tuple[int, dict[str, str]]] = field(default_factory=deque)
    asked: list[dict[str, str]] = field(default_factory=list)
    """headers of the GET requests"""
    sent: int = 0
    address: str = ""


@contextmanager
def shelf() -> Iterator[Shelf]:
    kept = Shelf()

    class Handler(Quiet):
        def do_GET(self) -> None:
            serve(self, kept)

        do_HEAD = do_GET

    with serving(ThreadingHTTPServer(("127.0.0.1", 0), Handler)) as server:
        kept.address = f"{server}/files/AT%202021.zip?download=1"
        yield kept


def serve(request: Quiet, kept: Shelf) -> None:
    headers = {"ETag": kept.etag, "Last-Modified": kept.modified}
    headers = {name: value for name, value in headers.items() if value}
    if request.command == "HEAD":
        return request.answer(200, {**headers, "Content-Length": str(len(kept.content))}, b"")
    kept.asked.append(dict(request.headers))
    if kept.answers:
        return request.answer(*kept.answers.popleft(), b"refused")
    wanted = re.fullmatch(r"bytes=(\d+)-", request.headers.get("Range", ""))
    same = request.headers.get("If-Range") in (None, kept.etag, kept.modified)
    first = int(wanted[1]) if wanted and same else 0
    if first >= len(kept.content):
        return request.answer(416, {**headers, "Content-Range": f"bytes */{len(kept.content)}"}, b"")
    body, cut = kept.content[first:], kept.cuts.popleft() if kept.cuts else None
    if first:
        headers["Content-Range"] = f"bytes {first}-{len(kept.content) - 1}/{len(kept.content)}"
    kept.sent += len(body[:cut])
    if cut is None:
        return request.answer(206 if first else 200, headers, body)
    request.answer(206 if first else 200, {**headers, "Content-Length": str(len(body))}, body[:cut])
    request.wfile.flush()
    request.close_connection = True
    request.connection.shutdown(socket.SHUT_RDWR)


class Counted:
    """A bar that can be read."""

    def __init__(self) -> None:
        self.done = 0

    def advance(self, count: int = 1, note: str = "") -> None:
        self.done += count


def get(kept: Shelf, target: Path, md5: str = "") -> int:
    bar = Counted()
    fetch(kept.address, target, md5, bar, HASTY)
    return bar.done


def test_a_file_comes_whole_and_only_once(tmp_path):
    with shelf() as kept:
        assert get(kept, tmp_path / "a.zip", hashlib.md5(CONTENT).hexdigest()) == 5
        assert (tmp_path / "a.zip").read_bytes() == CONTENT
        get(kept, tmp_path / "a.zip")
        assert len(kept.asked) == 1 and not list(tmp_path.glob("*.partial*"))


@pytest.mark.parametrize(("etag", "modified"), [('"one"', ""), ('W/"weak"', "Sat, 01 Jan 2022 00:00:00 GMT")])
def test_after_a_cut_it_goes_on_where_it_was(etag, modified, tmp_path):
    with shelf() as kept:
        kept.etag, kept.modified = etag, modified
        kept.cuts.extend([2 * MEGABYTE, 1000, None])
        assert get(kept, tmp_path / "a.zip") == 5
        assert (tmp_path / "a.zip").read_bytes() == CONTENT
        assert kept.sent < len(CONTENT) + MEGABYTE
        assert "Range" not in kept.asked[0] and len(kept.asked) == 3
        assert [asked["If-Range"] for asked in kept.asked[1:]] == [modified or etag] * 2


def test_many_cuts_are_borne_as_long_as_each_try_brings_something(tmp_path):
    with shelf() as kept:
        kept.cuts.extend([600_000] * 8)
        assert get(kept, tmp_path / "a.zip") == 5 and len(kept.asked) == 9 > HASTY.tries
        assert (tmp_path / "a.zip").read_bytes() == CONTENT


def test_what_came_before_the_network_failed_is_kept_for_the_next_run(tmp_path):
    with shelf() as kept:
        kept.cuts.extend([3 * MEGABYTE, 0, 0, 0])
        with pytest.raises(BadInput, match="3 MB.*is kept"):
            get(kept, tmp_path / "a.zip")
        assert not (tmp_path / "a.zip").exists() and (tmp_path / "a.zip.partial").stat().st_size == 3 * MEGABYTE
        before = kept.sent
        assert get(kept, tmp_path / "a.zip") == 2
        assert (tmp_path / "a.zip").read_bytes() == CONTENT
        assert kept.sent - before == len(CONTENT) - 3 * MEGABYTE


def test_two_versions_are_never_mixed(tmp_path):
    with shelf() as kept:
        kept.cuts.extend([2 * MEGABYTE, 0, 0, 0])
        with pytest.raises(BadInput):
            get(kept, tmp_path / "a.zip")
        kept.content, kept.etag = os.urandom(3 * MEGABYTE), '"two"'
        get(kept, tmp_path / "a.zip")
        assert (tmp_path / "a.zip").read_bytes() == kept.content


def test_a_server_that_marks_no_version_is_asked_from_the_start(tmp_path):
    with shelf() as kept:
        kept.etag = ""
        kept.cuts.append(2 * MEGABYTE)
        get(kept, tmp_path / "a.zip")
        assert (tmp_path / "a.zip").read_bytes() == CONTENT
        assert all("Range" not in asked for asked in kept.asked)


def test_what_is_whole_but_was_not_put_in_place_is_not_fetched_again(tmp_path):
    with shelf() as kept:
        kept.cuts.extend([len(CONTENT) - 1, 0, 0, 0])
        with pytest.raises(BadInput):
            get(kept, tmp_path / "a.zip")
        (tmp_path / "a.zip.partial").write_bytes(CONTENT)
        before = kept.sent
        get(kept, tmp_path / "a.zip")
        assert (tmp_path / "a.zip").read_bytes() == CONTENT and kept.sent == before


def test_another_md5_is_told_kept_and_never_used(tmp_path):
    found, wished = hashlib.md5(CONTENT).hexdigest(), "0" * 32
    with shelf() as kept:
        for _ in range(2):
            with pytest.raises(BadInput) as caught:
                get(kept, tmp_path / "a.zip", wished)
            text = str(caught.value)
            assert found in text and wished in text and f"file = '{tmp_path / 'a.unexpected.zip'}'" in text
        assert len(kept.asked) == 1  # the second time it is known without asking
    assert (tmp_path / "a.unexpected.zip").read_bytes() == CONTENT and not (tmp_path / "a.zip").exists()


def test_a_busy_server_is_asked_again_and_one_without_the_file_is_not(tmp_path):
    with shelf() as kept:
        kept.answers.extend([(503, {"Retry-After": "0"}), (429, {})])
        get(kept, tmp_path / "a.zip")
        assert len(kept.asked) == 3 and (tmp_path / "a.zip").read_bytes() == CONTENT
        kept.answers.extend([(404, {})])
        with pytest.raises(BadInput, match="404"):
            get(kept, tmp_path / "b.zip")
        assert len(kept.asked) == 4
        kept.answers.extend([(503, {})] * 9)
        with pytest.raises(BadInput, match="503"):
            get(kept, tmp_path / "b.zip")
        assert not list(tmp_path.glob("b.zip*.partial"))


def test_without_network_the_error_says_what_to_do(tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{free.getsockname()[1]}/a.zip"
    with pytest.raises(BadInput, match="cannot be reached.*file = path"):
        fetch(address, tmp_path / "a.zip", "", Counted(), HASTY)
    assert not (tmp_path / "a.zip").exists()


def test_two_processes_fetch_one_file_once(tmp_path):
    with shelf() as kept:
        threads = [threading.Thread(target=get, args=(kept, tmp_path / "a.zip")) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(kept.asked) == 1 and (tmp_path / "a.zip").read_bytes() == CONTENT


def plan(file: str, root: str) -> Any:
    return SimpleNamespace(project=SimpleNamespace(labels_file=file), root=Root(root))


def test_of_a_download_that_is_no_parcels_it_is_said_how_to_get_another(tmp_path):
    with shelf() as kept:
        kept.content = b"<html>please log in</html>"
        get(kept, here := tmp_path / "downloads" / "AT.zip")
    own = tmp_path / "own.zip"
    own.write_bytes(here.read_bytes())
    for path, told in ((here, True), (own, False)):
        with pytest.raises(BadInput) as caught:
            open_source(path, Asked(), tmp_path / "scratch")
        assert (f"remove it to download it anew: {path}" in caught.value.remedy) == told


def test_the_local_copy_of_a_path_an_address_and_a_name(tmp_path, monkeypatch):
    said = io.StringIO()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with shelf() as kept:
        assert local_copy(plan("/some/parcels.gpkg", "r"), LineProgress(said)) == Path("/some/parcels.gpkg")
        assert kept.asked == []
        here = local_copy(plan(kept.address, str(tmp_path / "root")), LineProgress(said))
        assert here.is_relative_to(tmp_path / "root" / "downloads") and here.name == "AT 2021.zip"
        assert "download: 5 MB" in said.getvalue() and "5 of 5 MB" in said.getvalue()
        assert local_copy(plan(kept.address, str(tmp_path / "root")), LineProgress(said)) == here
        assert len(kept.asked) == 1
        monkeypatch.setattr(named, "RECORD", kept.address.rsplit("/", 1)[0])
        cached = local_copy(plan("eurocrops:LV_2021", "s3://bucket/prefix"), LineProgress(said))
        assert cached.is_relative_to(tmp_path / "cache" / "furrow") and cached.name == "LV_2021.zip"
        with pytest.raises(BadInput, match="490241df2e3d62812e572049fc0c36c5"):
            local_copy(plan("eurocrops:AT_2021", str(tmp_path / "root")), LineProgress(said))
    with pytest.raises(BadInput, match="no file of that name"):
        local_copy(plan("eurocrops:XX_2021", str(tmp_path / "root")), LineProgress(said))
