"""Independent items on Dask workers: a bounded window of them in flight, lost workers replaced."""

import signal
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from itertools import islice
from typing import Any, TypeVar

from cluster.kept import opened

Item = TypeVar("Item")
Result = TypeVar("Result")

IN_FLIGHT_PER_WORKER = 2
"""Enough that a worker never waits for the driver, few enough that a million items cost the driver nothing."""

WORKER_ENVIRONMENT = {
    "OMP_NUM_THREADS": 1,
    "MKL_NUM_THREADS": 1,
    "OPENBLAS_NUM_THREADS": 1,
    "MALLOC_MMAP_THRESHOLD_": 32 * 1024**2,
    "MALLOC_TRIM_THRESHOLD_": 128 * 1024**2,
}
"""One thread a worker. And memory of arrays is kept for the next ones: Dask's own setting has glibc give back all of it
each time, so that every array begins with page faults, which took more than half of a worker's time."""


def dask_workers(count: int) -> AbstractContextManager[Any]:
    """`count` single-threaded worker processes on this machine, reachable on loopback only."""
    return opened(f"dask {count}", lambda: _start(count))


@contextmanager
def _start(count: int) -> Iterator[Any]:
    import dask
    from distributed import Client, LocalCluster

    settings = {
        "distributed.scheduler.allowed-failures": 3,
        "distributed.comm.timeouts.connect": "60s",
        "distributed.admin.log-format": "%(message)s",
        "logging.distributed": "error",
        "distributed.worker.memory.terminate": 0.95,
        "distributed.worker.profile.enabled": False,  # it looks at what a worker does a hundred times a second
        "distributed.admin.system-monitor.interval": "5s",
        "distributed.nanny.pre-spawn-environ": WORKER_ENVIRONMENT,
    }
    with (
        dask.config.set(settings),
        LocalCluster(
            n_workers=count,
            threads_per_worker=1,
            processes=True,
            host="127.0.0.1",
            dashboard_address="127.0.0.1:0",  # None would ask for a port that others may have, and warn
            silence_logs=50,
        ) as machines,
        Client(machines) as client,
    ):
        client.register_plugin(_deaf_to_ctrl_c())
        yield client


def _deaf_to_ctrl_c() -> Any:
    """A terminal's Ctrl-C reaches the whole process group; stopping in order is the driver's business."""
    from distributed import WorkerPlugin

    class DeafToCtrlC(WorkerPlugin):  # type: ignore[misc]
        def setup(self, worker: Any) -> None:
            signal.signal(signal.SIGINT, signal.SIG_IGN)

    return DeafToCtrlC()


def each(
    client: Any, function: Callable[[Item], Result], items: Iterable[Item]
) -> Iterator[tuple[Item, Result | Exception]]:
    """Apply `function` to every item, in any order; an item that raises gives its exception, not the end of the run.

    The plain twin, which needs no cluster, is `((item, function(item)) for item in items)`.
    """
    from distributed import as_completed

    waiting = iter(items)
    window = IN_FLIGHT_PER_WORKER * max(len(client.scheduler_info()["workers"]), 1)
    running = {client.submit(function, item, pure=False): item for item in islice(waiting, window)}
    finished = as_completed(list(running))
    for future in finished:
        error = future.exception()
        yield running.pop(future), error if error is not None else future.result()
        for item in islice(waiting, 1):
            successor = client.submit(function, item, pure=False)
            running[successor] = item
            finished.add(successor)
