"""How fast training reads shuffled patches, beside others' ways with the same patches and a memory map of them.

python benchmarks/patches.py [--quick] [--rounds N] [--stores FOLDER] [--json FILE]
needs the packages of the extra: pip install -c constraints.txt -e '.[dev,benchmarks]'
"""

import argparse
import json
import os
import sys
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from typing import Any

from demo import machine
from measuring import Measured, measure
from patches_contestant import CONTESTANTS, WINDOWS
from patches_stores import Patches, write_stores

CONTESTANT = Path(__file__).with_name("patches_contestant.py")
LIMIT = "limit"
WORKERS = (1, 2)
IN_A_HURRY = ("limit", "furrow", "litdata")
"""Those that --quick runs on two workers as well."""

AIM = 0.35

NOTES = (
    "Every worker is a process: starting, importing and a first epoch are not timed. Workers share an epoch.",
    "Every contestant's patches are copied into the memory of a batch, as a trainer must. The limit does that from a "
    "numpy memory map, and nothing else. The page cache is warm: this measures decoding and copying, not a disk.",
    "That every patch is seen exactly once an epoch is asserted, but for `windows`, which reads unaligned windows of "
    "the cube's Zarr.",
    "ratio_to_limit is a rate over the limit's rate with as many workers: the median of the rounds' ratios.",
    "size_of_raw: bytes on disk over those of the pixels. peak_mb: memory of all processes (PSS), the page cache of "
    "mapped files included.",
)

Key = tuple[str, int]
"""A contestant and how many workers it has."""


def main() -> None:
    options = _options()
    began = {"date": time.strftime("%Y-%m-%d"), "machine": machine(), "load_before": os.getloadavg()[0]}
    contestants = tuple(name for name in CONTESTANTS if _is_there(name))
    measured: dict[Key, list[Measured]] = {}
    with tempfile.TemporaryDirectory() as temporary:
        patches = _patches(options.quick, Path(options.stores or temporary).resolve())
        sizes = write_stores(patches, contestants)
        epochs = 10 if options.quick else 4
        for _ in range(options.rounds):
            for name in contestants:
                for workers in WORKERS if name in IN_A_HURRY or not options.quick else WORKERS[:1]:
                    measured.setdefault((name, workers), []).append(_run(name, patches, workers, epochs))
    result = began | {"cores": os.cpu_count(), "patches": patches.count, "rounds": options.rounds, "notes": NOTES}
    result["rows"] = [_row(key, measured, patches, epochs, sizes) for key in measured]
    print(printed(result))
    if options.json:
        options.json.write_text(json.dumps(result, indent=1) + "\n")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--quick", action="store_true", help="few patches, one round: shows that it works, not how fast"
    )
    parser.add_argument("--rounds", type=int, default=None, help="times that everything is measured, in turn (3)")
    parser.add_argument("--stores", type=Path, help="where the patches are kept and found again")
    parser.add_argument("--json", type=Path, help="write the result there")
    options = parser.parse_args()
    options.rounds = options.rounds or (1 if options.quick else 3)
    return options


def _patches(quick: bool, folder: Path) -> Patches:
    count, side = (128, 1024) if quick else (1024, 4096)
    patches = Patches(str(folder / f"{count}-patches"), count, side)
    Path(patches.folder).mkdir(parents=True, exist_ok=True)
    return patches


def _is_there(name: str) -> bool:
    found = name not in ("litdata", "webdataset") or find_spec(name) is not None
    if not found:
        print(f"{name} is not installed and left out", file=sys.stderr)
    return found


def _run(name: str, patches: Patches, workers: int, epochs: int) -> Measured:
    (found,), _ = measure([sys.executable, str(CONTESTANT), name, patches.encode(), str(workers), str(epochs)])
    print(f"{name}, {workers} workers: {found.seconds:.2f} s", file=sys.stderr, flush=True)
    return found


def _row(
    key: Key, measured: dict[Key, list[Measured]], patches: Patches, epochs: int, sizes: dict[str, float]
) -> dict[str, Any]:
    name, workers = key
    own, limits = measured[key], measured[LIMIT, workers]
    count = (WINDOWS // workers * workers if name == "windows" else patches.count) * epochs
    ratios = [
        (count / mine.seconds) / (patches.count * epochs / best.seconds) for mine, best in zip(own, limits, strict=True)
    ]
    return {
        "name": f"{name}, {workers} worker{'s' if workers > 1 else ''}",
        "median_s": round(median(one.seconds for one in own), 3),
        "samples_per_s": round(median(count / one.seconds for one in own)),
        "ratio_to_limit": round(median(ratios), 3),
        "cpu_ms_per_sample": round(1000 * median(one.cpu_seconds for one in own) / count, 3),
        "peak_mb": round(max(one.peak_mb for one in own)),
        "size_of_raw": sizes[name],
        "rounds_s": [round(one.seconds, 3) for one in own],
    }


def printed(result: dict[str, Any]) -> str:
    lines = [f"{result['machine']}; load before: {result['load_before']:.1f}; {result['patches']} patches"]
    lines += [f"* {note}" for note in result["notes"]]
    lines.append(f"\n{'':<38}{'samples/s':>10}{'of limit':>10}{'CPU ms':>9}{'peak MB':>9}{'size':>7}")
    for row in result["rows"]:
        lines.append(
            f"{row['name']:<38}{row['samples_per_s']:>10}{row['ratio_to_limit']:>10.3f}{row['cpu_ms_per_sample']:>9.3f}"
            f"{row['peak_mb']:>9}{row['size_of_raw']:>7.2f}"
        )
    found = {row["name"]: row["ratio_to_limit"] for row in result["rows"]}
    own = ", ".join(f"{found[f'furrow, {workers} worker' + 's' * (workers > 1)]:.2f}" for workers in WORKERS)
    return "\n".join([*lines, "", f"{own}  furrow's rate over that of the memory map, 1 and 2 workers (aim: {AIM})"])


if __name__ == "__main__":
    main()
