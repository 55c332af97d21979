"""The same patches as each contestant of the patch benchmark keeps them, made of the scenes of the ingest benchmark."""

import io
import json
import tarfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import rasterio
from speed_scenes import Land, items_of, write_scenes

from catalogs import cube, patch_store
from catalogs.bands import BANDS
from catalogs.grid import Grid
from catalogs.patch_store import PACKED, SHARD, patch_layouts
from catalogs.root import Root
from catalogs.stores import Layout, Store, write_shard
from catalogs.synthetic.items import ASSETS

SIZE = 256
SHAPE = len(BANDS), SIZE, SIZE
ROWS = slice(0, 1)
TAR_PATCHES = 64
LITDATA_CHUNK = "64MB"
"""What each of the peers recommends, or takes by default, for files that are streamed."""


@dataclass(frozen=True)
class Patches:
    """How many, and where: `count` patches of one period, those of the land as often as they are needed."""

    folder: str
    count: int
    side: int
    """Pixels of the land that they are cut from."""

    def place(self, name: str) -> Path:
        return Path(self.folder) / name

    def encode(self) -> str:
        return json.dumps(asdict(self))


def write_stores(patches: Patches, contestants: tuple[str, ...]) -> dict[str, float]:
    """Write what the contestants read, unless it is there; the size of each, as a share of the raw pixels."""
    writers = {
        "limit": _write_raw,
        "furrow": _write_furrow,
        "furrow, packed for a bucket": _write_packed,
        "litdata": _write_litdata,
        "webdataset": _write_tars,
        "windows": _write_cube,
    }
    land = _land(patches)
    sizes = {}
    for name in contestants:
        mark = patches.place(f"{name}.done")
        if not mark.exists():
            writers[name](patches, land)
            mark.touch()
        sizes[name] = _size(patches, name)
    return sizes


def samples(patches: Patches, land: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Picture (band, y, x) and crop (y, x); the number of a patch stands in its first pixel."""
    across = patches.side // SIZE
    for number in range(patches.count):
        y, x = (SIZE * place for place in divmod(number % across**2, across))
        picture = np.ascontiguousarray(land[:, y : y + SIZE, x : x + SIZE])
        picture[0, 0, 0] = number
        yield picture, (picture[7] // 400).astype(np.uint8)[::8, ::8].repeat(8, 0).repeat(8, 1)


def _land(patches: Patches) -> np.ndarray:
    land = Land(patches.side, dates=1, tile=SIZE)
    (item,) = items_of(write_scenes(land, patches.place("scenes")), "clear")
    pixels = np.empty((len(BANDS), land.side, land.side), np.uint16)
    for place, band in enumerate(BANDS):
        with rasterio.open(item["assets"][ASSETS[band]]["href"]) as raster:
            read = raster.read(1)
        times = land.side // len(read)
        pixels[place] = read.repeat(times, axis=0).repeat(times, axis=1)
    return pixels


def _write_raw(patches: Patches, land: np.ndarray) -> None:
    shape = (patches.count, len(BANDS), SIZE, SIZE)
    pictures = np.lib.format.open_memmap(patches.place("limit-pictures.npy"), "w+", np.uint16, shape)
    crops = np.lib.format.open_memmap(patches.place("limit-crops.npy"), "w+", np.uint8, (patches.count, SIZE, SIZE))
    for number, (picture, crop) in enumerate(samples(patches, land)):
        pictures[number], crops[number] = picture, crop


def _write_furrow(patches: Patches, land: np.ndarray) -> None:
    _write_store(patches, land, "furrow", patch_layouts(patches.count, 1, SIZE))


def _write_packed(patches: Patches, land: np.ndarray) -> None:
    _write_store(patches, land, "furrow, packed for a bucket", patch_layouts(patches.count, 1, SIZE, PACKED))


def _write_store(patches: Patches, land: np.ndarray, name: str, layouts: dict[str, Layout]) -> None:
    store = Store(Root(str(patches.place(name))), patch_store.NAME)
    store.begin(layouts, {}, {"store": "patches"})
    several: list[tuple[np.ndarray, np.ndarray]] = []
    for number, sample in enumerate(samples(patches, land), 1):
        several.append(sample)
        if len(several) == SHARD or number == patches.count:
            rows, whole = slice(number - len(several), number), slice(None)
            pictures = np.stack([picture for picture, _ in several])[:, None]
            write_shard(store.array("reflectance"), (rows, whole, whole, whole, whole), pictures)
            write_shard(store.array("crop"), (rows, whole, whole), np.stack([crop for _, crop in several]))
            several = []


def _write_litdata(patches: Patches, land: np.ndarray) -> None:
    from litdata.streaming import Cache

    cache = Cache(str(patches.place("litdata")), chunk_bytes=LITDATA_CHUNK)
    for number, (picture, crop) in enumerate(samples(patches, land)):
        cache[number] = {"picture": picture, "crop": crop}
    cache.done()
    cache.merge()


def _write_tars(patches: Patches, land: np.ndarray) -> None:
    patches.place("webdataset").mkdir(exist_ok=True)
    for number, (picture, crop) in enumerate(samples(patches, land)):
        path = patches.place("webdataset") / f"{number // TAR_PATCHES:04d}.tar"
        with tarfile.open(path, "a") as tar:
            for name, array in (("picture", picture), ("crop", crop)):
                buffer = io.BytesIO()
                np.save(buffer, array)
                about = tarfile.TarInfo(f"{number:06d}.{name}.npy")
                about.size = buffer.tell()
                tar.addfile(about, io.BytesIO(buffer.getvalue()))


def _write_cube(patches: Patches, land: np.ndarray) -> None:
    grid = Grid.around((0, 0, patches.side * 10, patches.side * 10), "EPSG:32633", side=1024)
    store = Store(Root(str(patches.place("windows"))), cube.NAME)
    store.begin(cube.cube_layouts(grid, 1, "one date"), {}, {"store": "cube"})
    for tile in grid.tiles():
        y, x = grid.window(tile).slices
        write_shard(store.array("reflectance"), (ROWS, slice(None), y, x), land[None, :, y, x])


def _size(patches: Patches, name: str) -> float:
    files = [path for path in Path(patches.folder).glob(f"{name}*") if path.is_file()]
    files += [path for path in patches.place(name).rglob("*") if path.is_file()]
    raw = (patches.side**2 if name == "windows" else patches.count * SIZE**2) * 2 * len(BANDS)
    return round(sum(path.stat().st_size for path in files) / raw, 3)
