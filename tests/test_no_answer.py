"""A store that does not answer is told from one that says no, and costs no more than the units that it did not take."""

import errno
from collections.abc import Callable
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError
from fsspec.exceptions import FSTimeoutError
from s3fs.errors import translate_boto_error

from catalogs.no_answer import is_no_answer
from catalogs.root import Root
from catalogs.stores import Store
from cluster.head import ClusterLost
from cluster.progress import LineProgress
from pipelines.exits import UNFINISHED, Exit, go
from pipelines.outcomes import Outcomes, Unfinished
from pipelines.plan import make_plan
from pipelines.project import load_project
from pipelines.run import call

GONE = EndpointConnectionError(endpoint_url="http://127.0.0.1:9")


def answered(code: str) -> BaseException:
    """What s3fs raises for an answer of S3."""
    error: BaseException = translate_boto_error(ClientError({"Error": {"Code": code, "Message": code}}, "PutObject"))
    return error


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (answered("SlowDown"), True),
        (answered("InternalError"), True),
        (answered("RequestTimeout"), True),
        (GONE, True),
        (FSTimeoutError(), True),
        (answered("NoSuchKey"), False),
        (answered("AccessDenied"), False),
        (OSError(errno.ENOSPC, "full"), False),
        (ValueError("ours"), False),
    ],
)
def test_which_errors_mean_that_a_store_did_not_answer(error: BaseException, expected: bool) -> None:
    assert is_no_answer(error) is expected


def test_an_error_that_is_its_own_cause_is_looked_at_once() -> None:
    error = OSError(errno.ENOTEMPTY, "Directory not empty")
    error.__cause__ = error
    assert not is_no_answer(error)


def test_an_error_of_a_verb_is_raised_as_it_came(
    project_file: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """And not as its own cause, which nobody who follows causes would come to the end of."""
    error = OSError(errno.EMFILE, "Too many open files")

    def fail(*_: object) -> dict[str, Any]:
        raise error

    monkeypatch.setattr("pipelines.ingest.ingest", fail)
    with pytest.raises(OSError, match="Too many open files") as raised:
        call("ingest", make_plan(load_project(project_file())), LineProgress(StringIO()))
    assert raised.value is error and error.__cause__ is None


def outcomes_where(root: Root, monkeypatch: pytest.MonkeyPatch, error: Exception) -> Outcomes:
    """Of a store that fails whenever it is written to."""

    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(Root, "write", fail)
    return Outcomes(Store(root, "map.zarr"))


def test_units_are_named_though_the_store_takes_no_note_of_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    outcomes = outcomes_where(Root(str(tmp_path)), monkeypatch, GONE)
    for unit in ("a", "b"):
        outcomes.add(unit, OSError(errno.EBUSY, "SlowDown"))
    with pytest.raises(Unfinished, match=r"2 units of map.zarr failed: a .*SlowDown.*; b"):
        outcomes.check()


def test_what_is_wrong_with_a_store_that_answers_is_not_swallowed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    outcomes = outcomes_where(Root(str(tmp_path)), monkeypatch, PermissionError("read only"))
    with pytest.raises(PermissionError):
        outcomes.add("a", ValueError("why"))


@pytest.mark.parametrize(
    ("error", "words", "at_once"),
    [(GONE, "did not answer as it should", False), (ClusterLost("the head is gone"), "the head is gone", True)],
)
def test_a_command_tells_what_was_lost_and_how_to_go_on(
    capsys: pytest.CaptureFixture[str], error: Exception, words: str, at_once: bool
) -> None:
    def work(_: Any) -> dict[str, Any]:
        raise error

    with pytest.raises(Exit) as left:
        go(work, False, "furrow map p.toml")
    assert (left.value.status, left.value.at_once) == (UNFINISHED, at_once)
    said = capsys.readouterr().err
    assert words in said and "furrow map p.toml" in said and "Traceback" not in said
