"""How fast scenes become a cube, beside what others do with the same files and what GDAL and the codec need alone.

python benchmarks/ingest.py [--quick] [--rounds N] [--parts PART ...] [--scenes FOLDER] [--json FILE]
needs the packages of the extra: pip install -c constraints.txt -e '.[dev,benchmarks]'
"""

import argparse
import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from demo import machine
from ingest_check import wrong_bands
from ingest_rows import Rounds, printed, rows_of, summary
from ingest_task import Task
from measuring import measure, serving
from speed_scenes import Land, write_scenes

LIMIT, ENCODING = "limit: decoding", "limit: encoding"
PEERS = ("stackstac", "odc-stac")
PARTS = {
    "files": (LIMIT, ENCODING, "furrow", *PEERS, *(f"{peer}, our codec" for peer in PEERS)),
    "http": (LIMIT, "furrow", *PEERS),
    "composite": (LIMIT, "furrow", *PEERS),
    "off the tiles": (LIMIT, "furrow"),
    "ten at 10 m": (LIMIT, ENCODING, "furrow"),
    "growth": ("furrow",),
}
"""What is measured: every date as it is, from files and from a server on this machine; the dates' clear median; scenes
whose corner is not a tile's, as all real ones are; scenes whose ten bands all have pixels of 10 m, so that as much is
read as written; and Furrow alone on one core with more ground and more dates."""

QUICK = {
    "files": PARTS["files"][:5],
    "http": ("furrow", "odc-stac"),
    "composite": (LIMIT, "furrow", "stackstac"),
    "growth": PARTS["growth"],
}
CONTESTANT = Path(__file__).with_name("ingest_contestant.py")

NOTES = (
    "Every run is a process of its own (--quick: all of a contestant in one); starting, importing and a first small "
    "cube are not timed.",
    "The page cache is warm: this measures decoding and encoding, not a disk. HTTP is a server on this machine that "
    "shares its cores and answers without delay.",
    "The limit is GDAL decoding each needed block of the ten bands (composite: and of the classes) once on all cores, "
    "from files, keeping nothing. ratio_to_limit is a rate over the limit's rate: the median of the rounds' ratios.",
    "peak_mb is the memory of a contestant's processes during the timed part (PSS), Furrow's workers included.",
)


@dataclass(frozen=True)
class Entry:
    """A contestant in a part, with what it is to do; the growth part's contestant has several things to do."""

    part: str
    tasks: tuple[Task, ...]

    @property
    def name(self) -> str:
        return f"{self.part}: {self.tasks[0].contestant}"

    @property
    def writes(self) -> bool:
        return not self.tasks[0].contestant.startswith("limit")


def main() -> None:
    options = _options()
    began = {"date": time.strftime("%Y-%m-%d"), "machine": machine(), "load_before": os.getloadavg()[0]}
    with tempfile.TemporaryDirectory() as temporary:
        entries, rounds, size = _measure(options, Path(options.scenes or temporary).resolve(), Path(temporary))
    result = began | {"cores": os.cpu_count(), "scenes": _land(options.quick).name, "rounds": options.rounds}
    result |= {"notes": NOTES, **size, **summary(rounds), "rows": rows_of(rounds, _lands(entries))}
    print(printed(result))
    if options.json:
        options.json.write_text(json.dumps(result, indent=1) + "\n")
    if rounds.wrong:
        sys.exit(f"wrong counts: {rounds.wrong}")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--quick", action="store_true", help="small scenes, one round: shows that it works, not how fast"
    )
    parser.add_argument("--rounds", type=int, default=None, help="times that everything is measured, in turn (3)")
    parser.add_argument("--parts", nargs="+", choices=PARTS, help="all if not given")
    parser.add_argument("--scenes", type=Path, help="where the scenes are kept and found again")
    parser.add_argument("--json", type=Path, help="write the result there")
    options = parser.parse_args()
    options.rounds = options.rounds or (1 if options.quick else 3)
    options.parts = options.parts or list(QUICK if options.quick else PARTS)
    return options


def _land(quick: bool) -> Land:
    return Land(side=1024, dates=2, tile=256) if quick else Land(side=4096, dates=3, tile=1024)


def _measure(options: argparse.Namespace, scenes: Path, temporary: Path) -> tuple[list[Entry], Rounds, dict[str, Any]]:
    rounds, out = Rounds(), temporary / "cubes"
    notes: dict[str, Any] = {}
    with serving(scenes) as url:
        entries = [entry for part in options.parts for entry in _entries(part, options.quick, scenes, out, url)]
        _warm(entries)
        for number in range(options.rounds):
            for batch in _batches(entries, options.quick):
                notes |= _run(batch, rounds, is_first=number == 0)
                shutil.rmtree(out)
    return entries, rounds, {"size_ratio": notes["size_ratio"]} if "size_ratio" in notes else {}


def _batches(entries: list[Entry], quick: bool) -> list[list[Entry]]:
    """What shares a process: nothing, or in a hurry all that a contestant has to do."""
    if not quick:
        return [[entry] for entry in entries]
    contestants = dict.fromkeys(entry.tasks[0].contestant for entry in entries)
    return [[entry for entry in entries if entry.tasks[0].contestant == name] for name in contestants]


def _run(batch: list[Entry], rounds: Rounds, is_first: bool) -> dict[str, Any]:
    tasks = [task.encode() for entry in batch for task in entry.tasks]
    measured, notes = measure([sys.executable, str(CONTESTANT), *tasks])
    for entry in batch:
        own, measured = measured[: len(entry.tasks)], measured[len(entry.tasks) :]
        rounds.add(entry.name, own)
        print(f"{entry.name:<42}{', '.join(f'{part.seconds:.2f}' for part in own)} s", file=sys.stderr, flush=True)
        if is_first and entry.writes:
            rounds.check(entry.name, sorted({band for task in entry.tasks for band in wrong_bands(task)}))
    return notes


def _entries(part: str, quick: bool, scenes: Path, out: Path, url: str) -> Iterator[Entry]:
    land = _land(quick)
    land = replace(land, shift=land.tile * 3 // 8 * (part == "off the tiles"), fine=part == "ten at 10 m")
    lands = _growing(land) if part == "growth" else [land]
    places = [(each, write_scenes(each, scenes), f"{out}/{part}/{each.name}") for each in lands]
    about: dict[str, Any] = {"cores": 1 if part == "growth" else os.cpu_count() or 1, "composite": part == "composite"}
    for contestant in (QUICK if quick else PARTS).get(part, PARTS[part]):
        yield Entry(
            part,
            tuple(
                Task(
                    contestant,
                    str(folder),
                    each,
                    place,
                    url=f"{url}/{folder.name}" if part == "http" else None,
                    **about,
                )
                for each, folder, place in places
            ),
        )


def _growing(land: Land) -> list[Land]:
    """1, 4 and 16 tiles; and 4 tiles with twice the dates."""
    sides = [replace(land, side=land.tile * times) for times in (1, 2, 4)]
    return [*sides, replace(sides[1], dates=2 * land.dates)]


def _warm(entries: list[Entry]) -> None:
    for folder in {task.folder for entry in entries for task in entry.tasks}:
        for path in Path(folder).rglob("*.tif"):
            path.read_bytes()


def _lands(entries: list[Entry]) -> dict[str, list[Land]]:
    return {entry.name: [task.land for task in entry.tasks] for entry in entries}


if __name__ == "__main__":
    main()
