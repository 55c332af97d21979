"""What a second machine of a Ray cluster gives: the same map by one and by two raylets, with one slot and actor each.

python benchmarks/raylets.py [--quick] [--rounds N] [--json FILE]

Both raylets are this machine's, which must have two cores. Beside them the same work by one and two plain processes,
without Ray: what the cores and the memory that they share allow.
"""

import argparse
import json
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from statistics import median
from typing import Any

from demo import machine
from loopback_cluster import loopback_cluster
from map_ground import Ground, begin_map, write_ground

from catalogs.grid import Tile
from cluster.actors import Slots, each_on_actors
from pipelines.leases import TILES_IN_HAND
from pipelines.mapping import start_mapping

NOTES = (
    "One round is a whole map by each, in turn. The clock runs from the first tile's beginning, when all workers have "
    "loaded the network, to the last tile's end; two tiles in hand of each worker, one thread of PyTorch.",
    "raylets: actors of the scheduler of `map`, handed one tile at a time. processes: the tiles dealt out beforehand.",
    "efficiency: the seconds of one, over twice the seconds of two, the median over the rounds.",
    "ratio_to_limit: the seconds of as many plain processes over these, the median over the rounds.",
)

Times = list[tuple[float, float]]
"""When each tile was begun and ended."""


@dataclass(frozen=True)
class Timed:
    """Maps a tile, and tells when that began and ended."""

    mapper: Callable[[Tile], Any]

    def __call__(self, tile: Tile) -> tuple[float, float]:
        began = time.time()
        self.mapper(tile)
        return began, time.time()


def start(ground: Ground, meeting: str, workers: int) -> Timed:
    """Load the network, and begin when all workers have."""
    mapper = start_mapping(ground.job)
    Path(meeting, str(os.getpid())).touch()
    while len(os.listdir(meeting)) < workers:
        time.sleep(0.01)
    return Timed(mapper.alone)


def by_raylets(ground: Ground, workers: int, meeting: str) -> Times:
    tiles = list(ground.grid.tiles())
    with loopback_cluster(workers, cpus=1) as ray:
        slots = Slots(workers, lease=1, threads=TILES_IN_HAND)
        outcomes = [one for _, one in each_on_actors(ray, partial(start, ground, meeting, workers), tiles, slots)]
    return outcomes


def by_processes(ground: Ground, workers: int, meeting: str) -> Times:
    tiles = list(ground.grid.tiles())
    shares = [(ground, tiles[number::workers], meeting, workers) for number in range(workers)]
    with get_context("spawn").Pool(workers) as pool:
        return [times for share in pool.starmap(_share, shares, chunksize=1) for times in share]


def _share(ground: Ground, tiles: list[Tile], meeting: str, workers: int) -> Times:
    work = start(ground, meeting, workers)
    with ThreadPoolExecutor(TILES_IN_HAND) as threads:
        return list(threads.map(work, tiles))


CONTESTANTS: dict[str, tuple[Callable[[Ground, int, str], Times], int]] = {
    "1 process": (by_processes, 1),
    "2 processes": (by_processes, 2),
    "1 raylet": (by_raylets, 1),
    "2 raylets": (by_raylets, 2),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="little ground, one round: shows that it works")
    parser.add_argument("--rounds", type=int, help="times that everything is measured, in turn (3)")
    parser.add_argument("--json", type=Path, help="write the result there")
    options = parser.parse_args()
    rounds = options.rounds or (1 if options.quick else 3)
    began = {"date": time.strftime("%Y-%m-%d"), "machine": machine(), "load_before": os.getloadavg()[0]}
    with tempfile.TemporaryDirectory() as folder:
        ground = Ground(folder, rows=4, cols=4, tile=256 if options.quick else 512)
        write_ground(ground)
        seconds = _measured(ground, rounds)
    result = began | {"rounds": rounds, "notes": NOTES, "rows": list(_rows(ground, seconds))}
    if options.json:
        options.json.write_text(json.dumps(result, indent=1) + "\n")
    print(printed(result))


def _measured(ground: Ground, rounds: int) -> dict[str, list[float]]:
    seconds: dict[str, list[float]] = {name: [] for name in CONTESTANTS}
    for _ in range(rounds):
        for name, (by, workers) in CONTESTANTS.items():
            begin_map(ground)
            with tempfile.TemporaryDirectory() as meeting:
                began, ended = zip(*by(ground, workers, meeting), strict=True)
            assert len(began) == len(ground.tiles)
            seconds[name].append(max(ended) - min(began))
    return seconds


def _rows(ground: Ground, seconds: dict[str, list[float]]) -> Iterator[dict[str, Any]]:
    for name, own in seconds.items():
        count, _, kind = name.partition(" ")
        limit = seconds[f"{count} process{'es' * (count != '1')}"]
        row = {
            "name": name,
            "median_s": round(median(own), 2),
            "ratio_to_limit": round(median(best / one for best, one in zip(limit, own, strict=True)), 3),
            "ms_per_tile": round(1000 * median(own) / len(ground.tiles), 1),
            "rounds_s": [round(one, 2) for one in own],
        }
        if count == "2":
            alone = seconds["1 raylet" if kind == "raylets" else "1 process"]
            row["efficiency"] = round(median(one / two / 2 for one, two in zip(alone, own, strict=True)), 3)
        yield row


def printed(result: dict[str, Any]) -> str:
    lines = [f"{result['machine']}; load before: {result['load_before']:.1f}"]
    lines += [f"* {note}" for note in result["notes"]]
    lines.append(f"\n{'':<14}{'seconds':>9}{'ms/tile':>9}{'of limit':>10}{'efficiency':>12}")
    for row in result["rows"]:
        lines.append(
            f"{row['name']:<14}{row['median_s']:>9.2f}{row['ms_per_tile']:>9.1f}{row['ratio_to_limit']:>10.3f}"
            f"{row.get('efficiency', ''):>12}"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
