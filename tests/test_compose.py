"""What an ingest worker makes of scenes: equal to numpy's, whatever is done together, and no worse than it must be."""

import os
import subprocess
import sys
from dataclasses import dataclass, replace
from math import ceil
from pathlib import Path
from typing import Any

import made_scenes as made
import numpy as np
import pytest
import rasterio
import xxhash
from pyproj import Transformer
from scipy.ndimage import distance_transform_edt

from catalogs import cube
from catalogs.bands import BANDS, CLEAR_SCL
from catalogs.errors import BadInput
from pipelines.compose import Composition, compose
from pipelines.ingest import compositions
from pipelines.plan import Plan
from pipelines.stored import units_of

HALO = 20
"""Pixels by which scenes are larger than the region on each side: clouds there have margins, too."""

SIDE = 2 * made.TILE


@dataclass(frozen=True)
class Sight:
    """A scene as the oracle knows it: reflectance, with 0 for no data, and classes on 10 m; and what its item says."""

    name: str
    day: int
    cloud: float
    offset: int
    tile: str
    pixels: dict[str, np.ndarray]

    @property
    def counts(self) -> dict[str, np.ndarray]:
        held = {band: np.where(self.pixels[band] > 0, self.pixels[band] + self.offset, 0) for band in BANDS}
        return {band: counts.astype(np.uint16) for band, counts in held.items()} | {"SCL": self.pixels["SCL"]}


def sight(seed: int, day: int, cloud: float, offset: int = 0, tile: str = "33UWP") -> Sight:
    """Random ground under clouds of a few pixels; a strip at one side is beyond the satellite's swath."""
    rng = np.random.default_rng(seed)
    side = SIDE + 2 * HALO
    pixels = made.random_pixels(seed, side, side)
    sky = rng.choice(np.array([4] * 40 + [5, 6, 7, 2, 3, 8, 9, 10, 10, 11, 1], np.uint8), (side // 8, side // 8))
    pixels["SCL"] = sky.repeat(4, axis=0).repeat(4, axis=1)[: side // 2, : side // 2]
    for counts in pixels.values():
        counts[:, : side // 2 * seed // 16 * (counts.shape[1] * 2 // side)] = 0
    return Sight(f"scene-{seed}", day, cloud, offset, tile, pixels)


SIGHTS = (
    sight(1, 5, 30.0),
    sight(2, 10, 5.0, offset=1000),
    sight(3, 15, 5.0),
    sight(4, 20, 60.0, tile="33UXP"),
    sight(5, 25, 2.0, tile="33UXP"),
)


def items_of(sights: tuple[Sight, ...], folder: Path) -> list[dict[str, Any]]:
    items = []
    for seen in sights:
        corner = made.LEFT - 10 * HALO, made.TOP + 10 * HALO
        files = made.write_pixels(folder / seen.name, seen.counts, *corner)
        ground = made.ground_of_pixels(seen.pixels, *corner)
        about = {"eo:cloud_cover": seen.cloud, "grid:code": f"MGRS-{seen.tile}"}
        about |= {"earthsearch:boa_offset_applied": seen.offset == 0}
        items.append(made.plain_item(seen.name, files, ground, f"2021-06-{seen.day:02d}T10:00:00Z", **about))
    return items


@pytest.fixture(scope="module")
def catalog(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("catalogue")
    return made.static_catalogue(folder, items_of(SIGHTS, folder))


def run(catalog: Path, root: Path, **how: Any) -> tuple[np.ndarray, np.ndarray]:
    return made.cube_of(made.plan_of(catalog.parent, catalog, root=str(root), **how))


def clear_of(seen: Sight, margin: int, cirrus: str, haze: float | None) -> np.ndarray:
    """Of the whole scene, by a map of distances."""
    classes = made.on_10_metres(seen.pixels, "SCL")
    keep = cirrus == "keep"
    clouds = (3, 8, 9) if keep else (3, 8, 9, 10)
    clear = np.isin(classes, (*CLEAR_SCL, 10) if keep else CLEAR_SCL)
    if margin:
        clear &= distance_transform_edt(~np.isin(classes, clouds)) > margin
    if haze is not None:
        clear &= seen.pixels["B02"] <= haze * 10_000
    return clear & (made.stacked(seen.pixels) > 0).any(axis=0)


def oracle(
    sights: tuple[Sight, ...], composite: str = "median", cloud_margin: int = 0, cirrus: str = "exclude",
    haze: float | None = None,
) -> tuple[np.ndarray, np.ndarray]:  # fmt: skip
    """The same in numpy, all at once; the region lies in the middle of the scenes."""
    if composite == "single-date":
        tiles = {seen.tile for seen in sights}
        best = {tile: min((s for s in sights if s.tile == tile), key=lambda s: (s.cloud, s.day)) for tile in tiles}
        sights = tuple(best.values())
    ordered = sorted(sights, key=lambda seen: (seen.cloud, seen.day))
    inner = np.s_[..., HALO:-HALO, HALO:-HALO]
    clear = np.stack([clear_of(seen, ceil(cloud_margin / 10), cirrus, haze)[inner] for seen in ordered])
    values = np.stack([made.stacked(seen.pixels)[inner] for seen in ordered])
    count = clear.sum(axis=0)
    if composite == "median":
        gaps = np.ma.masked_array(values, np.broadcast_to(~clear[:, None], values.shape))
        picture = np.floor(np.ma.median(gaps, axis=0).filled(0) + 0.5)
    else:
        first = clear.argmax(axis=0)
        picture = np.take_along_axis(values, first[None, None], axis=0)[0] * (count > 0)
    return picture.astype(np.uint16), count.astype(np.uint8)


OPTIONS: tuple[dict[str, Any], ...] = (
    {},
    {"composite": "best"},
    {"composite": "single-date"},
    {"cloud_margin": 30},
    {"cloud_margin": 155, "composite": "best"},
    {"cirrus": "keep"},
    {"cirrus": "keep", "cloud_margin": 30},
    {"haze": 0.25},
    {"haze": 0.25, "composite": "best", "cirrus": "keep", "cloud_margin": 50},
)


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_a_cube_is_what_numpy_makes_of_the_scenes(options, catalog, tmp_path):
    picture, count = run(catalog, tmp_path, **options)
    expected = oracle(SIGHTS, **options)
    assert (count == expected[1]).all() and (picture == expected[0]).all()
    assert (count > 0).mean() > 0.1 and ((picture > 0).all(axis=0) == (count > 0)).all()


def test_every_option_changes_the_cube():
    """As numpy has it, and so, by the test above, as the worker has it."""
    made_of = [np.concatenate([layer.ravel() for layer in oracle(SIGHTS, **options)]) for options in OPTIONS]
    assert len({content.tobytes() for content in made_of}) == len(OPTIONS)


def test_the_best_is_made_of_whole_pixels(catalog, tmp_path):
    picture, count = run(catalog, tmp_path, composite="best")
    inner = np.s_[:, HALO:-HALO, HALO:-HALO]
    whole = [(picture == made.stacked(seen.pixels)[inner]).all(axis=0) for seen in SIGHTS]
    assert np.any(whole, axis=0)[count > 0].all() and sum(mask.any() for mask in whole) > 2
    median, _ = run(catalog, tmp_path / "median")
    assert not np.any([(median == made.stacked(seen.pixels)[inner]).all(axis=0) for seen in SIGHTS], axis=0).all()


def test_a_single_date_is_of_one_scene_for_each_sentinel_tile(catalog, tmp_path):
    plan = made.plan_of(catalog.parent, catalog, root=str(tmp_path), composite="single-date")
    used = {name for record in made.composed(plan)[1].values() for name in record["scenes"] + record["hidden"]}
    assert used == {"scene-2", "scene-5"}


@pytest.mark.parametrize("composite", ["median", "best"])
def test_the_tiles_side_leaves_no_trace(composite, catalog, tmp_path):
    """Not even of margins around clouds, which reach over tiles' borders."""
    how = {"composite": composite, "cloud_margin": 95}
    cut = run(catalog, tmp_path / "a", **how)
    whole = run(catalog, tmp_path / "b", tile=SIDE, tiles=(1, 1), **how)
    assert all((a == b).all() for a, b in zip(cut, whole, strict=True))


def in_next_zone(catalog: Path, root: Path, **how: Any) -> tuple[np.ndarray, np.ndarray]:
    """The scenes' ground on the grid of the neighbouring UTM zone, where all pixels are warped."""
    x, y = Transformer.from_crs(made.EPSG, NEXT, always_xy=True).transform(made.LEFT, made.TOP)
    corner = int(x // (10 * SIDE) * 10 * SIDE), int(-(-y // (10 * SIDE)) * 10 * SIDE)
    return run(catalog, root, epsg=NEXT, corner=corner, cloud_margin=30, composite="best", **how)


NEXT = made.EPSG + 1


def test_the_tiles_side_leaves_no_trace_where_pixels_are_warped(catalog, tmp_path):
    """But that a place is exact to 0.1 mm: now and then a pixel falls to the other side, and a mean is rounded so."""
    cut = in_next_zone(catalog, tmp_path / "a")
    whole = in_next_zone(catalog, tmp_path / "b", tile=SIDE, tiles=(1, 1))
    apart = np.abs(cut[0].astype(int) - whole[0])
    assert (cut[1] != whole[1]).sum() <= 9 and (apart > 1).any(axis=0).sum() <= 9 and (apart > 0).mean() < 0.01
    assert (whole[1] > 0).mean() > 0.1


def test_resampling_changes_warped_pixels_and_no_others(catalog, tmp_path):
    bilinear, nearest = (in_next_zone(catalog, tmp_path / how, resampling=how)[0] for how in ("bilinear", "nearest"))
    assert (bilinear != nearest)[:, (nearest > 0).all(axis=0)].mean() > 0.9
    native = run(catalog, tmp_path / "c", resampling="nearest")
    assert all((a == b).all() for a, b in zip(native, run(catalog, tmp_path / "d"), strict=True))


def together(plan: Plan) -> Composition:
    """All tiles of a run as one piece of work."""
    parts = list(compositions(plan, made.begin(plan)[1], made.names_of(plan)))
    return replace(parts[0], portions=tuple(portion for part in parts for portion in part.portions))


def shards(plan: Plan) -> dict[str, bytes]:
    folder = Path(plan.root.path("cube.zarr"))
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.name != "zarr.json" and path.is_file()
    }


def timeless(outcomes: dict[str, Any]) -> dict[str, Any]:
    return {unit: {**record, "seconds": None} for unit, record in outcomes.items()}


@pytest.mark.parametrize("composite", ["median", "best"])
def test_it_does_not_matter_which_tiles_are_composed_together(composite, catalog, tmp_path):
    how = {"composite": composite, "cloud_margin": 40, "haze": 0.4}
    alone = made.plan_of(catalog.parent, catalog, root=str(tmp_path / "alone"), **how)
    grouped = made.plan_of(catalog.parent, catalog, root=str(tmp_path / "grouped"), **how)
    assert len(alone.tiles) == len(alone.groups) == 4
    apart, joint = made.composed(alone)[1], compose(together(grouped))
    assert len(shards(alone)) == 8 and shards(alone) == shards(grouped)
    assert timeless(apart) == timeless(joint) and len(apart) == 4


@pytest.fixture(scope="module")
def dark(tmp_path_factory) -> tuple[np.ndarray, np.ndarray]:
    """The cube of one scene, all vegetation, with zeros in one band, in all bands but one, and in all."""
    folder = tmp_path_factory.mktemp("dark")
    pixels = made.random_pixels(9, SIDE, SIDE, classes=(4,))
    pixels["B02"][0:2, 0:2], pixels["B11"][1, 0] = 0, 0
    for band in BANDS:
        step = 1 if pixels[band].shape[0] == SIDE else 2
        pixels[band][8 // step : 12 // step, 8 // step : 12 // step] = 0 if band != "B12" else 77
        pixels[band][16 // step : 20 // step, 16 // step : 20 // step] = 0
    files = made.write_pixels(folder / "files", pixels)
    item = made.plain_item("dark", files, made.ground_of_pixels(pixels), "2021-06-05T10:00:00Z")
    return run(made.static_catalogue(folder, [item]), folder / "root", haze=0.9)


def test_one_band_at_zero_is_dark_ground(dark):
    picture, count = dark
    assert (picture[0, 0:2, 0:2] == 1).all() and (picture[8, 2:4, 0:2] == 1).all()
    assert (picture[:-1, 8:12, 8:12] == 1).all() and (picture[-1, 8:12, 8:12] == 77).all()
    assert (count[:16] == 1).all()


@pytest.mark.parametrize("composite", ["median", "best"])
def test_one_band_at_zero_is_no_data_where_the_offset_is_still_in(tmp_path, composite):
    """Two scenes; in one of them, here and there, a band is missing: what the other shows counts alone."""
    items, seen = [], []
    for number in (1, 2):
        pixels = made.random_pixels(number, SIDE, SIDE, classes=(4,))
        if number == 1:
            pixels["B02"][0:2, 0:2], pixels["B08"][4:6, 0:2], pixels["B12"][4, 4] = 0, 0, 0
        files = made.write_pixels(tmp_path / f"files{number}", pixels)
        about = {"earthsearch:boa_offset_applied": False, "eo:cloud_cover": float(number)}
        when = f"2021-06-0{number}T10:00:00Z"
        items.append(made.plain_item(f"s{number}", files, made.ground_of_pixels(pixels), when, **about))
        seen.append(pixels)
    picture, count = run(made.static_catalogue(tmp_path, items), tmp_path / "root", composite=composite)
    holes = np.zeros((SIDE, SIDE), bool)
    holes[0:2, 0:2] = holes[4:6, 0:2] = holes[8:10, 8:10] = True
    assert (count == np.where(holes, 1, 2)).all()
    other = made.stacked(seen[1]).clip(1001) - 1000
    assert (picture[:, holes] == other[:, holes]).all()


def test_all_bands_at_zero_are_no_data_whatever_the_class(dark):
    picture, count = dark
    assert not count[16:20, 16:20].any() and not picture[:, 16:20, 16:20].any()
    assert count.sum() == SIDE * SIDE - 16


def test_ground_that_no_scene_shows_is_written_as_empty(catalog, tmp_path):
    far = made.LEFT, made.TOP + 20 * made.TILE
    plan = made.plan_of(catalog.parent, catalog, root=str(tmp_path), tiles=(3, 1), corner=far)
    store, outcomes = made.composed(plan)
    assert (store.read("observations")[0].any(axis=1).nonzero()[0] // made.TILE).min() == 1
    empty = outcomes[made.names_of(plan)[0]]
    assert empty["scenes"] == [] and empty["observed"] == 0 and len(empty["digests"]) == 2


def test_a_record_tells_what_was_done(catalog, tmp_path):
    plan = made.plan_of(catalog.parent, catalog, root=str(tmp_path), tiles=(1, 1))
    store, outcomes = made.composed(plan)
    ((unit, record),) = outcomes.items()
    picture, count = store.read("reflectance")[0], store.read("observations")[0]
    assert store.ledger.record(unit) == record and store.ledger.done() == {unit}
    assert record["scenes"] == [seen.name for seen in SIGHTS] and record["hidden"] == record["unreadable"] == []
    written = [store.root.read(f"{cube.NAME}/{key}") for key in dict(units_of(plan, cube.NAME))[unit]]
    assert record["digests"] == [xxhash.xxh3_64_hexdigest(content) for content in written]
    assert record["observed"] == pytest.approx((count > 0).mean(), abs=1e-4)
    assert record["clear"] == {"mean": pytest.approx(count.mean(), abs=1e-4), "max": count.max()}
    assert record["bytes"] == len(SIGHTS) * (picture.nbytes + count.nbytes) and 0 < record["seconds"] < 60


def test_a_scene_that_shows_nothing_is_hidden_and_its_bands_are_not_read(tmp_path):
    """Here the bands could not be read at all."""
    seen, cloudy = SIGHTS[0], replace(SIGHTS[1], pixels=dict(SIGHTS[1].pixels))
    cloudy.pixels["SCL"] = np.full_like(cloudy.pixels["SCL"], 9)
    items = items_of((seen, cloudy), tmp_path)
    for band in BANDS:
        (tmp_path / cloudy.name / f"{band}.tif").write_bytes(b"II*\0")
    plan = made.plan_of(tmp_path, made.static_catalogue(tmp_path, items), tiles=(1, 1))
    ((_, record),) = made.composed(plan)[1].items()
    assert record["scenes"] == [seen.name] and record["hidden"] == [cloudy.name] and record["unreadable"] == []


def test_ground_that_no_scene_shows_is_done_and_empty(tmp_path):
    cloudy = replace(SIGHTS[1], pixels=SIGHTS[1].pixels | {"SCL": np.full_like(SIGHTS[1].pixels["SCL"], 9)})
    plan = made.plan_of(tmp_path, made.static_catalogue(tmp_path, items_of((cloudy,), tmp_path)), tiles=(1, 1))
    store, records = made.composed(plan)
    ((_, record),) = records.items()
    assert record["scenes"] == [] and record["hidden"] == [cloudy.name] and record["observed"] == 0
    assert not store.read("reflectance").any() and not store.read("observations").any()


def simple(seed: int, folder: Path) -> dict[str, Any]:
    """A clear scene of the region alone, whose files have a block for each tile."""
    pixels = made.random_pixels(seed, SIDE, SIDE)
    files = made.write_pixels(folder / str(seed), pixels, write=made.blocks_of_a_tile)
    return made.plain_item(f"scene-{seed}", files, made.ground_of_pixels(pixels), f"2021-06-{seed:02d}T10:00:00Z")


def spoil(path: Path, row: int, col: int) -> None:
    """Overwrite one block of a file."""
    with rasterio.open(path) as raster:
        start, length = (
            int(raster.get_tag_item(f"BLOCK_{what}_{col}_{row}", "TIFF", bidx=1)) for what in ("OFFSET", "SIZE")
        )
    content = bytearray(path.read_bytes())
    content[start : start + length] = b"\xff" * length
    path.write_bytes(content)


@pytest.mark.parametrize("band", ["B02", "B11", "SCL"])
def test_a_block_that_cannot_be_read_costs_its_scene_in_its_tile_only(band, tmp_path):
    items = [simple(seed, tmp_path) for seed in (1, 2)]
    catalog = made.static_catalogue(tmp_path, items)
    before = run(catalog, tmp_path / "before")
    made.close_files()
    spoil(tmp_path / "2" / f"{band}.tif", 0, 1)
    plan = made.plan_of(tmp_path, catalog, root="after")
    outcomes = compose(together(plan))
    lost = {unit: record["unreadable"] for unit, record in outcomes.items() if record["unreadable"]}
    ((unit, (told,)),) = lost.items()
    assert unit == made.names_of(plan)[1] and told["scene"] == "scene-2" and told["reason"]
    picture = made.Store(plan.root, "cube.zarr").read("reflectance")[0]
    here = np.s_[:, : made.TILE, made.TILE :]
    other = made.stacked(made.random_pixels(1, SIDE, SIDE))  # the scene that is left
    assert (picture[here] == other[here]).all() and outcomes[unit]["clear"] == {"mean": 1.0, "max": 1}
    picture[here] = before[0][here]
    assert (picture == before[0]).all()


def test_a_file_that_is_gone_costs_its_scene_everywhere(tmp_path):
    items = [simple(seed, tmp_path) for seed in (1, 2)]
    catalog = made.static_catalogue(tmp_path, items)
    (tmp_path / "1" / "B8A.tif").unlink()
    plan = made.plan_of(tmp_path, catalog)
    outcomes = compose(together(plan))
    assert len(outcomes) == 4
    assert all([told["scene"] for told in record["unreadable"]] == ["scene-1"] for record in outcomes.values())
    assert all(record["scenes"] == ["scene-2"] for record in outcomes.values())


def test_where_a_bad_scene_stops_the_run_its_tile_alone_is_not_written(tmp_path):
    catalog = made.static_catalogue(tmp_path, [simple(seed, tmp_path) for seed in (1, 2)])
    spoil(tmp_path / "2" / "B03.tif", 1, 0)
    plan = made.plan_of(tmp_path, catalog, bad_scene="stop")
    outcomes = compose(together(plan))
    bad = made.names_of(plan)[2]
    error = outcomes.pop(bad)
    assert isinstance(error, BadInput) and error.given == "scene scene-2" and 'bad_scene = "skip"' in error.remedy
    assert made.Store(plan.root, "cube.zarr").ledger.done() == set(outcomes) == set(made.names_of(plan)) - {bad}


WORKER = """
import sys
from pipelines.compose import compose
from pipelines.ingest import compositions
from cluster.progress import LineProgress
from pipelines.plan import make_plan
from pipelines.project import load_project
from pipelines.scene_search import find_scenes

plan = make_plan(load_project(sys.argv[1]))
scenes = find_scenes(plan, LineProgress(sys.stderr))
work = next(compositions(plan, scenes, sys.argv[2:]))
records = compose(work)
assert len(records) == len(work.portions) > 1
assert all(len(record["scenes"]) == len(scenes.scenes) for record in records.values())
print([line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")][0])
"""
"""Composes a group of tiles in a process of its own and prints its peak memory, kB. (That of getrusage would begin at
its parent's.)"""

MiB = 1024**2


@pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="peak memory is read from Linux's /proc")
@pytest.mark.parametrize(("tile", "tiles", "deep"), [(256, 2, 4), (512, 3, 12)])
def test_a_worker_needs_no_more_memory_than_was_planned(tile, tiles, deep, tmp_path):
    pixels = {band: np.kron(counts, np.ones((tile // 8, tile // 8), counts.dtype))
              for band, counts in made.random_pixels(1, 8 * tiles, 8 * tiles).items()}  # fmt: skip
    files, ground = made.write_pixels(tmp_path / "0", pixels), made.ground_of_pixels(pixels)
    items = [
        made.plain_item(str(i), made.linked(files, tmp_path / str(i + 1)), ground, f"2021-06-02T{i:02d}:00:00Z")
        for i in range(deep)
    ]
    how = {"tile": tile, "tiles": (tiles, tiles), "periods": 4}
    plan = made.plan_of(tmp_path, made.static_catalogue(tmp_path, items), **how)
    scenes = made.begin(plan)[1]
    assert len(plan.groups) == 1 and len(scenes.scenes) == deep
    command = [sys.executable, "-c", WORKER, str(tmp_path / "project.toml"), *made.names_of(plan)]
    house = Path(__file__).parents[1]
    said = subprocess.run(command, cwd=house, capture_output=True, text=True, check=False)
    assert said.returncode == 0, said.stderr
    measured, projected = int(said.stdout) * 1024, plan.ingest_bytes(scenes)
    print(f"{deep} scenes, {tile * tiles} pixels: {measured / MiB:.0f} MiB of {projected / MiB:.0f} projected")
    assert measured <= projected <= 4 * measured
