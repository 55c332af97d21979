"""Teams of processes that reach one another by Gloo, without a cluster."""

import os
import socket
from collections.abc import Callable
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

from cluster.training import Team

Work = Callable[[Any, Team], None]


def work_together(work: Work, settings: Any, size: int, posts: Path | None = None) -> None:
    """`work(settings, team)` in each of `size` new processes; fails if one of them does."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    context = get_context("spawn")
    workers = [context.Process(target=_member, args=(work, settings, rank, size, port)) for rank in range(size)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [worker.exitcode for worker in workers] == [0] * size


def _member(work: Work, settings: Any, rank: int, size: int, port: int) -> None:
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "GLOO_SOCKET_IFNAME": "lo"}
    torch.set_num_threads(1)
    dist.init_process_group("gloo", rank=rank, world_size=size)
    work(settings, Team(rank, size, torch.device("cpu"), lambda post: None))
    dist.destroy_process_group()
