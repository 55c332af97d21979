"""What the benchmarks rest on: scenes and parcels, a server, watch over memory, checks of pixels, and ratios."""

import json
import sys
import urllib.error
import urllib.request
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import rasterio
import shapely
import zarr

from catalogs.bands import BANDS
from catalogs.grid import Grid
from catalogs.synthetic.items import ASSETS

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))  # its files run as scripts and find one another there

from ingest_check import wrong_bands  # noqa: E402
from ingest_rows import Rounds, rows_of, summary  # noqa: E402
from ingest_task import Task, untimed  # noqa: E402
from measuring import Measured, measure, serving  # noqa: E402
from speed_scenes import EPSG, Land, day, write_scenes  # noqa: E402

LAND = Land(side=256, dates=2, tile=128)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_scenes(LAND, tmp_path_factory.mktemp("scenes"))


@pytest.mark.parametrize("band", [*BANDS, "SCL"])
def test_scenes_are_stored_as_sentinel_2_is(folder: Path, band: str) -> None:
    name = "scl-clear" if band == "SCL" else ASSETS[band]
    with rasterio.open(folder / day(0) / f"{name}.tif") as raster:
        assert raster.crs.to_epsg() == EPSG
        assert raster.res[0] == LAND.step(band)
        assert raster.block_shapes == [(LAND.tile, LAND.tile)]
        assert raster.tags(ns="IMAGE_STRUCTURE") | {"COMPRESSION": "DEFLATE", "LAYOUT": "COG"} == raster.tags(
            ns="IMAGE_STRUCTURE"
        )
        pixels = raster.read(1)
    assert (pixels > 0).all()
    if band != "SCL":
        stored = (folder / day(0) / f"{name}.tif").stat().st_size / pixels.nbytes
        assert 0.5 < stored < 1  # neither noise nor flat: decoding costs what it costs with real scenes


@pytest.mark.parametrize("shift, rows", [(0, 2), (48, 3)])
def test_scenes_lie_on_the_tiles_or_off_them(shift: int, rows: int) -> None:
    ground = replace(LAND, shift=shift).square().buffer(-1, join_style="mitre")
    grid = Grid.around(ground.bounds, f"EPSG:{EPSG}", side=LAND.tile)
    assert (grid.rows, grid.cols) == (rows, rows)


@pytest.mark.parametrize("weather", ["clear", "cloudy"])
def test_furrow_finds_each_date_and_takes_no_offset_off_it(folder: Path, tmp_path: Path, weather: str) -> None:
    from ingest_furrow import Stopwatch, furrow_plan

    from pipelines.scene_search import find_scenes

    task = Task("furrow", str(folder), LAND, str(tmp_path), cores=1, composite=weather == "cloudy")
    plan = furrow_plan(task)
    found = find_scenes(plan, Stopwatch(untimed))
    assert [(scene.time.strftime("%Y-%m-%d"), scene.offset) for scene in found.scenes] == [(day(0), 0), (day(1), 0)]
    assert len(plan.tiles) == 4
    assert len(plan.periods) == (1 if weather == "cloudy" else 2)


def test_the_server_gives_ranges_and_whole_files(folder: Path) -> None:
    name = f"{day(0)}/red.tif"
    content = (folder / name).read_bytes()
    with serving(folder) as url:
        assert _get(f"{url}/{name}") == (200, content)
        assert _get(f"{url}/{name}", "bytes=100-299") == (206, content[100:300])
        assert _get(f"{url}/{name}", f"bytes={len(content) - 7}-{len(content) + 90}") == (206, content[-7:])
        for bad, asked, status in ((name, f"bytes={len(content)}-", 416), ("none.tif", "bytes=0-9", 404)):
            with pytest.raises(urllib.error.HTTPError) as refused:
                _get(f"{url}/{bad}", asked)
            assert refused.value.code == status


def _get(url: str, asked: str | None = None) -> tuple[int, bytes]:
    request = urllib.request.Request(url, headers={"Range": asked} if asked else {})
    with urllib.request.urlopen(request, timeout=20) as answer:
        return answer.status, answer.read()


HOLDING = """
import json, subprocess, sys
print("a library's chatter")
held = bytearray(b"1") * 400_000_000
del held
print(json.dumps({"event": "began"}), flush=True)
work = "import time; held = bytearray(b'1') * 150_000_000; sum(range(10**7)); time.sleep(0.7)"
subprocess.run([sys.executable, "-c", work])
print(json.dumps({"event": "ended", "seconds": 0.8}), flush=True)
held = bytearray(b"1") * 400_000_000
print(json.dumps({"event": "size", "size_ratio": 0.9}), flush=True)
"""


def test_memory_and_cpu_are_those_of_all_processes_while_time_counts() -> None:
    (measured,), notes = measure([sys.executable, "-c", HOLDING])
    assert measured.seconds == 0.8
    assert measured.cpu_seconds > 0.05
    assert 150 < measured.peak_mb < 250
    assert notes["size_ratio"] == 0.9


def test_a_contestant_that_fails_ends_the_benchmark() -> None:
    with pytest.raises(SystemExit, match="failed with status 3"):
        measure([sys.executable, "-c", "raise SystemExit(3)"])


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("composite", [False, True])
@pytest.mark.parametrize("peer", ["stackstac", "odc-stac"])
def test_peers_make_the_counts_that_the_check_expects(folder: Path, tmp_path: Path, peer: str, composite: bool) -> None:
    for package in ("odc.stac", "stackstac"):
        pytest.importorskip(package, reason="needs the extra `benchmarks`")
    from ingest_contestant import contestant_of

    task = Task(peer, str(folder), LAND, str(tmp_path / "cube"), cores=2, composite=composite)
    contestant_of(peer)(task, untimed)
    assert wrong_bands(task) == []
    group = zarr.open_group(task.out, mode="r+")
    array, place = (group["red"], (0, 16, 0)) if "red" in group else (group["reflectance"], (0, 2, 16, 0))
    array[place] = array[place] + 1
    assert wrong_bands(task) == ["B04"]


def test_ratios_are_taken_within_a_round_so_that_load_cancels_out() -> None:
    rounds = Rounds()
    for load in (1, 7, 2):
        for name, seconds in (("files: limit: decoding", 1.0), ("files: furrow", 2.0), ("composite: furrow", 3.0)):
            rounds.add(name, [Measured(seconds * load, seconds, 100 * load)])
    rounds.measured["files: furrow"][1] = [Measured(2.0, 2.0, 90)]  # the load was over by then
    rows = rows_of(rounds, {name: [LAND] for name in rounds.measured})
    limit, furrow, composite = rows
    assert (limit["ratio_to_limit"], furrow["ratio_to_limit"], composite["ratio_to_limit"]) == (1, 0.5, None)
    assert (furrow["median_s"], furrow["peak_mb"]) == (2, 200)
    assert composite["cost_of_reading_alone"] == 1.5
    assert summary(rounds)["rate_of_decoding"] == 0.5
    assert summary(rounds)["times_stackstac"] is None


def test_contestants_of_the_labels_benchmark_burn_the_same_pixels(tmp_path: Path, capsys: Any) -> None:
    import labels_contestant
    import labels_land

    land = labels_land.Land(parcels=150, side=512, tile=256)
    task = labels_contestant.Task(land.write(tmp_path), land, tmp_path / "out", cores=2)
    for name in ("furrow, rasterising alone", "rasterio"):
        labels_contestant.CONTESTANTS[name](task, untimed)
    one, other = (json.loads(line) for line in capsys.readouterr().out.splitlines())
    assert one == other and len(one[land.name]) == 16
    shapes = land.outlines()
    pairs = shapely.STRtree(shapes).query(shapes, predicate="overlaps")
    assert len(shapes) == 150 and pairs.size == 0


def test_queries_of_a_map_are_answered_alike_and_counted(tmp_path: Path) -> None:
    from query import measure
    from query_map import grid_of_side, make_map

    grid = grid_of_side(1536, 512)
    make_map(tmp_path, grid)
    with serving(tmp_path, "counting_server.py") as url:
        rows = {(row["question"], row["contestant"]): row for row in measure(url, grid, 2)}
    assert len(rows) == 12
    assert all(row["requests"] >= 1 or row["contestant"] == "cog" for row in rows.values())  # GDAL may know it already
    assert rows["2 km", "zarr-python"]["requests"] >= rows["2 km", "furrow"]["requests"]
