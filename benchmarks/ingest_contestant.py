"""One contestant of the ingest benchmark in a process of its own: python ingest_contestant.py TASK [TASK ...]."""

import sys
import warnings
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from ingest_task import Clock, Task, timed, untimed


def main() -> None:
    warnings.simplefilter("ignore")  # of libraries about one another; they would drown the progress
    tasks = [Task.decode(text) for text in sys.argv[1:]]
    place = Path(tasks[0].out).parent
    place.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=place) as folder:
        run(tasks, folder)


def run(tasks: list[Task], folder: str) -> None:
    """Imports and first calls come before the clock starts, on scenes that are then not read again."""
    warm = partial(warm_up, folder=folder)
    if tasks[0].contestant == "furrow":
        from ingest_furrow import furrow_to_zarr

        furrow_to_zarr(tasks, warm, timed)
        return
    contestant = contestant_of(tasks[0].contestant)
    contestant(warm(tasks[0]), untimed)
    for task in tasks:
        contestant(task, timed)


def warm_up(task: Task, folder: str) -> Task:
    from speed_scenes import Land, write_scenes

    land = Land(side=256, dates=2, tile=128)
    return replace(task, folder=str(write_scenes(land, Path(folder))), land=land, out=f"{folder}/out", url=None)


def contestant_of(name: str) -> Callable[[Task, Clock], None]:
    if name.startswith("limit"):
        import ingest_limits

        return {"limit: decoding": ingest_limits.decode, "limit: encoding": ingest_limits.encode}[name]
    import ingest_peers

    return {
        "stackstac": ingest_peers.stackstac_to_zarr,
        "stackstac, our codec": partial(ingest_peers.stackstac_to_zarr, ours=True),
        "odc-stac": ingest_peers.odc_to_zarr,
        "odc-stac, our codec": partial(ingest_peers.odc_to_zarr, ours=True),
    }[name]


if __name__ == "__main__":
    main()
