"""What the planner, the scheduler and the ledger do at the size of the European Union and of the land of the Earth.

python benchmarks/scale.py [--quick] [--actors N] [--raylets N] [--regions eu,earth] [--json FILE]

Tiles are real, and so are the scheduler and, for the European Union, the commit records; the network is a stub that
does nothing. The outlines are Natural Earth's at 1:110 million, which pyogrio brings along.
"""

import argparse
import json
import os
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from importlib.resources import files
from itertools import islice
from pathlib import Path
from typing import Any

import geopandas as gpd
from demo import machine
from loopback_cluster import loopback_cluster
from shapely.geometry.base import BaseGeometry

from catalogs.crops import MAP
from catalogs.grid import Grid, Tile
from catalogs.root import Root
from catalogs.stores import Store
from cluster.actors import Slots, each_on_actors

EU = (
    *("AUT", "BEL", "BGR", "HRV", "CYP", "CZE", "DNK", "EST", "FIN", "FRA", "DEU", "GRC", "HUN", "IRL", "ITA"),
    *("LVA", "LTU", "LUX", "MLT", "NLD", "POL", "PRT", "ROU", "SVK", "SVN", "ESP", "SWE"),
)
SIDE = 1024
"""Pixels of a tile, of 10 m."""

LEASE = 8

NOTES = (
    "Tiles of 1024 pixels of 10 m: 104.9 km2 each. A region's tiles are those that share ground with it; beside its "
    "area divided by a tile's, which they must exceed by those along its border, that is the arithmetic of the count.",
    "The European Union lies in EPSG:3035; French Guiana and islands beyond Europe's square are left out. The land of "
    "the Earth without Antarctica lies in EPSG:6933, which keeps areas.",
    "schedule: every tile is handed to actors in leases of 8 by the scheduler of `map`, and answered; no work is done.",
    "ledger: the same with a commit record created for each tile on a local disk, made durable.",
    "driver_mb: growth of the driver's greatest memory while it runs.",
)

Row = dict[str, Any]


def main() -> None:
    options = _options()
    began = {"date": time.strftime("%Y-%m-%d"), "machine": machine(), "load_before": os.getloadavg()[0]}
    rows: list[Row] = []
    with loopback_cluster(options.raylets, cpus=max(1, options.actors // 100 + 1)) as ray:
        for name in options.regions:
            tiles = _planned(name, rows, options.most)
            rows.append(_scheduled(ray, f"{name}: schedule", tiles, _start_nothing, options.actors))
            if name == "eu" or options.quick:
                rows += _committed(ray, name, tiles, options.actors)
    result = began | {"actors": options.actors, "raylets": options.raylets, "notes": NOTES, "rows": rows}
    if options.json:
        options.json.write_text(json.dumps(result, indent=1) + "\n")
    print(printed(result))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="some thousand tiles on four actors: shows that it works")
    parser.add_argument("--actors", type=int, help="how many (100)")
    parser.add_argument("--raylets", type=int, help="on how many of Ray's machines (4)")
    parser.add_argument("--regions", default="eu,earth")
    parser.add_argument("--json", type=Path, help="write the result there")
    options = parser.parse_args()
    options.actors = options.actors or (4 if options.quick else 100)
    options.raylets = options.raylets or (1 if options.quick else 4)
    options.most = 3000 if options.quick else None
    options.regions = ["eu"] if options.quick else options.regions.split(",")
    return options


def _outline(name: str) -> tuple[BaseGeometry, str]:
    """Of a region, in a coordinate system in metres."""
    world = gpd.read_file(str(files("pyogrio") / "tests/fixtures/naturalearth_lowres/naturalearth_lowres.shp"))
    if name == "earth":
        land = world[world["continent"] != "Antarctica"].to_crs("EPSG:6933")
        return land.make_valid().union_all(), "EPSG:6933"
    # France by its name: the file has no code for it
    union = world[world["iso_a3"].isin(EU) | (world["name"] == "France")].to_crs("EPSG:3035")
    return union.clip((2_400_000, 1_200_000, 7_400_000, 5_600_000)).union_all(), "EPSG:3035"


def _planned(name: str, rows: list[Row], most: int | None) -> list[Tile]:
    outline, crs = _outline(name)
    began, memory = time.monotonic(), _memory()
    grid = Grid.around(outline.bounds, crs, 10, SIDE)
    tiles = list(islice(grid.tiles(outline), most))
    seconds = time.monotonic() - began
    area, each = outline.area / 1e6, (SIDE * 10 / 1000) ** 2
    rows.append(_row(f"{name}: plan", seconds, len(tiles), memory) | {
        "km2": round(area), "km2_of_a_tile": round(each, 1), "area_over_tile": round(area / each),
    })  # fmt: skip
    return tiles


def _scheduled(ray: Any, name: str, tiles: list[Tile], start: Callable[[], Any], actors: int) -> Row:
    slots, began, memory, done, ready = Slots(actors, cpus=0.01, lease=LEASE), time.monotonic(), _memory(), 0, 0.0
    for _, outcome in each_on_actors(ray, start, tiles, slots):
        if isinstance(outcome, Exception):
            raise outcome
        done += 1
        ready = ready or time.monotonic()
    assert done == len(tiles)
    return _row(name, time.monotonic() - ready, done, memory) | {"start_s": round(ready - began, 1)}


def _committed(ray: Any, name: str, tiles: list[Tile], actors: int) -> Iterator[Row]:
    with tempfile.TemporaryDirectory() as folder:
        root, memory = Root(folder), _memory()
        yield _scheduled(ray, f"{name}: ledger", tiles, partial(_start_committing, folder), actors)
        records = [path.stat().st_size for path in Path(folder).rglob("*.json")]
        assert len(records) == len(tiles), "a tile without a record"
        units = [(str(tile), ()) for tile in tiles]
        began = time.monotonic()
        assert len(Store(root, MAP).ledger.done()) == len(tiles)
        yield _row(f"{name}: list", time.monotonic() - began, len(tiles), memory) | {"ledger_mb": sum(records) / 1e6}
        for tile in tiles[::100]:
            Store(root, MAP).ledger.forget(str(tile))
        began = time.monotonic()
        todo = Store(root, MAP).to_do(units)
        yield _row(f"{name}: resume, 1 of 100 missing", time.monotonic() - began, len(tiles), memory)
        assert todo == [str(tile) for tile in tiles[::100]]


def _start_nothing() -> Callable[[Tile], None]:
    return lambda tile: None


def _start_committing(folder: str) -> Callable[[Tile], None]:
    return partial(_commit, Store(Root(folder), MAP))


def _commit(store: Store, tile: Tile) -> None:
    """What a real record holds."""
    key = f"c/{tile.row}/{tile.col}"
    record = {
        "plan": "0123456789abcdef",
        "attempt": "0" * 32,
        "digests": ["0123456789abcdef"] * 2,
        "objects": [f"crop/{key}", f"confidence/{key}"],
        "classes": {str(number): 95_325 for number in range(11)},
        "valid": SIDE**2,
        "weights_sha256": "0" * 64,
        "worker": "node-17/12345",
        "computing": 3.21,
        "seconds": 4.56,
    }
    store.ledger.create(str(tile), record)


def _row(name: str, seconds: float, tiles: int, memory: float) -> Row:
    return {
        "name": name,
        "median_s": round(seconds, 3),
        "tiles": tiles,
        "tiles_per_s": round(tiles / max(seconds, 1e-9)),
        "ms_per_tile": round(seconds * 1000 / tiles, 4),
        "peak_mb": round(_memory()),
        "driver_mb": round(_memory() - memory),
    }


def _memory() -> float:
    """Megabytes that this process had at most."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6


def printed(result: dict[str, Any]) -> str:
    lines = [f"{result['machine']}; {result['actors']} actors on {result['raylets']} raylets"]
    lines += [f"* {note}" for note in result["notes"]]
    lines.append(f"\n{'':<32}{'tiles':>10}{'seconds':>10}{'tiles/s':>10}{'ms/tile':>9}{'driver MB':>11}")
    for row in result["rows"]:
        lines.append(
            f"{row['name']:<32}{row['tiles']:>10,}{row['median_s']:>10.1f}{row['tiles_per_s']:>10,}"
            f"{row['ms_per_tile']:>9.3f}{row['driver_mb']:>11}"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
