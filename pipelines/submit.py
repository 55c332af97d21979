"""submit: a verb as a job of a Ray cluster, with its log here."""

import sys
from typing import Any

from catalogs.errors import BadInput
from cluster.jobs import follow, hand_over
from cluster.progress import Progress
from pipelines.outcomes import Unfinished
from pipelines.project import Project

SUCCEEDED = "SUCCEEDED"


def submit(project: Project, verb: str, address: str, python: str, job: str, progress: Progress) -> dict[str, Any]:
    """Hand a verb over, or take up a job that was handed over before, and follow it to its end."""
    if not job:
        _check_joins(project)
        command = [python or sys.executable, "-m", "pipelines.cli", verb, str(project.path)]
        job = hand_over(address, command, {"furrow": f"{verb} {project.region.name}"})
    progress.say(f"submit: {job} at {address}; to take it up again: add --job {job}")
    status, message = follow(address, job, progress.say)
    if status != SUCCEEDED:
        raise Unfinished(f"job {job} {status.lower()}: {message.strip().splitlines()[0][:300] if message else ''}")
    return {"job": job, "status": status}


def _check_joins(project: Project) -> None:
    """A job that started a cluster of its own would do all the work where it was handed over."""
    if not project.compute.address:
        raise BadInput(
            f"{project.path}, compute.address = ''",
            "a job must join the cluster that it is handed to.",
            "Write address = 'auto' in [compute].",
        )
