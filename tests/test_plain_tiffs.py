"""Blocks that are decoded without GDAL are GDAL's to the last count, and what is not plain is left to it."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from hypothesis import given
from hypothesis import strategies as st

from catalogs.files import open_raster
from catalogs.plain_tiffs import DecodedBlocks, PlainTiff
from catalogs.stac.access import Access

HEIGHT, WIDTH, BLOCK = 100, 150, 32

PLAIN: dict[str, dict[str, Any]] = {
    "differences": {"compress": "deflate", "predictor": 2},
    "as they are": {"compress": "deflate"},
    "bytes": {"compress": "deflate", "predictor": 2, "dtype": "uint8"},
    "big": {"compress": "deflate", "predictor": 2, "BIGTIFF": "YES"},
    "oblong blocks": {"compress": "deflate", "predictor": 2, "blockxsize": 64, "blockysize": 16},
    "empty blocks left out": {"compress": "deflate", "predictor": 2, "SPARSE_OK": "TRUE"},
}

OTHERS: dict[str, dict[str, Any]] = {
    "another compression": {"compress": "lzw", "predictor": 2},
    "none": {},
    "packed bits": {"compress": "deflate", "NBITS": 12},
    "big-endian": {"compress": "deflate", "predictor": 2, "ENDIANNESS": "BIG"},
    "strips": {"compress": "deflate", "tiled": False},
    "signed": {"compress": "deflate", "dtype": "int16"},
    "two bands": {"compress": "deflate", "count": 2},
    "another no data": {"compress": "deflate", "nodata": 7},
}


def pixels() -> np.ndarray:
    """Ground with a corner of no data that holds whole blocks."""
    found = np.random.default_rng(3).integers(1, 250, (HEIGHT, WIDTH)).cumsum(axis=1) % 4000
    found[:70, :80] = 0
    return found


def write(path: Path, **options: Any) -> Path:
    profile = {
        "driver": "GTiff", "height": HEIGHT, "width": WIDTH, "count": 1, "dtype": "uint16", "nodata": 0,
        "tiled": True, "blockxsize": BLOCK, "blockysize": BLOCK, "crs": "EPSG:32633",
        "transform": rasterio.Affine(10, 0, 500_000, 0, -10, 5_300_000),
    }  # fmt: skip
    profile |= options
    if not profile["tiled"]:
        del profile["blockxsize"], profile["blockysize"]
    with rasterio.open(path, "w", **profile) as file:
        for band in range(1, profile["count"] + 1):
            file.write(pixels().astype(profile["dtype"]), band)
    return path


def opened(path: Path) -> rasterio.DatasetReader:
    return open_raster(path.name, Access("local", "sentinel-2-l2a", path.parent))


@pytest.fixture(scope="module", params=PLAIN)
def plain(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> PlainTiff:
    path = write(tmp_path_factory.mktemp("plain") / "b02.tif", **PLAIN[request.param])
    found = PlainTiff.of(opened(path))
    assert found
    return found


spans = st.tuples(st.integers(0, HEIGHT - 1), st.integers(1, HEIGHT), st.integers(0, WIDTH - 1), st.integers(1, WIDTH))


@given(st.lists(spans, min_size=1, max_size=4), st.integers(0, 20_000))
def test_every_window_is_gdals(plain: PlainTiff, windows: list[tuple[int, int, int, int]], budget: int) -> None:
    decoded = DecodedBlocks(budget)
    whole = plain.dataset.read(1)
    for y, height, x, width in windows:
        rows, cols = slice(y, min(y + height, HEIGHT)), slice(x, min(x + width, WIDTH))
        out = np.full((rows.stop - y, cols.stop - x), 99, whole.dtype)
        plain.read(rows, cols, out, decoded)
        assert (out == whole[rows, cols]).all()
        assert decoded.bytes == sum(block.nbytes for block in decoded.blocks.values()) <= budget


def test_shared_blocks_are_decoded_once(plain: PlainTiff, monkeypatch: pytest.MonkeyPatch) -> None:
    decode, places = PlainTiff._decode, []
    monkeypatch.setattr(
        PlainTiff, "_decode", lambda self, place, target: (places.append(place), decode(self, place, target))
    )
    decoded, out = DecodedBlocks(1 << 20), np.empty((50, 75), plain.dataset.dtypes[0])
    for y in (0, 50):
        for x in (0, 75):
            plain.read(slice(y, y + 50), slice(x, x + 75), out, decoded)
    assert len(places) == len(set(places)) > 4


@pytest.mark.parametrize("kind", OTHERS)
def test_other_files_are_left_to_gdal(tmp_path: Path, kind: str) -> None:
    assert PlainTiff.of(opened(write(tmp_path / "b02.tif", **OTHERS[kind]))) is None


def damaged(path: Path, change: Any) -> PlainTiff:
    """A plain file of which the stored bytes of its last block were changed."""
    with rasterio.open(path) as file:
        where = [int(file.get_tag_item(f"BLOCK_{what}_4_3", "TIFF", bidx=1)) for what in ("OFFSET", "SIZE")]
    content = bytearray(path.read_bytes())
    path.write_bytes(change(content, *where))
    found = PlainTiff.of(opened(path))
    assert found
    return found


def cut(content: bytearray, offset: int, size: int) -> bytes:
    return bytes(content[: offset + size // 2])


def turned(content: bytearray, offset: int, size: int) -> bytes:
    content[offset + size // 2] ^= 0xFF
    return bytes(content)


def replaced(content: bytearray, offset: int, size: int) -> bytes:
    """By a whole stream of other pixels, too few of them."""
    import zlib

    content[offset : offset + size] = zlib.compress(b"few").ljust(size, b"\0")
    return bytes(content)


@pytest.mark.parametrize("change", [cut, turned, replaced])
def test_damage_is_told(tmp_path: Path, change: Any) -> None:
    path = write(tmp_path / "b02.tif", compress="deflate", predictor=2)
    file = damaged(path, change)
    out = np.empty((HEIGHT, WIDTH), np.uint16)
    with pytest.raises(OSError, match="block"):
        file.read(slice(0, HEIGHT), slice(0, WIDTH), out, DecodedBlocks(1 << 20))
