"""The patch store and its index: training windows copied side by side, so that a shard is read whole."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from io import BytesIO

import geopandas
import pandas as pd
from shapely import box
from zarr.codecs import BloscCodec

from catalogs.bands import BANDS
from catalogs.grid import Grid, Window
from catalogs.patches import Block, Candidate
from catalogs.root import Root
from catalogs.stores import Layout, shard_key
from catalogs.taxonomy import IGNORE

NAME = "patches.zarr"
INDEX = "patches.parquet"
SHARD = 16
"""Patches in a shard: with twelve periods and 128 pixels 63 MB, which storage of any kind reads at full speed."""

PACKED = BloscCodec(cname="lz4", clevel=5, shuffle="noshuffle", blocksize=256 * 1024)
"""For a bucket, where a third fewer bytes cross the network: it leaves out what repeats, such as pixels of 20 m and
ground without data, and copies the rest. On a disk patches lie as they are, and are read from its cache where they lie:
they are written once and read in every epoch (benchmarks/patches.py)."""


@dataclass(frozen=True)
class Origin:
    """Whose fields a project's patches show, and of which year."""

    country: str = ""
    year: int = 0


@dataclass(frozen=True)
class Patch:
    """One row of the index; its number is its place in the store."""

    number: int
    split: str
    y: int
    x: int
    size: int

    @property
    def window(self) -> Window:
        return Window(self.y, self.x, self.size, self.size)


def patch_layouts(patches: int, periods: int, size: int, codec: BloscCodec | None = None) -> dict[str, Layout]:
    bands = len(BANDS)
    return {
        "reflectance": Layout(
            dims=("patch", "time", "band", "y", "x"),
            shape=(patches, periods, bands, size, size),
            dtype="uint16",
            shard=(SHARD, periods, bands, size, size),
            chunk=(1, periods, bands, size, size),
            fill=0,
            attributes={"long_name": "surface reflectance x 10000; 0 = no data", "units": "1e-4"},
            codec=codec,
        ),
        "crop": Layout(
            dims=("patch", "y", "x"),
            shape=(patches, size, size),
            dtype="uint8",
            shard=(SHARD, size, size),
            chunk=(1, size, size),
            fill=IGNORE,
            attributes={"long_name": "declared crop; 255 = ignore"},
            codec=codec,
        ),
    }


def patch_shards(patches: int) -> list[tuple[str, tuple[str, str]]]:
    """Unit name and objects of every shard."""
    count = -(-patches // SHARD)
    return [
        (shard_name(i), (shard_key("reflectance", i, 0, 0, 0, 0), shard_key("crop", i, 0, 0))) for i in range(count)
    ]


def shard_name(number: int) -> str:
    return f"s{number:05d}"


def write_index(
    root: Root,
    grid: Grid,
    size: int,
    chosen: Sequence[Candidate],
    splits: Mapping[Block, str],
    classes: Sequence[str],
    origin: Origin | None = None,
) -> None:
    """A GeoParquet table that a person can open and map: where each patch lies, its split and its crops."""
    squares = [box(*grid.bounds(Window(patch.y, patch.x, size, size))) for patch in chosen]
    rows = [
        {
            "patch": number,
            "split": splits[patch.block],
            "block": f"{patch.block[0]}/{patch.block[1]}",
            **asdict(origin or Origin()),
            "y": patch.y,
            "x": patch.x,
            "size": size,
            **{share: round(getattr(patch, share), 4) for share in ("inside", "labelled", "clear", "no_data")},
            "classes": patch.classes(size),
            **dict(zip(classes, patch.counts, strict=True)),
        }
        for number, patch in enumerate(chosen)
    ]
    table = geopandas.GeoDataFrame(rows, geometry=squares, crs=grid.crs)
    buffer = BytesIO()
    table.to_parquet(buffer, index=False)
    root.write(INDEX, buffer.getvalue())


def read_index(root: Root) -> pd.DataFrame:
    table: pd.DataFrame = geopandas.read_parquet(BytesIO(root.read(INDEX)))
    return table


def patches_of(index: pd.DataFrame) -> list[Patch]:
    columns = ["patch", "split", "y", "x", "size"]
    return [Patch(*row) for row in index[columns].itertuples(index=False, name=None)]
