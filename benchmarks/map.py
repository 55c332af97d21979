"""How fast a map is made, from the cube in Zarr to committed tiles in Zarr, beside the network alone and its peers.

python benchmarks/map.py [--quick] [--architectures swift,unet] [--rounds N] [--terratorch FILE] [--json FILE]
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

import torch
from demo import machine
from map_ground import Ground, size_of, write_ground
from measuring import Measured, measure

CONTESTANT = Path(__file__).with_name("map_contestant.py")
AIMS = {"limit": 0.8, "terratorch": 2.0, "sliding": 3.0}

NOTES = (
    "Each contestant is one process on one core with one thread of PyTorch, fp32, the same weights; the cube lies on a "
    "local disk. What imports and loads the network is not timed, nor what each does first once: a batch, a window, a "
    "tile. All keep the memory that they free.",
    "limit: forward passes over as many pixels as the region has, in batches of 4 windows of 256 pixels that lie in "
    "memory, without halo; nothing is read, normalised, decided or written.",
    "furrow: what an actor of `map` does: tiles read with their halo, normalised, seen, crop and confidence, shards "
    "written and committed; two tiles in hand.",
    "sliding: windows of 256 pixels that overlap by half, read with Zarr, probabilities averaged in memory.",
    "terratorch: its tiled_inference with its defaults (chips of 224, stride 192, delta 8, blended), on the region "
    "read whole into memory.",
    "ratio_to_limit: the limit's seconds over the contestant's, the median over the rounds.",
)


def main() -> None:
    options = _options()
    began = {"date": time.strftime("%Y-%m-%d"), "machine": _machine(), "load_before": os.getloadavg()[0]}
    rows: list[dict[str, Any]] = []
    for architecture in options.architectures:
        with tempfile.TemporaryDirectory() as folder:
            ground = Ground(folder, architecture)
            ground = replace(ground, side=1, tile=512) if options.quick else ground
            write_ground(ground)
            rows += _rows(ground, _measured(ground, options.rounds, options.terratorch))
    result = began | {"rounds": options.rounds, "notes": NOTES, "rows": rows}
    if options.json:
        options.json.write_text(json.dumps(result, indent=1) + "\n")
    print(printed(result))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="little ground, one round: shows that it works")
    parser.add_argument("--architectures", default="swift", help="several with commas between them (swift)")
    parser.add_argument("--rounds", type=int, default=None, help="times that everything is measured, in turn (3)")
    parser.add_argument("--terratorch", help="terratorch/tasks/tiled_inference.py of terratorch 1.2")
    parser.add_argument("--json", type=Path, help="write the result there")
    options = parser.parse_args()
    options.rounds = options.rounds or (1 if options.quick else 3)
    options.architectures = options.architectures.split(",")
    return options


def _machine() -> str:
    return f"{machine()}, torch {torch.__version__}"


def _measured(ground: Ground, rounds: int, terratorch: str | None) -> dict[str, list[Measured]]:
    names = ["limit", "furrow", "sliding"] + ["terratorch"] * bool(terratorch)
    if not terratorch:
        print("terratorch is left out: --terratorch names no file", file=sys.stderr)
    found: dict[str, list[Measured]] = {name: [] for name in names}
    for _ in range(rounds):
        for name in names:
            more = [terratorch] if name == "terratorch" and terratorch else []
            (one,), _notes = measure([sys.executable, str(CONTESTANT), name, ground.encode(), *more])
            found[name].append(one)
            print(f"{ground.architecture}, {name}: {one.seconds:.2f} s", file=sys.stderr, flush=True)
    return found


def _rows(ground: Ground, measured: dict[str, list[Measured]]) -> list[dict[str, Any]]:
    km2 = ground.pixels * 1e-4
    limits = [one.seconds for one in measured["limit"]]
    return [
        {
            "name": f"{ground.architecture}: {name}",
            "median_s": round(median(one.seconds for one in own), 3),
            "ratio_to_limit": round(median(best / one.seconds for best, one in zip(limits, own, strict=True)), 3),
            "km2_per_s": round(km2 / median(one.seconds for one in own), 2),
            "cpu_s": round(median(one.cpu_seconds for one in own), 2),
            "peak_mb": round(max(one.peak_mb for one in own)),
            "rounds_s": [round(one.seconds, 3) for one in own],
            "km2": round(km2, 1),
            "cube_mb": round(size_of(ground) / 1e6),
        }
        for name, own in measured.items()
    ]


def printed(result: dict[str, Any]) -> str:
    lines = [f"{result['machine']}; load before: {result['load_before']:.1f}"]
    lines += [f"* {note}" for note in result["notes"]]
    lines.append(f"\n{'':<22}{'seconds':>9}{'km2/s':>8}{'of limit':>10}{'CPU s':>8}{'peak MB':>9}")
    for row in result["rows"]:
        lines.append(
            f"{row['name']:<22}{row['median_s']:>9.2f}{row['km2_per_s']:>8.2f}{row['ratio_to_limit']:>10.3f}"
            f"{row['cpu_s']:>8.2f}{row['peak_mb']:>9}"
        )
    return "\n".join([*lines, "", *_compared({row["name"]: row["median_s"] for row in result["rows"]})])


def _compared(seconds: dict[str, float]) -> list[str]:
    lines = []
    for name, taken in seconds.items():
        architecture, _, contestant = name.partition(": ")
        if contestant in AIMS:
            times = taken / seconds[f"{architecture}: furrow"]
            lines.append(f"{times:.2f}  {architecture}: {contestant}'s seconds over furrow's (aim: {AIMS[contestant]})")
    return lines


if __name__ == "__main__":
    main()
