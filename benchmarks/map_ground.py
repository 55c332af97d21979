"""The ground of the mapping benchmark: a cube of noise over fields, a network that nobody trained, and its task."""

import json
from dataclasses import asdict, dataclass, replace
from itertools import product
from pathlib import Path

import numpy as np
import torch
from shapely import box

from catalogs import crops, cube
from catalogs.bands import BANDS
from catalogs.cube import CubeUnit
from catalogs.grid import Grid, Tile, Window
from catalogs.root import Root
from catalogs.stores import Store, spatial_coordinates, write_shard
from catalogs.taxonomy import ten_crops
from models.architectures import NETWORKS, settings_of
from models.card import Card
from models.checkpoint import encode
from models.normalisation import Normalisation
from pipelines.devices import Places
from pipelines.leases import Shape, together
from pipelines.predicting import Mapping

CRS = "EPSG:3035"


DISTINCT = 4
"""Tiles of the cube that are made; the others are links to their files."""


@dataclass(frozen=True)
class Ground:
    """`rows` times `cols` tiles of `tile` pixels on a side to map, seen in some periods, with `ring` tiles around."""

    folder: str
    architecture: str = "swift"
    rows: int = 2
    cols: int = 2
    tile: int = 1024
    periods: int = 6
    ring: int = 0
    precision: str = "fp32"
    places: tuple[int, float, int] = (1, 0, 1)
    """Workers, and the GPUs and cores of each."""
    together: Shape | None = None
    """Rows and columns of tiles that are seen at once; None for the most that `map` would choose."""
    repeats: int = 1
    """Times that a process does all of it."""

    @property
    def grid(self) -> Grid:
        """Of the cube. The tiles to map end at its CRS's origin, so that they are whole groups."""
        first, *ends = (10 * self.tile * count for count in (-self.ring, self.cols + self.ring, self.rows + self.ring))
        return Grid.around((first, first, *ends), CRS, 10, self.tile)

    @property
    def tiles(self) -> list[Tile]:
        """Those to map."""
        grid, ring = self.grid, self.ring
        rows, cols = (range(ring, ring + count) for count in (self.rows, self.cols))
        return [Tile(grid.first.row + row, grid.first.col + col) for row in rows for col in cols]

    @property
    def window(self) -> Window:
        """Their pixels."""
        return self.grid.around_all(self.tiles)

    @property
    def root(self) -> Root:
        return Root(self.folder)

    @property
    def pixels(self) -> int:
        return self.rows * self.cols * self.tile**2

    @property
    def job(self) -> Mapping:
        region, places = box(-1e7, -1e7, 1e7, 1e7), Places(*self.places)
        job = Mapping(self.root, self.grid, region, "season", None, "benchmark", precision=self.precision)
        shape = self.together or together(settings_of(_card(self)), places.gpus, self.tile, False, False)
        return replace(job, places=replace(places, together=shape))

    @property
    def on_gpu(self) -> bool:
        return self.places[1] > 0

    def encode(self) -> str:
        return json.dumps(asdict(self))

    @staticmethod
    def decode(text: str) -> "Ground":
        values = json.loads(text)
        shape = values["together"] and tuple(values["together"])
        return Ground(**values | {"places": tuple(values["places"]), "together": shape})


def write_ground(ground: Ground) -> None:
    write_cube(ground)
    write_checkpoint(ground)


def write_checkpoint(ground: Ground) -> None:
    for name, data in checkpoint(ground).items():
        ground.root.write(f"checkpoints/season/{name}", data)


def write_cube(ground: Ground) -> None:
    rng, grid = np.random.default_rng(1), ground.grid
    store = Store(ground.root, cube.NAME)
    store.begin(cube.cube_layouts(grid, ground.periods, "made up"), spatial_coordinates(grid), {"store": "cube"})
    fields = rng.integers(0, 9, (ground.tile // 16, ground.tile // 16)).repeat(16, axis=0).repeat(16, axis=1)
    tiles, place = [*grid.tiles()], Path(ground.folder, cube.NAME)
    for number, tile in enumerate(tiles):
        for period in range(ground.periods):
            if number < DISTINCT:
                spectra = rng.integers(300, 4000, (9, len(BANDS)))
                picture = np.moveaxis(spectra[fields], -1, 0)
                picture = picture + rng.normal(0, 120, (len(BANDS), ground.tile, ground.tile))
                y, x = grid.window(tile).slices
                pixels = picture.clip(1, 10_000).astype(np.uint16)
                write_shard(store.array("reflectance"), (period, slice(None), y, x), pixels)
                write_shard(store.array("observations"), (period, y, x), (fields % 5).astype(np.uint8))
                continue
            like = CubeUnit(period, tiles[number % DISTINCT]).objects(grid)
            for old, new in zip(like, CubeUnit(period, tile).objects(grid), strict=True):
                place.joinpath(new).parent.mkdir(parents=True, exist_ok=True)
                place.joinpath(new).hardlink_to(place / old)


def checkpoint(ground: Ground) -> dict[str, bytes]:
    torch.manual_seed(0)
    card = _card(ground)
    return encode(NETWORKS[ground.architecture].network(settings_of(card)).state_dict(), card)


def _card(ground: Ground) -> Card:
    names = ten_crops().names
    settings = NETWORKS[ground.architecture].settings(bands=len(BANDS), periods=ground.periods, classes=len(names))
    return Card(
        name="season",
        architecture=ground.architecture,
        settings=settings.as_dict(),
        bands=BANDS,
        periods=tuple(f"period {number}" for number in range(ground.periods)),
        middles=tuple(75.0 + 30 * number for number in range(ground.periods)),
        period_index=tuple(range(ground.periods)),
        classes=dict(enumerate(names)),
        normalisation=Normalisation((2000.0,) * len(BANDS), (1000.0,) * len(BANDS)),
        training_identity="none",
    )


def begin_map(ground: Ground) -> Store:
    """Empty, whatever was there."""
    for name in (crops.MAP, f"ledger/{crops.MAP}"):
        ground.root.remove(name)
    store = Store(ground.root, crops.MAP)
    store.begin(crops.map_layouts(ground.grid, ten_crops()), spatial_coordinates(ground.grid), {"store": "benchmark"})
    return store


def size_of(ground: Ground) -> int:
    """Bytes of the cube of the tiles to map."""
    place, units = Path(ground.folder, cube.NAME), product(range(ground.periods), ground.tiles)
    objects = (key for period, tile in units for key in CubeUnit(period, tile).objects(ground.grid))
    return sum(place.joinpath(key).stat().st_size for key in objects)
