"""A cluster that is lost is told after a while of silence, and one that is slow is waited for."""

import socket
import time
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from cluster.head import PATIENCE, ClusterLost, Head, first_ready, watched


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server


class RayError(Exception):
    pass


class RaySystemError(RayError):
    pass


class RpcError(RayError):
    pass


ERRORS = SimpleNamespace(RayError=RayError, RaySystemError=RaySystemError, RpcError=RpcError)


def ray_of(listener: socket.socket, *answers: list[Any], alive: bool = True) -> Any:
    """As much of Ray as is asked: where its head is, its machines, and what is ready, one answer after the other."""
    address, given = f"127.0.0.1:{listener.getsockname()[1]}", iter(answers)
    return SimpleNamespace(
        get_runtime_context=lambda: SimpleNamespace(gcs_address=address),
        nodes=lambda: [{"Alive": False}, {"Alive": alive}],
        wait=lambda references, num_returns, timeout: (next(given), []),
        exceptions=ERRORS,
    )


def test_a_head_that_listens_is_heard_and_one_that_is_silent_for_long_is_lost(listener: socket.socket) -> None:
    with watched(ray_of(listener)) as head:
        assert head is not None
        head.heard -= 100
        head.check()
        listener.close()
        head.check()  # it was heard just now
        head.heard -= PATIENCE
        with pytest.raises(ClusterLost, match=rf"{head.address}, has not answered for 15 s"):
            head.check()


@pytest.mark.parametrize("alive", [True, False])
def test_a_cluster_without_machines_is_lost_too(listener: socket.socket, alive: bool) -> None:
    head = Head(ray_of(listener, alive=alive), f"127.0.0.1:{listener.getsockname()[1]}")
    head.check()
    head.heard, head.counted = time.monotonic() - PATIENCE, time.monotonic() - PATIENCE
    if alive:
        head.check()
        return
    with pytest.raises(ClusterLost, match="no machine for 15 s"):
        head.check()


def test_work_that_takes_long_is_waited_for_while_the_head_listens(listener: socket.socket) -> None:
    ray = ray_of(listener, [], [], [], ["first"])
    with watched(ray) as head:
        assert head and first_ready(ray, ["first", "second"], head) == "first"


def test_nothing_is_waited_for_where_the_head_is_lost(listener: socket.socket) -> None:
    ray = ray_of(listener, *[[]] * 9)
    with watched(ray) as head:
        listener.close()
        assert head
        head.heard -= PATIENCE
        with pytest.raises(ClusterLost):
            first_ready(ray, ["first"], head)


def test_what_ray_raises_is_told_as_a_lost_cluster_only_if_it_is_lost(listener: socket.socket) -> None:
    ray = ray_of(listener)
    with pytest.raises(RayError, match="an actor"), watched(ray):
        raise RayError("an actor")
    with pytest.raises(ClusterLost, match="broken pipe"), watched(ray):
        raise RaySystemError("broken pipe")
    with pytest.raises(ClusterLost, match="has not answered"), watched(ray):
        listener.close()
        raise RayError("an actor")


def test_a_head_out_of_reach_is_not_watched(listener: socket.socket) -> None:
    ray = ray_of(listener)
    listener.close()
    with watched(ray) as head:
        assert head is None
