"""How fast parcels become labels, beside rasterio's call on the whole grid and geocube.

python benchmarks/labels.py [--quick] [--rounds N] [--parcels N ...] [--folder FOLDER] [--json FILE]
needs the packages of the extra: pip install -c constraints.txt -e '.[dev,benchmarks]'
"""

import argparse
import json
import os
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from statistics import median
from typing import Any

from demo import machine
from labels_land import Land
from measuring import Measured, measure

CONTESTANT = (
    f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r}); from labels_contestant import main; main()"
)
"""No script of its own: every worker would load that again, with all that the benchmark itself needs."""

PEER = "rasterio"
FURROW, ALONE = "furrow", "furrow, rasterising alone"
NAMES = {
    FURROW: "all",
    ALONE: "all",
    f"{ALONE}, 1 core": "one",
    PEER: "one",
    "geocube": "one",
}
"""Which cores each can use: the peers' calls use one, whatever there is."""

SMALL = Land(parcels=500, side=512, tile=256)
"""What each contestant does before its clock starts."""

NOTES = (
    "Every run is a process of its own; starting, importing, and a first small raster are not timed.",
    "Rasterising alone compares with the peers: all begin with outlines and end with all pixels in memory; it gives "
    "crop and parcel, the peers the parcel. Each of its processes has the pixels of its own tiles.",
    "furrow is the whole stage of the verb: it reads the parcel table tile by tile, burns crop and parcel, finds "
    "overlaps and parcels without a pixel, and writes the compressed label store, on all cores. Its memory is that of "
    "the command and its workers; no process holds a whole raster.",
    "All rasters of the parcel are compared pixel for pixel. Parcels share their borders and none overlap.",
    "peak_mb is the memory of a contestant's processes during the timed part (PSS), outlines and workers included.",
    "The limit is rasterising alone on all cores. times_rasterio and ratio_to_limit are medians of the rounds' ratios.",
)


def main() -> None:
    options = _options()
    began = {"date": time.strftime("%Y-%m-%d"), "machine": machine(), "load_before": os.getloadavg()[0]}
    lands = [Land(count, side=2048 if options.quick else 10_980) for count in options.parcels]
    with tempfile.TemporaryDirectory() as temporary:
        folders = [str(land.write(Path(options.folder or temporary))) for land in (SMALL, *lands)]
        measured, pixels = _measure(options, folders, lands, Path(temporary) / "out")
    result = began | {"cores": os.cpu_count(), "side": lands[0].side, "rounds": options.rounds, "notes": NOTES}
    result |= {"rows": _rows(measured, lands), "summary": _summary(measured, lands), "equal_pixels": _equal(pixels)}
    print(_printed(result))
    if options.json:
        options.json.write_text(json.dumps(result, indent=1) + "\n")
    if not result["equal_pixels"]:
        sys.exit(f"the rasters differ: {pixels}")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="few parcels, one round: shows that it works")
    parser.add_argument("--rounds", type=int, default=None, help="times that everything is measured, in turn (5)")
    parser.add_argument("--parcels", type=int, nargs="+", help="how many (100000 1000000)")
    parser.add_argument("--folder", type=Path, help="where the parcels are kept and found again")
    parser.add_argument("--json", type=Path, help="write the result there")
    options = parser.parse_args()
    options.rounds = options.rounds or (1 if options.quick else 5)
    options.parcels = options.parcels or ([2_000, 8_000] if options.quick else [100_000, 1_000_000])
    return options


Rounds = dict[tuple[str, int], list[Measured]]
"""What a contestant took for so many parcels, round by round."""


def _measure(
    options: argparse.Namespace, folders: list[str], lands: list[Land], out: Path
) -> tuple[Rounds, dict[str, set[str]]]:
    measured: Rounds = defaultdict(list)
    pixels: dict[str, set[str]] = defaultdict(set)
    for _ in range(options.rounds):
        for name, use in NAMES.items():
            cores = str(os.cpu_count() if use == "all" else 1)
            command = [sys.executable, "-c", CONTESTANT, name.removesuffix(", 1 core"), cores, str(out), *folders]
            parts, notes = measure(command)
            for land, part in zip(lands, parts, strict=True):
                measured[name, land.parcels].append(part)
                pixels[land.name].add(notes[land.name])
            print(f"{name:<36}{', '.join(f'{part.seconds:.2f}' for part in parts)} s", file=sys.stderr, flush=True)
    return measured, pixels


def _equal(pixels: dict[str, set[str]]) -> bool:
    return all(len(digests) == 1 for digests in pixels.values())


def _rows(measured: Rounds, lands: list[Land]) -> list[dict[str, Any]]:
    return [_row(measured, name, land) for land in lands for name in NAMES]


def _row(measured: Rounds, name: str, land: Land) -> dict[str, Any]:
    seen = measured[name, land.parcels]
    return {
        "name": f"{land.name}: {name}",
        "median_s": round(median(one.seconds for one in seen), 3),
        "ratio_to_limit": _ratio(measured, ALONE, name, land),
        "times_rasterio": _ratio(measured, PEER, name, land),
        "peak_mb": round(max(one.peak_mb for one in seen)),
        "cpu_s": round(median(one.cpu_seconds for one in seen), 2),
        "rounds_s": [round(one.seconds, 3) for one in seen],
    }


def _ratio(measured: Rounds, other: str, name: str, land: Land) -> float:
    """How many times as fast as the other."""
    pairs = zip(measured[other, land.parcels], measured[name, land.parcels], strict=True)
    return round(median(theirs.seconds / own.seconds for theirs, own in pairs), 2)


def _summary(measured: Rounds, lands: list[Land]) -> dict[str, dict[str, float]]:
    """For each number of parcels; the growth is that from the fewest parcels."""
    return {land.name: _found(measured, land) | {"growth": _growth(measured, lands[0], land)} for land in lands}


def _found(measured: Rounds, land: Land) -> dict[str, float]:
    own, theirs = (max(one.peak_mb for one in measured[name, land.parcels]) for name in (FURROW, PEER))
    return {
        "times_rasterio_alone": _ratio(measured, PEER, ALONE, land),
        "times_rasterio_one_core": _ratio(measured, PEER, f"{ALONE}, 1 core", land),
        "times_rasterio": _ratio(measured, PEER, FURROW, land),
        "of_rasterios_memory": round(own / theirs, 2),
    }


def _growth(measured: Rounds, few: Land, many: Land) -> float:
    before, after = (median(one.seconds for one in measured[FURROW, land.parcels]) for land in (few, many))
    return round(after / before / (many.parcels / few.parcels), 2)


SAID = {
    "times_rasterio_alone": "times as fast as rasterio's call, rasterising alone on all cores (aim: 6)",
    "times_rasterio_one_core": "times as fast, rasterising alone on one core",
    "times_rasterio": "times as fast, with the table read, overlaps found and the store written",
    "of_rasterios_memory": "of rasterio's memory, the whole stage (aim: under 0.33)",
    "growth": "of the seconds a parcel that the fewest parcels take, the whole stage (linear: at most 1)",
}


def _printed(result: dict[str, Any]) -> str:
    lines = [f"{result['machine']}; load before: {result['load_before']:.1f}; {result['side']} x {result['side']} px"]
    lines += [f"* {note}" for note in result["notes"]]
    lines.append(f"\n{'':<52}{'median s':>9}{'x rasterio':>11}{'CPU s':>8}{'peak MB':>9}")
    lines += [
        f"{row['name']:<52}{row['median_s']:>9.2f}{row['times_rasterio']:>11.2f}{row['cpu_s']:>8.2f}{row['peak_mb']:>9}"
        for row in result["rows"]
    ]
    for name, found in result["summary"].items():
        lines += ["", name, *(f"{found[key]:>8.2f}  {text}" for key, text in SAID.items())]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
