"""Whether anything is left of a cluster: Ray would wait for a lost head or new machines, or end the process unheard."""

import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

LOOK_EVERY = 2.0
"""Seconds in which nothing was done, after which it is worth asking."""

PATIENCE = 15.0
"""Seconds without an answer after which a head is lost: longer than a machine that is very busy stays silent."""


class ClusterLost(Exception):
    """The cluster that a run works on is there no more."""


@dataclass
class Head:
    """Where the head of a cluster listens, and when it was last heard to have machines."""

    ray: Any
    address: str
    heard: float = field(default_factory=time.monotonic)
    counted: float = field(default_factory=time.monotonic)
    machines: bool = True

    def check(self, patience: float = PATIENCE) -> None:
        """Raise if there has been nothing for a while."""
        if listens(self.address) and self._has_machines():
            self.heard = time.monotonic()
        elif (silent := time.monotonic() - self.heard) >= patience:
            what = "has known of no machine" if listens(self.address) else "has not answered"
            raise ClusterLost(f"the head of the Ray cluster, {self.address}, {what} for {silent:.0f} s")

    def _has_machines(self) -> bool:
        """Seldom asked: of a large cluster the answer is long. One that grows has its head's at least."""
        if time.monotonic() - self.counted >= PATIENCE:
            self.machines = any(node["Alive"] for node in self.ray.nodes())
            self.counted = time.monotonic()
        return self.machines


@contextmanager
def watched(ray: Any) -> Iterator[Head | None]:
    """The head of the cluster that we are connected to, or None where it is out of our own reach.

    What Ray raises when there is nothing left is told as that.
    """
    address = str(ray.get_runtime_context().gcs_address)
    head = Head(ray, address) if listens(address) else None
    try:
        yield head
    except (ray.exceptions.RaySystemError, ray.exceptions.RpcError) as error:
        raise ClusterLost(f"the Ray cluster at {address} failed ({str(error)[:200]})") from error
    except ray.exceptions.RayError:
        if head:
            head.check(patience=0)
        raise


def listens(address: str) -> bool:
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=5).close()
    except (OSError, ValueError):
        return False
    return True


def first_ready(ray: Any, references: list[Any], head: Head | None) -> Any:
    """The first of them that has an answer or died; raises where the cluster is lost, without which none might ever."""
    while True:
        ready, _ = ray.wait(references, num_returns=1, timeout=LOOK_EVERY)
        if ready:
            return ready[0]
        if head:
            head.check()
