"""Blocks of plain tiled GeoTIFFs in local files: decoded straight into place, without GDAL's detour over its cache.

GDAL says what a file is and where its blocks lie; libdeflate and a running sum do the rest in two thirds of the time.
"""

import os
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import rasterio
from imagecodecs import DeflateError, deflate_decode, delta_decode
from numpy.typing import NDArray
from rasterio.enums import Compression

MOST_PIXELS = 1 << 24
"""Of a block: a file that claims more is left to GDAL."""

LITTLE_ENDIAN = (b"II*\0", b"II+\0")
"""How such a TIFF begins, a classic one and a big one."""

Place = tuple[int, int]
"""Row and column of a block."""


class DecodedBlocks:
    """The last blocks of some files, as far as they fit a budget: those that neighbouring windows share."""

    def __init__(self, budget: int) -> None:
        self.budget, self.bytes = budget, 0
        self.blocks: OrderedDict[tuple[object, Place], NDArray[Any]] = OrderedDict()

    def get(self, file: object, place: Place) -> NDArray[Any] | None:
        block = self.blocks.get((file, place))
        if block is not None:
            self.blocks.move_to_end((file, place))
        return block

    def keep(self, file: object, place: Place, block: NDArray[Any]) -> None:
        self.blocks[file, place] = block
        self.bytes += block.nbytes
        while self.bytes > self.budget:
            self.bytes -= self.blocks.popitem(last=False)[1].nbytes


@dataclass(frozen=True, eq=False)
class PlainTiff:
    """A file of one band in square blocks, each deflated on its own."""

    dataset: rasterio.DatasetReader
    differences: bool
    """Whether pixels are stored as differences from their western neighbours (TIFF's predictor 2)."""

    @staticmethod
    def of(dataset: rasterio.DatasetReader) -> "PlainTiff | None":
        """None for a file that only GDAL can read."""
        predictor = dataset.tags(ns="IMAGE_STRUCTURE").get("PREDICTOR", "1")
        plain = _is_plain(dataset) and predictor in ("1", "2")
        return PlainTiff(dataset, predictor == "2") if plain else None

    def read(self, rows: slice, cols: slice, out: NDArray[Any], decoded: DecodedBlocks) -> None:
        """Pixels of a window that lies inside the file.

        A block that lies whole in the window is decoded into its place and not kept: on a lattice of tiles no other
        window needs it.
        """
        for place, y, x in self._blocks(rows, cols):
            both = _common(y, rows), _common(x, cols)
            target = out[_seen_from(both[0], rows), _seen_from(both[1], cols)]
            if both == (y, x):
                self._decode(place, target)
            else:
                block = self._shared(place, (y.stop - y.start, x.stop - x.start), decoded)
                target[...] = block[_seen_from(both[0], y), _seen_from(both[1], x)]

    def _blocks(self, rows: slice, cols: slice) -> Iterator[tuple[Place, slice, slice]]:
        """The blocks that meet a window, and their pixels; those at the file's edges reach beyond it."""
        height, width = self.dataset.block_shapes[0]
        for i in range(rows.start // height, -(-rows.stop // height)):
            for j in range(cols.start // width, -(-cols.stop // width)):
                yield (i, j), slice(i * height, (i + 1) * height), slice(j * width, (j + 1) * width)

    def _shared(self, place: Place, shape: tuple[int, int], decoded: DecodedBlocks) -> NDArray[Any]:
        block = decoded.get(self, place)
        if block is None:
            block = np.empty(shape, self.dataset.dtypes[0])
            self._decode(place, block)
            decoded.keep(self, place, block)
        return block

    def _decode(self, place: Place, target: NDArray[Any]) -> None:
        stored = self._stored(place)
        if stored is None:
            target[...] = 0
            return
        flat = target if target.flags.c_contiguous else np.empty(target.shape, target.dtype)
        try:
            filled = deflate_decode(stored, out=flat.data.cast("B"))
        except DeflateError as error:
            raise OSError(f"block {place} is damaged ({error})") from error
        if len(filled) != flat.nbytes:
            raise OSError(f"block {place} has {len(filled)} bytes in place of {flat.nbytes}")
        if self.differences:
            delta_decode(flat, axis=-1, out=target)
        elif flat is not target:
            target[...] = flat

    def _stored(self, place: Place) -> bytes | None:
        """The bytes of a block; None for one that was left out because it has no data."""
        row, column = place
        offset, size = (
            self.dataset.get_tag_item(f"BLOCK_{what}_{column}_{row}", "TIFF", bidx=1) for what in ("OFFSET", "SIZE")
        )
        if offset is None or size is None:
            return None
        with open(self.dataset.name, "rb", buffering=0) as file:
            if int(offset) + int(size) > os.fstat(file.fileno()).st_size:
                raise OSError(f"the file ends before block {place}")
            return os.pread(file.fileno(), int(size), int(offset))


def _is_plain(dataset: rasterio.DatasetReader) -> bool:
    height, width = dataset.block_shapes[0]
    return (
        _is_little_endian(dataset.name)
        and dataset.driver == "GTiff"
        and dataset.count == 1
        and dataset.dtypes[0] in ("uint8", "uint16")
        and dataset.compression == Compression.deflate
        and bool(dataset.profile["tiled"])
        and height * width <= MOST_PIXELS
        and "NBITS" not in dataset.tags(1, ns="IMAGE_STRUCTURE")
        and dataset.nodata in (None, 0)
    )


def _is_little_endian(path: str) -> bool:
    with open(path, "rb") as file:
        return file.read(4) in LITTLE_ENDIAN


def _common(a: slice, b: slice) -> slice:
    return slice(max(a.start, b.start), min(a.stop, b.stop))


def _seen_from(part: slice, whole: slice) -> slice:
    return slice(part.start - whole.start, part.stop - whole.start)
