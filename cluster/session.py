"""Joining or starting the Ray cluster that a run works on."""

import logging
import os
import signal
import socket
import tempfile
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

from cluster.kept import opened

OBJECT_STORE_BYTES = 200 * 1024**2
"""Only small values travel through Ray, arrays go through stores: a small object store is enough."""

IN_A_JOB = "RAY_JOB_CONFIG_JSON_ENV_VAR"
"""What Ray sets for a command that was submitted as a job."""

LEFT_OUT = ["/.?*", "/tests", "/docs", "/benchmarks", "/furrow-demo*", "*.zarr"]

FAREWELL = 5
"""Seconds in which a cluster has to answer a goodbye; one that is gone would keep us for a minute and then kill us."""


class ClusterUnreachable(Exception):
    """An address was given and no cluster answered there."""


def ray_session(address: str, workers: int) -> AbstractContextManager[Any]:
    """A connection to the cluster at `address`, or a private one with `workers` CPU slots if there is none."""
    return opened("ray", lambda: _connect(address, workers))


@contextmanager
def _connect(address: str, workers: int) -> Iterator[Any]:
    _set_environment(private=not address)
    import ray

    if ray.is_initialized():  # somebody else's session: use it, and leave it open
        yield ray
        return
    _check_answers(address)
    on_term = signal.getsignal(signal.SIGTERM)
    try:
        ray.init(**(_private(workers) if not address else _joined(address)))
    except ConnectionError as error:
        raise _unreachable(address, error) from error
    finally:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, on_term)  # Ray has put its own there, which ends without a word
    try:
        yield ray
    finally:
        _leave(ray)


def _leave(ray: Any) -> None:
    """End the connection, but do not wait for a cluster that is gone: a signal to a process group fells Ray's too."""
    leaving = threading.Thread(target=ray.shutdown, daemon=True)
    leaving.start()
    leaving.join(FAREWELL)


def _check_answers(address: str) -> None:
    """Ray would try a port that nobody listens on for minutes."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not host:  # this machine, or a cluster that Ray finds by itself
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=15).close()
    except (OSError, OverflowError) as error:
        raise _unreachable(address, error) from error


def _unreachable(address: str, error: Exception) -> ClusterUnreachable:
    return ClusterUnreachable(
        f"no Ray cluster answered at {address!r} ({str(error)[:200]}). Check that it runs, that this machine may "
        "reach it, and that RAY_AUTH_MODE and the token are the cluster's: a wrong token looks the same."
    )


def _private(workers: int) -> dict[str, Any]:
    return {
        "address": "local",  # not one that Ray finds by itself
        "num_cpus": workers,
        "include_dashboard": False,
        "log_to_driver": False,
        "logging_level": logging.ERROR,
        "object_store_memory": OBJECT_STORE_BYTES,
        "_temp_dir": str(Path(tempfile.gettempdir()) / "ray"),
    }


def _joined(address: str) -> dict[str, Any]:
    found: dict[str, Any] = {"address": address, "log_to_driver": False, "logging_level": logging.ERROR}
    # Workers elsewhere import the same sources, which travel along; those of a job that was submitted have done so.
    return found if IN_A_JOB in os.environ else found | {"runtime_env": sources()}


def sources() -> dict[str, Any]:
    """The folder that holds our packages, as Ray ships it."""
    return {"working_dir": str(Path(__file__).parents[1]), "excludes": LEFT_OUT}


def _set_environment(private: bool) -> None:
    os.environ.setdefault("RAY_AUTH_MODE", "token")  # without it anyone who reaches a port runs code
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("TORCH_PROCESS_GROUP_SHUTDOWN_TIMEOUT_S", "3")  # workers that wait for one that failed
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    if private:
        os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")  # every listener on loopback only
