"""A head that is lost is told after a while of silence, one that is slow is waited for."""

import socket
import time
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from cluster import head as module
from cluster.head import ClusterLost, Head, first_ready, watched


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server


def address_of(listener: socket.socket) -> str:
    return f"127.0.0.1:{listener.getsockname()[1]}"


class Error(Exception):
    pass


def ray_at(address: str, *answers: list[Any]) -> Any:
    """As much of Ray as is asked: where its head is, and what is ready, one answer after the other."""
    given = iter(answers)
    return SimpleNamespace(
        get_runtime_context=lambda: SimpleNamespace(gcs_address=address),
        wait=lambda references, num_returns, timeout: (next(given), []),
        exceptions=SimpleNamespace(RayError=Error),
    )


def test_a_head_that_listens_is_heard_and_one_that_is_silent_for_long_is_lost(listener: socket.socket) -> None:
    head = Head(address_of(listener), heard=time.monotonic() - 100)
    head.check()
    listener.close()
    head.check()  # it was heard just now
    head.heard -= module.PATIENCE
    with pytest.raises(ClusterLost, match=rf"{head.address}, has not answered for 15 s"):
        head.check()


def test_work_that_takes_long_is_waited_for_while_the_head_listens(listener: socket.socket) -> None:
    ray = ray_at(address_of(listener), [], [], [], ["first"])
    with watched(ray) as head:
        assert head and first_ready(ray, ["first", "second"], head) == "first"


def test_nothing_is_waited_for_where_the_head_is_lost(listener: socket.socket) -> None:
    ray = ray_at(address_of(listener), *[[]] * 9)
    with watched(ray) as head:
        listener.close()
        assert head
        head.heard -= module.PATIENCE
        with pytest.raises(ClusterLost):
            first_ready(ray, ["first"], head)


def test_what_ray_raises_is_told_as_a_lost_head_only_if_it_is_lost(listener: socket.socket) -> None:
    ray = ray_at(address_of(listener))
    with pytest.raises(Error), watched(ray):
        raise Error("an actor")
    with pytest.raises(ClusterLost), watched(ray):
        listener.close()
        raise Error("no answer")


def test_a_head_out_of_reach_is_not_watched(listener: socket.socket) -> None:
    address = address_of(listener)
    listener.close()
    with watched(ray_at(address)) as head:
        assert head is None
