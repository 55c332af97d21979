"""How fast a map is made, from the cube in Zarr to committed tiles in Zarr, beside the network alone and its peers.

On a machine with an NVIDIA GPU there, else on one core.

python benchmarks/map.py [--quick] [--architectures swift,unet] [--precisions fp32,bf16] [--rounds N]
    [--contestants limit,furrow] [--terratorch FILE] [--json FILE]
"""

import argparse
import json
import os
import sys
import tempfile
import time
from dataclasses import replace
from itertools import product
from pathlib import Path
from statistics import median
from typing import Any

import torch
from demo import machine
from map_ground import Ground, size_of, write_checkpoint, write_cube
from measuring import Measured, measure

from pipelines.devices import gpu_share

CONTESTANT = Path(__file__).with_name("map_contestant.py")
GPU = torch.cuda.is_available()
AIMS = {"limit": 0.9 if GPU else 0.8, "terratorch": 2.0, "sliding": 3.0}

Run = tuple[Measured, dict[str, Any]]
"""What was measured, and what the contestant told."""

NOTES = (
    "Each contestant has the same weights; the cube lies on a local disk, and reaches a tile farther than what is "
    "mapped, as a country's does. Most of its tiles are links to the files of four. What imports and loads the network "
    "is not timed, nor what each does first once: a batch, a window, a group of tiles. All keep the memory that they "
    "free.",
    "limit: forward passes over as many pixels as the region has, on windows that lie in memory, without halo; nothing "
    "is read, normalised, decided or written. On a CPU 4 windows of 256 pixels at once, on a GPU the fastest of five "
    "shapes.",
    "furrow: what the actors of `map` do: tiles read with their halo, normalised, seen, crop and confidence, shards "
    "written and committed.",
    "sliding: windows of 256 pixels that overlap by half, read with Zarr, probabilities averaged in memory.",
    "terratorch: its tiled_inference with its defaults (chips of 224, stride 192, delta 8, blended), on the region "
    "read whole into memory.",
    "ratio_to_limit: the limit's seconds a pixel over the contestant's, the median over the rounds.",
)
ON_A_CORE = (
    "Each is one process on one core with one thread of PyTorch. furrow maps a group of 16 tiles, as of a country with "
    "some 400 or more for each worker; sliding and terratorch half as many (with --quick all map two small ones).",
)
ON_A_GPU = (
    "Each process does it three times, and they are not interleaved: what starts one takes longer than what it does.",
    "furrow has as many workers, with as many cores each, as `map` would give the GPU. The others are one process, "
    "which has all cores; sliding and terratorch get batches four or sixteen times as large as on a core, and map four "
    "tiles only.",
    "reading: what furrow's workers read for the GPU, into memory that it reads from, and nothing else.",
    "network_share: seconds that furrow's workers were at the network, over all seconds of all workers.",
)


def main() -> None:
    options = _options()
    began = {"date": time.strftime("%Y-%m-%d"), "machine": _machine(), "load_before": os.getloadavg()[0]}
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        ground = _ground(folder, options.quick)
        write_cube(ground)
        for architecture, precision in product(options.architectures, options.precisions):
            own = replace(ground, architecture=architecture, precision=precision)
            write_checkpoint(own)
            rows += _rows(own, _measured(own, options.contestants, options.rounds, options.terratorch))
    notes = [*NOTES, *(ON_A_GPU if GPU else ON_A_CORE)]
    result = began | {"rounds": options.rounds, "notes": notes, "rows": rows}
    if options.json:
        options.json.write_text(json.dumps(result, indent=1) + "\n")
    print(printed(result))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="little ground, one round: shows that it works")
    parser.add_argument("--architectures", default="swift", help="several with commas between them (swift)")
    parser.add_argument("--precisions", default="fp32", help="fp32, bf16 or both (fp32)")
    every = "limit,furrow,sliding,terratorch" + ",reading" * GPU
    parser.add_argument("--contestants", default=every, help=f"some of them, always with limit ({every})")
    parser.add_argument("--rounds", type=int, help="times that everything is measured, in turn (3; on a GPU 1)")
    parser.add_argument("--terratorch", help="terratorch/tasks/tiled_inference.py of terratorch 1.2")
    parser.add_argument("--json", type=Path, help="write the result there")
    options = parser.parse_args()
    options.rounds = options.rounds or (1 if options.quick or GPU else 3)
    options.contestants = list(dict.fromkeys(["limit", *options.contestants.split(",")]))
    if "terratorch" in options.contestants and not options.terratorch:
        print("terratorch is left out: --terratorch names no file", file=sys.stderr)
        options.contestants.remove("terratorch")
    options.architectures, options.precisions = options.architectures.split(","), options.precisions.split(",")
    return options


def _machine() -> str:
    return f"{machine()}, torch {torch.__version__}" + (f", {torch.cuda.get_device_name()}" if GPU else "")


def _ground(folder: str, quick: bool) -> Ground:
    if quick:
        return Ground(folder, rows=2, cols=1, tile=512, ring=1, places=_places() if GPU else (1, 0, 1))
    if GPU:
        return Ground(folder, rows=12, cols=12, ring=1, places=_places(), repeats=3)
    return Ground(folder, rows=8, cols=2, ring=1)


def _places() -> tuple[int, float, int]:
    """Workers, and the GPUs and cores of each."""
    cores = os.cpu_count() or 1
    share = gpu_share(cores)
    return round(1 / share), share, max(int(cores * share), 1)


def _measured(ground: Ground, names: list[str], rounds: int, terratorch: str | None) -> dict[str, list[Run]]:
    found: dict[str, list[Run]] = {name: [] for name in names}
    for _ in range(rounds):
        for name in names:
            more = [terratorch] if name == "terratorch" and terratorch else []
            own = _of(name, ground)
            each, notes = measure([sys.executable, str(CONTESTANT), name, own.encode(), *more])
            found[name] += [(one, notes) for one in each]
            said = f"{_title(own)}: {name}: {each[-1].seconds:.2f} s, {own.pixels / 1e4 / each[-1].seconds:.1f} km2/s"
            print(said, {key: value for key, value in notes.items() if key != "event"}, file=sys.stderr, flush=True)
    return found


def _of(name: str, ground: Ground) -> Ground:
    """Peers that keep all in memory get less of it where there is much."""
    if name not in ("sliding", "terratorch"):
        return ground
    return replace(ground, rows=min(ground.rows, 2 if GPU else 4), cols=min(ground.cols, 2))


def _title(ground: Ground) -> str:
    return f"{ground.architecture}, {ground.precision}"


def _rows(ground: Ground, measured: dict[str, list[Run]]) -> list[dict[str, Any]]:
    best = [one.seconds / ground.pixels for one, _ in measured["limit"]]
    rows = []
    for name, runs in measured.items():
        own, pixels = [one for one, _ in runs], _of(name, ground).pixels
        each = [one.seconds / pixels for one in own]
        row = {
            "name": f"{_title(ground)}: {name}",
            "median_s": round(median(one.seconds for one in own), 3),
            "ratio_to_limit": round(median(limit / one for limit, one in zip(best, each, strict=True)), 3),
            "km2_per_s": round(1e-4 / median(each), 2),
            "cpu_s": round(median(one.cpu_seconds for one in own), 2),
            "peak_mb": round(max(one.peak_mb for one in own)),
            "rounds_s": [round(one.seconds, 3) for one in own],
            "km2": round(pixels * 1e-4, 1),
            "cube_mb": round(size_of(_of(name, ground)) / 1e6),
        }
        if name == "furrow":
            workers = ground.places[0]
            row["network_share"] = round(median(told["computing"] / one.seconds / workers for one, told in runs), 3)
        rows.append(row)
    return rows


def printed(result: dict[str, Any]) -> str:
    lines = [f"{result['machine']}; load before: {result['load_before']:.1f}"]
    lines += [f"* {note}" for note in result["notes"]]
    lines.append(f"\n{'':<26}{'seconds':>9}{'km2/s':>9}{'of limit':>10}{'CPU s':>8}{'peak MB':>9}")
    for row in result["rows"]:
        lines.append(
            f"{row['name']:<26}{row['median_s']:>9.2f}{row['km2_per_s']:>9.1f}{row['ratio_to_limit']:>10.3f}"
            f"{row['cpu_s']:>8.2f}{row['peak_mb']:>9}"
        )
    return "\n".join([*lines, "", *_compared({row["name"]: row["km2_per_s"] for row in result["rows"]})])


def _compared(speeds: dict[str, float]) -> list[str]:
    lines = []
    for name, speed in speeds.items():
        network, _, contestant = name.rpartition(": ")
        if contestant in AIMS and f"{network}: furrow" in speeds:
            times = speeds[f"{network}: furrow"] / speed
            lines.append(f"{times:.2f}  furrow's speed over that of {name} (aim: {AIMS[contestant]})")
    return lines


if __name__ == "__main__":
    main()
