"""What it costs to ask a map over HTTP: a point, 2 km, a province, an overview; seconds, requests and bytes.

python benchmarks/query.py [--quick] [--json FILE]      the map is made anew in a temporary folder: about 1 GB, or 20 MB
"""

import argparse
import json
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from counting_server import COUNTS
from demo import machine
from measuring import serving
from query_contestants import CONTESTANTS, Contestant
from query_map import grid_of_side, make_map
from shapely import Point

from catalogs.grid import Grid, Window
from catalogs.pyramid import factors

Ask = Callable[[Contestant], Any]

SIZES = {"full": (40_000, 4096, 15), "quick": (4_096, 512, 3)}
"""Pixels on a side, of a tile, and how many places are asked."""

WAITS = 0, 20
"""Milliseconds on the way to the server and back: none, as on one machine, and as to a data centre of the country."""

LINE = "{wait_ms:>3} ms away  {question:<10}{contestant:<13}{median_ms:>10} ms{requests:>7} requests{kilobytes:>11} kB"

SHOWN = 1250
"""Pixels that an overview has at most."""


def questions(url: str, grid: Grid, places: int) -> dict[str, list[Ask]]:
    """The same for all, each place asked once; the overview, which has one place, of a map that is opened anew."""
    chance = np.random.default_rng(1)
    side = min(grid.shape)

    def corners(size: int, count: int) -> Iterator[tuple[int, int]]:
        return ((int(y), int(x)) for y, x in chance.integers(0, side - size, (count, 2)))

    factor = next(factor for factor in factors(grid) if side / factor <= SHOWN)
    quarter = side // 4
    return {
        "point": [_window(Window(y, x, 1, 1)) for y, x in corners(1, places)],
        "2 km": [_window(Window(y, x, 200, 200)) for y, x in corners(200, places)],
        "province": [_histogram(grid, y, x, quarter) for y, x in corners(quarter, max(places // 5, 1))],
        "overview": [lambda contestant: type(contestant)(url, grid).overview(factor)] * max(places // 3, 1),
    }


def _window(window: Window) -> Ask:
    return lambda contestant: contestant.window(window)


def _histogram(grid: Grid, y: int, x: int, size: int) -> Ask:
    """A round piece of country, `size` pixels across."""
    left, _, _, top = grid.bounds(Window(y, x, size, size))
    half = size * grid.resolution / 2
    shape = Point(left + half, top - half).buffer(half - grid.resolution)
    return lambda contestant: contestant.histogram(shape)


def measure(url: str, grid: Grid, places: int) -> list[dict[str, Any]]:
    """Every question is put to all in turn, whoever began last time ending this time."""
    asked = {name: opened(url, grid) for name, opened in CONTESTANTS.items()}
    rows = []
    for name, asks in questions(url, grid, places).items():
        seen: dict[str, list[dict[str, float]]] = {who: [] for who in asked}
        for number, ask in enumerate(asks):
            order = list(asked)[number % len(asked) :] + list(asked)[: number % len(asked)]
            answers = {who: _timed(url, ask, asked[who], seen[who]) for who in order}
            if name != "overview":  # a tie of classes may be cut otherwise
                assert all(np.array_equal(answers["cog"], answer) for answer in answers.values()), f"{name} {number}"
        rows += [_row(name, who, seen) for who in asked]
    return rows


def _timed(url: str, ask: Ask, contestant: Contestant, into: list[dict[str, float]]) -> Any:
    _counts(url)
    began = time.perf_counter()
    answer = ask(contestant)
    into.append({"seconds": time.perf_counter() - began, **_counts(url)})
    return answer


def _counts(url: str) -> dict[str, float]:
    with urllib.request.urlopen(url + COUNTS) as answer:
        told: dict[str, float] = json.load(answer)
    return told


def _row(question: str, who: str, seen: dict[str, list[dict[str, float]]]) -> dict[str, Any]:
    pairs = zip(seen["cog"], seen[who], strict=True)
    return {
        "question": question,
        "contestant": who,
        "places": len(seen[who]),
        "median_ms": round(1000 * median(one["seconds"] for one in seen[who]), 2),
        "requests": median(one["requests"] for one in seen[who]),
        "kilobytes": round(median(one["bytes"] for one in seen[who]) / 1000, 1),
        "speed_to_cog": round(median(theirs["seconds"] / own["seconds"] for theirs, own in pairs), 2),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a small map, few places")
    parser.add_argument("--json", type=Path, help="write the result there")
    options = parser.parse_args()
    pixels, tile, places = SIZES["quick" if options.quick else "full"]
    grid = grid_of_side(pixels, tile)
    with tempfile.TemporaryDirectory() as folder:
        make_map(Path(folder), grid)
        rows = []
        for wait in WAITS:
            with serving(Path(folder), "counting_server.py", str(wait)) as url:
                rows += [{"wait_ms": wait, **row} for row in measure(url, grid, places)]
    result = {"date": time.strftime("%Y-%m-%d"), "machine": machine(), "pixels": list(grid.shape), "rows": rows}
    for row in rows:
        print(LINE.format(**row))
    if options.json:
        options.json.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
