"""A command as a job of a Ray cluster: handed over, followed by its logs, and told how it ended."""

import asyncio
import logging
import os
import time
from collections.abc import Callable, Mapping, Sequence
from shlex import join
from typing import Any

from cluster.session import ClusterUnreachable, sources

NOT_YET = "No available agent"
"""What Ray says of a cluster that has just begun: it takes jobs a little later than it answers."""

PATIENCE = 60
"""Seconds in which it has to."""


def hand_over(address: str, command: Sequence[str], about: Mapping[str, str]) -> str:
    """The number of the job. Our sources travel along, so that a cluster runs what this machine has."""
    client = _client(address)
    runtime = {**sources(), "env_vars": {"RAY_AUTH_MODE": os.environ["RAY_AUTH_MODE"]}}
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            return str(client.submit_job(entrypoint=join(command), runtime_env=runtime, metadata=dict(about)))
        except RuntimeError as error:
            if NOT_YET not in str(error) or time.monotonic() > deadline:
                raise
        time.sleep(1)


def follow(address: str, job: str, say: Callable[[str], None]) -> tuple[str, str]:
    """Its log, line by line, until it ends; then its status (SUCCEEDED, FAILED or STOPPED) and Ray's message."""
    client = _client(address)
    asyncio.run(_tell(client, job, say))
    info = client.get_job_info(job)
    return str(info.status.value), info.message or ""


async def _tell(client: Any, job: str, say: Callable[[str], None]) -> None:
    rest = ""
    async for text in client.tail_job_logs(job):
        *lines, rest = (rest + text).split("\n")
        for line in lines:
            say(line)
    if rest:
        say(rest)


def _client(address: str) -> Any:
    os.environ.setdefault("RAY_AUTH_MODE", "token")
    logging.getLogger("ray").setLevel(logging.WARNING)  # it tells each file that it does not send
    from ray.job_submission import JobSubmissionClient

    try:
        return JobSubmissionClient(address)
    except (ConnectionError, RuntimeError) as error:
        raise ClusterUnreachable(
            f"no Ray dashboard takes jobs at {address!r} ({str(error)[:200]}). Check that it runs, that this machine "
            "may reach it, and that RAY_AUTH_MODE and the token are the cluster's."
        ) from error
