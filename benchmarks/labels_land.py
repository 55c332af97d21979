"""Made-up parcels for the benchmark of labels: villages of fields that share their borders, each of 24 corners."""

from dataclasses import dataclass
from pathlib import Path

import geopandas as gpd
import numpy as np
import shapely
from numpy.typing import NDArray

from catalogs.grid import Grid, Tile, Window
from catalogs.parcels.mending import hectares
from catalogs.parcels.table import Rows, write_part
from catalogs.root import Root
from catalogs.taxonomy import ten_crops
from pipelines.harmonise import PART

CRS = "EPSG:3035"
MEAN = 2.04
"""hectares of a field, where the ground has room for as many"""
VILLAGE = 16
"""fields along a side of a village"""
STEPS = 6
"""straight pieces of a border between two corners"""

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Land:
    """Parcels on a square of `side` pixels of 10 m whose upper left corner is the lattice's."""

    parcels: int
    side: int = 10_980
    tile: int = 1024

    @property
    def name(self) -> str:
        return f"{self.parcels:,} parcels".replace(",", " ")

    @property
    def grid(self) -> Grid:
        tiles = -(-self.side // self.tile)
        return Grid(CRS, 10, self.tile, Tile(0, 0), tiles, tiles)

    @property
    def window(self) -> Window:
        return Window(0, 0, self.side, self.side)

    def outlines(self) -> NDArray[np.object_]:
        """In no order of place, as a country's file may be."""
        rng = np.random.default_rng(self.parcels)
        metres = self.side * 10
        across = max(int(metres / np.sqrt(MEAN * 10_000)), int(np.ceil(np.sqrt(self.parcels))))
        rings = _fields(across, rng)[_settled(across, self.parcels, rng)]
        return np.asarray(shapely.polygons(rings * (metres / across) * [1, -1]), dtype=object)

    def write(self, folder: Path) -> Path:
        """The outlines as a file, and as the table of a run; made once."""
        place = folder / f"{self.parcels}-on-{self.side}"
        if not (place / "outlines.parquet").exists():
            shapes = self.outlines()
            _write_table(shapes, Root(str(place / "root")))
            ids = np.arange(1, len(shapes) + 1, dtype=np.uint32)
            frame = gpd.GeoDataFrame({"parcel": ids, "crop": _crops(ids)}, geometry=shapes, crs=CRS)
            frame.to_parquet(place / "outlines.parquet")
        return place


def _fields(across: int, rng: np.random.Generator) -> Floats:
    """Rings of all fields of a square, in fields; neighbours have the same corners along their border."""
    nodes = np.stack(np.meshgrid(np.arange(across + 1.0), np.arange(across + 1.0)), axis=-1)
    nodes[1:-1, 1:-1] += rng.uniform(-0.2, 0.2, (across - 1, across - 1, 2))
    east, south = _borders(nodes[:, :-1], nodes[:, 1:], rng), _borders(nodes[:-1], nodes[1:], rng)
    ring = [east[:-1], south[:, 1:], _back(east[1:], nodes[1:, 1:]), _back(south[:, :-1], nodes[1:, :-1])]
    return np.concatenate(ring, axis=2).reshape(across * across, 4 * STEPS, 2)


def _borders(begin: Floats, end: Floats, rng: np.random.Generator) -> Floats:
    """From one corner to the next, without the last point; what is between bends a little."""
    along = np.linspace(0, 1, STEPS, endpoint=False)[:, None]
    points = begin[:, :, None] + along * (end - begin)[:, :, None]
    points[:, :, 1:] += rng.uniform(-0.03, 0.03, (*begin.shape[:2], STEPS - 1, 2))
    return points


def _back(border: Floats, end: Floats) -> Floats:
    """The same border walked the other way, from its end, without its first point."""
    return np.concatenate([end[:, :, None], border[:, :, :0:-1]], axis=2)


def _settled(across: int, count: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Fields of whole villages, as many as asked for, shuffled."""
    row, column = np.divmod(np.arange(across * across), across)
    village = (row // VILLAGE) * (across // VILLAGE + 1) + column // VILLAGE
    order = rng.permutation(village.max() + 1)
    first = np.argsort(order[village], kind="stable")[:count]
    return rng.permutation(first)


def _crops(ids: NDArray[np.uint32]) -> NDArray[np.uint8]:
    return (ids % (len(ten_crops().names) - 1) + 1).astype(np.uint8)


def _write_table(shapes: NDArray[np.object_], root: Root) -> None:
    for number, first in enumerate(range(0, len(shapes), PART)):
        write_part(root, number, _rows(shapes[first : first + PART], first))


def _rows(shapes: NDArray[np.object_], first: int) -> Rows:
    count = len(shapes)
    ids = np.arange(first + 1, first + count + 1, dtype=np.uint32)
    text, no = np.full(count, "3301010101", dtype=object), np.zeros(count, dtype=np.bool_)
    return Rows(
        crs=CRS, parcel=ids, crop=_crops(ids), status=np.zeros(count, np.uint8), code=text, name=text, hcat=text,
        year=np.full(count, 2021, np.int16), hectares=hectares(shapes, CRS), declared=np.full(count, np.nan),
        repaired=no, narrow=no, inside=~no, outline=ids.astype(np.uint64), geometry=shapes,
    )  # fmt: skip
