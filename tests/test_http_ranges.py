"""Ranges of files behind HTTP: the bytes that were asked for, whatever the network does on the way."""

import multiprocessing
import re
import traceback
from collections.abc import Iterator
from itertools import repeat
from pathlib import Path

import pytest
from loopback import Forwarder, Proxy, answers, cut, file_server, serving

from catalogs.errors import BadInput
from catalogs.http_ranges import read_range
from catalogs.no_answer import is_no_answer
from catalogs.root import Root

BYTES = bytes(range(256)) * 40


@pytest.fixture
def remote(tmp_path: Path) -> Iterator[tuple[Proxy, Root]]:
    (tmp_path / "shard").write_bytes(BYTES)
    with serving(file_server(tmp_path)) as files:
        proxy = Proxy(files)
        with serving(proxy) as url:
            yield proxy, Root(url)


def knows_no_ranges(request: Forwarder) -> None:
    del request.headers["Range"]
    request.forward()


@pytest.mark.parametrize(("start", "end"), [(0, None), (0, 1), (100, 300), (9000, None), (-4, None), (10_000, 99_999)])
@pytest.mark.parametrize("fault", [None, knows_no_ranges], ids=["ranges", "the whole file"])
def test_the_bytes_are_those_of_the_file(remote, start, end, fault):
    proxy, root = remote
    proxy.faults.append(fault)
    assert root.read_part("shard", start, end) == BYTES[start:end]
    assert len(proxy.asked) == 1


@pytest.mark.parametrize("faults", [[answers(503)], [answers(429, Retry_After="0")] * 2, [cut], [cut, answers(502)]])
def test_what_passes_changes_nothing(remote, faults):
    proxy, root = remote
    proxy.faults.extend(faults)
    assert root.read_part("shard", 5, 5000) == BYTES[5:5000]
    assert len(proxy.asked) == len(faults) + 1


def test_what_is_not_there_is_told_as_such(remote):
    with pytest.raises(FileNotFoundError):
        remote[1].read_part("other", 0, 4)


@pytest.mark.parametrize(
    ("status", "kind", "told"),
    [
        (403, PermissionError, "cannot be read (the server answers 403)"),
        (410, FileNotFoundError, "shard"),
        (416, BadInput, "is shorter than was said of it"),
        (418, ConnectionError, "cannot be read (the server answers 418)"),
    ],
)
def test_a_refusal_is_told_with_the_address_and_no_secret(remote, status, kind, told):
    proxy, root = remote
    proxy.faults.append(answers(status))
    url = root.url.replace("//", "//me:secret@")
    with pytest.raises(kind, match=re.escape(told)) as refusal:
        read_range(f"{url}/shard?signature=secret", 0, 4)
    assert is_no_answer(refusal.value) == (kind is ConnectionError)
    assert "shard" in str(refusal.value) and "secret" not in str(refusal.value)


def test_a_name_and_password_in_the_address_are_given(remote):
    proxy, root = remote
    seen = []
    proxy.faults.append(lambda request: (seen.append(request.headers["Authorization"]), request.forward()))
    assert Root(root.url.replace("//", "//me:secret@")).read_part("shard", 0, 4) == BYTES[:4]
    assert seen == ["Basic bWU6c2VjcmV0"]


def test_a_server_that_stays_busy_gave_no_answer(remote, monkeypatch):
    proxy, root = remote
    monkeypatch.setattr("catalogs.http_ranges.RETRY.backoff_factor", 0)
    proxy.faults.extend(repeat(answers(503), 9))
    with pytest.raises(ConnectionError, match="shard cannot be read") as told:
        root.read_part("shard", 0, 4)
    assert is_no_answer(told.value) and len(proxy.asked) == 5


def test_a_server_that_is_not_there_gave_no_answer(remote, monkeypatch):
    monkeypatch.setattr("catalogs.http_ranges.RETRY.total", 0)
    with pytest.raises(ConnectionError, match="shard cannot be read") as told:
        read_range("http://me:secret@127.0.0.1:9/shard?signature=secret", 0, 4)
    assert is_no_answer(told.value) and "secret" not in "".join(traceback.format_exception(told.value, limit=0))


def test_a_process_that_was_forked_off_asks_for_itself(remote):
    _, root = remote
    root.read_part("shard", 0, 4)
    with multiprocessing.get_context("fork").Pool(1) as pool:
        theirs = [pool.apply_async(root.read_part, ("shard", at, at + 100)) for at in range(0, 5000, 100)]
        ours = [root.read_part("shard", at, at + 100) for at in range(0, 5000, 100)]
        assert [one.get(30) for one in theirs] == ours == [BYTES[at : at + 100] for at in range(0, 5000, 100)]
