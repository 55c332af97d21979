"""The plan of a run: what a project file means in tiles, periods, bytes and memory, before anything is done."""

import os
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from pyproj import CRS
from shapely import box
from shapely.geometry.base import BaseGeometry

from catalogs.bands import BANDS
from catalogs.description import identity
from catalogs.errors import BadInput
from catalogs.files import BLOCK_CACHE
from catalogs.grid import Grid, Tile, squares
from catalogs.parcels.crosswalks import Crosswalk, open_crosswalk
from catalogs.parcels.sources import Asked
from catalogs.periods import Period, split_season
from catalogs.region import lonlat, region_from_box, region_from_file
from catalogs.root import Root
from catalogs.scenes import SceneList
from catalogs.taxonomy import TABLES, Taxonomy, read_taxonomy, ten_crops
from catalogs.temperatures import accumulated, read_temperatures, thermal_middles, thermal_periods
from pipelines.leases import TILES_IN_HAND, Shape, groups_in_hand, together
from pipelines.machine import MAPPER_BYTES, READER_BYTES, machine_memory
from pipelines.model_settings import network_settings
from pipelines.project import Project

if TYPE_CHECKING:
    from models.network import NetworkSettings

MOST_TILES = 1_000_000
"""Of the rectangle around a region: more than any country has of 10 km, and few enough to be listed in seconds."""

PROBED = 200
"""Tiles that are looked at to find how many scenes lie over one another."""

GROUP = 2048
"""Pixels on a side of the ground that an ingest worker composes at once: the blocks of files never fit the grid's
tiles, and the smaller the group, the more of them are decoded for both of two neighbours."""

TEN_CROPS = TABLES / "classes.csv"

SHARES = 4
"""Groups for each worker, at least, so that none is idle for long at the end."""

SCENE_BYTES = 10
"""Of a pixel of a scene: its mask, and two bands as counts and as reflectance."""

COMPOSITE_BYTES = 2 * 2 * len(BANDS)
"""Of a pixel of the composite: its bands, and those of a shard while it is encoded."""


@dataclass(frozen=True)
class Plan:
    """A project with everything that follows from it alone."""

    project: Project
    ground: str = ""
    """The root that holds the cube, where that is not the project's own."""

    @property
    def root(self) -> Root:
        return Root(self.project.root)

    @property
    def cube_root(self) -> Root:
        return Root(self.ground or self.project.root)

    @property
    def checkpoint_root(self) -> Root:
        """Where the checkpoint to map with lies."""
        return Root(self.project.checkpoint_root)

    @property
    def is_stage(self) -> bool:
        """Whether this is a stage of self-training: its labels have weights, and all its patches are to be learned."""
        return bool(self.ground)

    @cached_property
    def region(self) -> BaseGeometry:
        """The ground to map, in the grid's CRS."""
        region = self.project.region
        if region.bbox is not None:
            return region_from_box(region.bbox, region.crs)
        assert self.project.boundary is not None
        return region_from_file(self.project.boundary, region.crs)

    @cached_property
    def region_lonlat(self) -> BaseGeometry:
        return lonlat(self.region, self.project.region.crs)

    @cached_property
    def grid(self) -> Grid:
        region = self.project.region
        return Grid.around(self.region.bounds, region.crs, region.resolution, region.tile)

    @cached_property
    def tiles(self) -> tuple[Tile, ...]:
        return tuple(self.grid.tiles(self.region))

    def ground_lonlat(self, tile: Tile) -> BaseGeometry:
        return lonlat(box(*self.grid.bounds(self.grid.window(tile))), self.grid.crs)

    @cached_property
    def periods(self) -> tuple[Period, ...]:
        season, imagery = self.project.season, self.project.imagery
        if imagery.time == "calendar":
            return split_season(season.start, season.end, imagery.periods)
        assert self.project.temperatures is not None and isinstance(imagery.periods, int)
        temperatures = read_temperatures(self.project.temperatures)
        return thermal_periods(season.start, season.end, imagery.periods, temperatures, imagery.degree_days)

    @property
    def period_names(self) -> tuple[str | tuple[str, str], ...]:
        """What a network knows its periods as: days or, where these differ from year to year, their warmth."""
        imagery, count = self.project.imagery, len(self.periods)
        if imagery.time == "calendar":
            return tuple((str(period.start), str(period.end)) for period in self.periods)
        if imagery.degree_days is None:
            return tuple(f"part {number} of {count} of the season's warmth" for number in range(1, count + 1))
        low, high = imagery.degree_days
        edges = [f"{low + i * (high - low) / count:g}" for i in range(count + 1)]
        return tuple(f"{a} to {b} degree-days" for a, b in pairwise(edges))

    @cached_property
    def middles(self) -> tuple[float, ...]:
        """Where each period lies: days since the first of January, or degree-days since the season's first day."""
        imagery, season = self.project.imagery, self.project.season
        if imagery.time == "calendar":
            return tuple(period.middle for period in self.periods)
        assert self.project.temperatures is not None
        if imagery.degree_days is not None:
            return thermal_middles(*imagery.degree_days, len(self.periods))
        sums = accumulated(season.start, season.end, read_temperatures(self.project.temperatures))
        return thermal_middles(float(sums[0]), float(sums[-1]), len(self.periods))

    @cached_property
    def taxonomy(self) -> Taxonomy:
        """The ten crops, or the classes that the project brings."""
        crosswalk = self.project.crosswalk_table
        return read_taxonomy(self.project.class_table or TEN_CROPS, crosswalk) if crosswalk else ten_crops()

    @property
    def asked(self) -> Asked:
        """What the project says of its parcel file."""
        labels = self.project.labels
        return Asked(labels.source, labels.layer, labels.crs, labels.code_column, labels.name_column)

    @cached_property
    def crosswalk(self) -> Crosswalk:
        labels = self.project.labels
        return open_crosswalk(labels.source, self.project.labels_mapping, self.taxonomy, labels.country)

    @property
    def workers(self) -> int:
        return self.project.compute.workers or os.cpu_count() or 1

    @property
    def slots(self) -> int:
        """CPU slots of a private Ray cluster: enough for mapping and for training."""
        return max(self.workers, self.project.training.workers)

    @cached_property
    def grid_description(self) -> dict[str, Any]:
        """What makes two runs lie on the same pixels of the same ground."""
        grid = self.grid
        return {
            "crs": CRS.from_user_input(grid.crs).to_string(),
            "resolution": grid.resolution,
            "tile": grid.side,
            "first": [grid.first.row, grid.first.col],
            "size": [grid.rows, grid.cols],
            "region": identity({"wkb": self.region.wkb_hex}),
        }

    @property
    def model(self) -> "NetworkSettings":
        """Loads torch, which workers that only read must not."""
        periods = len(self.periods) if self.project.model.dates == "all" else 1
        return network_settings(self.project, len(BANDS), periods, len(self.taxonomy.names))

    def printable(self, scenes: SceneList) -> dict[str, Any]:
        """What `furrow plan` shows: sizes that follow from the plan, raw and for each worker."""
        grid, pixels = self.grid, len(self.tiles) * self.grid.side**2
        memory = max(self.ingest_bytes(scenes), self.map_bytes)
        return {
            "region": self.project.region.name,
            "grid": f"{grid.crs}, {grid.resolution} m, {grid.shape[0]} x {grid.shape[1]} pixels",
            "tiles": len(self.tiles),
            "square_kilometres": round(pixels * grid.resolution**2 / 1e6, 1),
            "periods": [str(period) for period in self.periods],
            "scenes": len(scenes.scenes),
            "scenes_left_out": len(scenes.left_out),
            "cube_uncompressed_bytes": pixels * len(self.periods) * (2 * len(BANDS) + 1),
            "map_uncompressed_bytes": pixels + self.model.answer_bytes(pixels, self.project.map.probabilities),
            "workers": self.workers,
            "worker_memory_bytes": memory,
            "machine_memory_bytes": machine_memory(),
        }

    def ingest_bytes(self, scenes: SceneList) -> int:
        """Projected memory of a worker that composes one period of a group of tiles, band by band.

        Blocks are kept in two places: those that GDAL has decoded, and those of plain files, which we decode.
        """
        deep = max(self.depths([scenes.during(period) for period in self.periods]))
        pixels = max(len(group) for group in self.groups) * self.grid.side**2
        return READER_BYTES + 2 * BLOCK_CACHE + pixels * (deep * SCENE_BYTES + COMPOSITE_BYTES)

    def depths(self, by_period: Sequence[SceneList]) -> list[int]:
        """How many scenes lie over one another in each period, on some tiles evenly through the country."""
        grounds = [self.ground_lonlat(tile) for tile in self.tiles[:: -(-len(self.tiles) // PROBED)]]
        return [len(found.within(ground)) for found in by_period for ground in grounds]

    @cached_property
    def groups(self) -> list[list[Tile]]:
        """Tiles by the square of ground that a worker composes at once: whole squares first, so that none is left to
        the end, when other workers have nothing to do."""
        side = max(GROUP // self.grid.side, 1)
        while side > 1 and len(squares(self.tiles, side)) * len(self.periods) < SHARES * self.workers:
            side -= 1
        return sorted(squares(self.tiles, side), key=len, reverse=True)

    @property
    def map_bytes(self) -> int:
        """Projected memory of a worker that maps with `[model]`, one tile at a time where no more fits."""
        model, wanted = self.model, self.project.compute.gpus_per_worker
        gpus = 0.0 if wanted == "auto" else float(wanted)
        shapes = self.together(model, gpus), (1, 1)
        many, one = (self.bytes_to_map_with(model, groups_in_hand(gpus), gpus, shape) for shape in shapes)
        return many if self.fits(many * self.workers) else one

    def together(self, model: "NetworkSettings", gpus: float) -> Shape:
        """Tiles that a worker sees at once where there are many, and memory for it."""
        return together(model, gpus, self.grid.side, not self.cube_root.is_local, self.project.map.probabilities)

    def bytes_to_map_with(
        self,
        model: "NetworkSettings",
        in_hand: int = TILES_IN_HAND,
        gpus: float = 0,
        together: Shape = (1, 1),
    ) -> int:
        """Of all tiles in hand what is answered, with the observations that it rests on, and one window inside the
        network; the cubes of those tiles too, one of them twice while it is decoded, unless a CPU decodes them from a
        disk as it comes to them. PyTorch takes memory from which a GPU reads in powers of two."""
        halo, probabilities, side = self.project.map.halo, self.project.map.probabilities, self.grid.side
        context, tiles = halo if isinstance(halo, int) else model.halo, together[0] * together[1]
        held = tiles * (side**2 + model.answer_bytes(side**2, probabilities))
        on_gpu = model.uses_gpu and (bool(gpus) or self.project.compute.gpus_per_worker not in ("auto", 0))
        if on_gpu or not self.cube_root.is_local:
            high, broad = (side * count + 2 * context for count in together)
            pixels = high * broad * 2 * len(BANDS) * len(self.periods)
            held += 1 << (pixels - 1).bit_length() if on_gpu else pixels
        counting = side**2 * (len(self.periods) + 12)  # observations by period, and pixels by class
        wide = side * together[1] if model.flow else side  # what flows past wider than a window takes no more
        window = (min(wide, model.window) + 2 * context) ** 2
        seeing = 0 if on_gpu else model.mapping_bytes(window)
        return MAPPER_BYTES + (in_hand + 1) * held + counting + seeing + model.answer_bytes(window, probabilities)

    def fits(self, need: int) -> bool:
        """In the memory of this machine, where it is this one that works."""
        return bool(self.project.compute.address) or need <= machine_memory()

    def check_memory(self, worker_bytes: int, workers: int | None = None) -> None:
        """Refuse before the start what cannot fit this machine, where it is this one that works."""
        workers = workers or self.workers
        need = worker_bytes * workers
        if not self.fits(need):
            raise BadInput(
                f"{workers} workers with tiles of {self.grid.side} pixels",
                f"would need {need / 1e9:.1f} GB of memory and this machine has {machine_memory() / 1e9:.1f} GB.",
                "Write a smaller [region] tile or fewer [compute] workers.",
            )


def make_plan(project: Project) -> Plan:
    """A plan whose region has been read, and that has at least one tile."""
    plan = Plan(project)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        _check_extent(plan)
        if not plan.tiles:
            raise BadInput("the region", "covers no ground.", "Check [region] boundary or bbox.")
    return plan


def _check_extent(plan: Plan) -> None:
    tiles = plan.grid.rows * plan.grid.cols
    if tiles > MOST_TILES:
        raise BadInput(
            f"[region] tile = {plan.grid.side} in {plan.project.path}",
            f"the rectangle around the region would have {tiles:,} tiles, and {MOST_TILES:,} are the most.",
            "Write a larger tile, or map a smaller region: check [region] boundary, bbox and crs.",
        )
