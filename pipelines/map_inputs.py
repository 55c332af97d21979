"""What a tile of a map is made of: the cube below it and below its halo, seen by a network with certain weights."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from catalogs import cube
from catalogs.cube import CubeUnit
from catalogs.description import identity
from catalogs.grid import Grid, Tile
from catalogs.ledger import Ledger
from catalogs.renewal import without
from catalogs.root import Root

INPUTS = ("checkpoint", "cube")
"""What of a map's description may change after it was begun."""

Record = Mapping[str, Any]


def plan_word(described: Mapping[str, Any]) -> str:
    """In one word, what a map was planned from; not what it is made of, which each tile's record says for itself."""
    return identity(without(described, INPUTS))


@dataclass(frozen=True)
class Sight:
    """What of a cube a network sees."""

    grid: Grid
    halo: int
    periods: Sequence[int]

    def units(self, tile: Tile) -> list[CubeUnit]:
        """Those of the cube that it looks at for a tile."""
        side, first = self.grid.side, self.grid.first
        reach = self.grid.window(tile).grown(self.halo).clipped(self.grid.shape)
        rows = range(reach.y // side, -(-(reach.y + reach.height) // side))
        cols = range(reach.x // side, -(-(reach.x + reach.width) // side))
        tiles = [Tile(first.row + row, first.col + col) for row in rows for col in cols]
        return [CubeUnit(period, below) for below in tiles for period in self.periods]

    def made_of(self, tile: Tile, records: Mapping[str, Record]) -> dict[str, Any]:
        """For a tile's record, given those of the cube: reflectance of all, and observations of the tile alone."""
        units = self.units(tile)
        digests = {unit.name: _digests(records.get(unit.name, {}), 2 if unit.tile == tile else 1) for unit in units}
        return {"cube": identity(digests), "halo": self.halo, "periods": list(self.periods)}

    def read(self, root: Root, tile: Tile) -> dict[str, Any]:
        """The same, as the cube is now."""
        ledger = Ledger(root, cube.NAME)
        return self.made_of(tile, dict(ledger.records([unit.name for unit in self.units(tile)])))


def _digests(record: Record, count: int) -> list[str]:
    return list(record.get("digests", ()))[:count]
