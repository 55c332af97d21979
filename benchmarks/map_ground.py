"""The ground of the mapping benchmark: a cube of noise over fields, a network that nobody trained, and its task."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from shapely import box

from catalogs import crops, cube
from catalogs.bands import BANDS
from catalogs.grid import Grid
from catalogs.root import Root
from catalogs.stores import Store, spatial_coordinates, write_shard
from catalogs.taxonomy import ten_crops
from models.architectures import NETWORKS
from models.card import Card
from models.checkpoint import encode
from models.normalisation import Normalisation
from pipelines.mapping import Mapping

CRS = "EPSG:3035"


@dataclass(frozen=True)
class Ground:
    """`side` tiles of `tile` pixels on a side, seen in some periods."""

    folder: str
    architecture: str = "swift"
    side: int = 2
    tile: int = 1024
    periods: int = 6

    @property
    def grid(self) -> Grid:
        metres = self.side * self.tile * 10
        return Grid.around((0, 0, metres, metres), CRS, 10, self.tile)

    @property
    def root(self) -> Root:
        return Root(self.folder)

    @property
    def pixels(self) -> int:
        return (self.side * self.tile) ** 2

    @property
    def job(self) -> Mapping:
        return Mapping(self.root, self.grid, box(-1e7, -1e7, 1e7, 1e7), "season", None, "benchmark")

    def encode(self) -> str:
        return json.dumps(asdict(self))

    @staticmethod
    def decode(text: str) -> "Ground":
        return Ground(**json.loads(text))


def write_ground(ground: Ground) -> None:
    write_cube(ground)
    for name, data in checkpoint(ground).items():
        ground.root.write(f"checkpoints/season/{name}", data)


def write_cube(ground: Ground) -> None:
    rng, grid = np.random.default_rng(1), ground.grid
    store = Store(ground.root, cube.NAME)
    store.begin(cube.cube_layouts(grid, ground.periods, "made up"), spatial_coordinates(grid), {"store": "cube"})
    fields = rng.integers(0, 9, (ground.tile // 16, ground.tile // 16)).repeat(16, axis=0).repeat(16, axis=1)
    for unit in ((period, tile) for tile in grid.tiles() for period in range(ground.periods)):
        period, tile = unit
        spectra = rng.integers(300, 4000, (9, len(BANDS)))
        picture = np.moveaxis(spectra[fields], -1, 0) + rng.normal(0, 120, (len(BANDS), ground.tile, ground.tile))
        y, x = grid.window(tile).slices
        write_shard(store.array("reflectance"), (period, slice(None), y, x), picture.clip(1, 10_000).astype(np.uint16))
        write_shard(store.array("observations"), (period, y, x), (fields % 5).astype(np.uint8))


def checkpoint(ground: Ground) -> dict[str, bytes]:
    torch.manual_seed(0)
    row, names = NETWORKS[ground.architecture], ten_crops().names
    settings = row.settings(bands=len(BANDS), periods=ground.periods, classes=len(names))
    card = Card(
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
    return encode(row.network(settings).state_dict(), card)


def begin_map(ground: Ground) -> Store:
    """Empty, whatever was there."""
    for name in (crops.MAP, f"ledger/{crops.MAP}"):
        ground.root.remove(name)
    store = Store(ground.root, crops.MAP)
    store.begin(crops.map_layouts(ground.grid, ten_crops()), spatial_coordinates(ground.grid), {"store": "benchmark"})
    return store


def size_of(ground: Ground) -> int:
    """Bytes of the cube on the disk."""
    return sum(path.stat().st_size for path in Path(ground.folder, cube.NAME).rglob("*") if path.is_file())
