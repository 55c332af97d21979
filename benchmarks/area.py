"""Whether a map's cost grows as its area does, and a worker's memory not at all: three sizes, one actor's work each.

python benchmarks/area.py [--quick] [--rounds N] [--json FILE]
"""

import argparse
import json
import os
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

from demo import machine
from map_ground import CRS, Ground, write_ground
from measuring import Measured, measure

from pipelines.plan import make_plan
from pipelines.project import load_project

CONTESTANT = Path(__file__).with_name("map_contestant.py")

SIDES = {"full": (1, 4, 8), "quick": (1, 2)}
"""Tiles on a side."""

TILE = {"quick": 256, "full": 1024}
"""Pixels on the side of one."""

NOTES = (
    "What an actor of `map` does with `swift`, six periods, tiles of 1024 pixels (256 with --quick), on one core.",
    "ratio_to_limit: CPU seconds a km2 of the smallest map over this one's; 1 is a cost that is linear in area.",
    "projected_mb: what `furrow plan` reckons for such a worker, whatever the area; peak_mb has to stay below it.",
)

PROJECT = """
[region]
name = "Benchmark"
bbox = [10.0, 50.0, 10.01, 50.01]
crs = "{crs}"
tile = {tile}

[season]
start = 2021-04-01
end = 2021-09-30

[imagery]
provider = "earth-search"
periods = "month"

[labels]
source = "none"
country = "DE"

[store]
root = "{folder}"
"""


def main() -> None:
    options = _options()
    size = "quick" if options.quick else "full"
    began = {"date": time.strftime("%Y-%m-%d"), "machine": machine(), "load_before": os.getloadavg()[0]}
    found: dict[int, list[Measured]] = {side: [] for side in SIDES[size]}
    with tempfile.TemporaryDirectory() as folder:
        grounds = {side: Ground(f"{folder}/{side}", rows=side, cols=side, tile=TILE[size]) for side in found}
        for ground in grounds.values():
            write_ground(ground)
        for _ in range(options.rounds):
            for side, ground in grounds.items():
                (one,), _ = measure([sys.executable, str(CONTESTANT), "furrow", ground.encode()])
                found[side].append(one)
                print(f"{side**2} tiles: {one.seconds:.2f} s, {one.peak_mb:.0f} MB", file=sys.stderr, flush=True)
        projected = _projected_mb(replace(grounds[SIDES[size][0]], folder=folder))
    rows = [
        _row(grounds[side], found[side], _per_km2(grounds[SIDES[size][0]], found[SIDES[size][0]])) for side in found
    ]
    result = {**began, "rounds": options.rounds, "notes": NOTES, "projected_mb": projected, "rows": rows}
    for row in rows:
        print("{name:<12}{median_s:>9.2f} s{ratio_to_limit:>8.3f} of the smallest's cost{peak_mb:>8} MB".format(**row))
    print(f"{projected} MB are projected for a worker")
    if options.json:
        options.json.write_text(json.dumps(result, indent=1) + "\n")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="two small maps, one round: shows that it works")
    parser.add_argument("--rounds", type=int, default=None, help="times that everything is measured, in turn (3)")
    parser.add_argument("--json", type=Path, help="write the result there")
    options = parser.parse_args()
    options.rounds = options.rounds or (1 if options.quick else 3)
    return options


def _per_km2(ground: Ground, found: list[Measured]) -> float:
    return median(one.cpu_seconds for one in found) / (ground.pixels / 1e4)


def _row(ground: Ground, found: list[Measured], smallest: float) -> dict[str, Any]:
    own = _per_km2(ground, found)
    return {
        "name": f"{ground.rows * ground.cols} tiles",
        "median_s": round(median(one.seconds for one in found), 3),
        "km2": round(ground.pixels / 1e4, 1),
        "cpu_s_per_km2": round(own, 5),
        "ratio_to_limit": round(smallest / own, 3),
        "peak_mb": round(max(one.peak_mb for one in found)),
        "rounds_s": [round(one.seconds, 3) for one in found],
    }


def _projected_mb(ground: Ground) -> int:
    path = Path(ground.folder, "project.toml")
    path.write_text(PROJECT.format(crs=CRS, tile=ground.tile, folder=ground.folder))
    plan = make_plan(load_project(path))
    assert len(plan.periods) == ground.periods
    return round(plan.map_bytes / 1e6)


if __name__ == "__main__":
    main()
