"""Where the chunks of a map lie in its shards, in a table: so a question to a published map asks for pixels alone.

Each shard tells it of itself, in its last bytes. The table is made when a map is published, and goes before any of the
shards changes; whoever finds none asks the shards.
"""

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray

from catalogs.crops import MAP_ARRAYS
from catalogs.map_reading import TABLE, MapReader, Place, square_side
from catalogs.root import Root
from catalogs.shards import ABSENT
from catalogs.stores import Layout, Store, write_shard

ASKED = 16
"""Shards that are asked at the same time: a bucket's answer is what takes time."""


WHOLE = "whole"
"""The record that says of which pixels a table is, once all of it is there."""


def table_of(root: Root, store: str) -> Store:
    """Of a map, or of one of its levels."""
    return Store(root, f"{store}/{TABLE}")


def is_of(root: Root, store: str, pixels: str) -> bool:
    """Whether there is a table of these pixels, and a whole one."""
    table = table_of(root, store)
    return (table.ledger.found(WHOLE) or {}).get("of") == pixels and table.description() is not None


def write_table(root: Root, store: str, pixels: str) -> None:
    """Ask all shards; `pixels` tells of which map they are."""
    table, readers = table_of(root, store), [MapReader(root, store, name) for name in MAP_ARRAYS]
    layouts = {reader.name: _layout(reader.array) for reader in readers}
    table.begin(layouts, {}, {"store": "chunk table", "pixels": pixels})
    for reader in readers:
        array = table.array(reader.name)
        for rows, cols in product(*(_squares(length, array.chunks[0]) for length in array.shape[:2])):
            write_shard(array, (rows, cols, *[slice(0, None)] * 3), _asked(reader, rows, cols))
    table.ledger.commit(WHOLE, {"of": pixels})


def forget_tables(root: Root, stores: Iterable[str]) -> None:
    for table in (table_of(root, store) for store in stores):
        table.ledger.clear()
        root.remove(table.name)


def _layout(array: zarr.Array[Any]) -> Layout:
    assert array.shards is not None
    shards = tuple(-(-length // side) for length, side in zip(array.shape, array.shards, strict=True))
    chunks = tuple(shard // chunk for shard, chunk in zip(array.shards, array.chunks, strict=True))
    together = *[square_side((chunks[0], chunks[1]))] * 2, *chunks, 2
    said = {"long_name": f"first byte and number of bytes of the chunks of each shard of {array.basename}"}
    dims = "tile_y", "tile_x", "chunk_y", "chunk_x", "bytes"
    return Layout(dims, (*shards, *chunks, 2), "uint32", together, together, 0, said)


def _squares(length: int, side: int) -> list[slice]:
    return [slice(first, min(first + side, length)) for first in range(0, length, side)]


def _asked(reader: MapReader, rows: slice, cols: slice) -> NDArray[np.uint32]:
    """(shard, shard, chunk, chunk, 2) of a square; 0 bytes where nothing lies."""
    shards = list(product(range(rows.start, rows.stop), range(cols.start, cols.stop)))
    with ThreadPoolExecutor(ASKED) as askers:
        found = np.stack(list(askers.map(lambda shard: _index(reader, shard), shards)))
    return found.reshape(rows.stop - rows.start, cols.stop - cols.start, *found.shape[1:])


def _index(reader: MapReader, shard: Place) -> NDArray[np.uint32]:
    index = reader.index(shard)
    if index is None:
        return np.zeros((*reader.per_shard, 2), np.uint32)
    lies = index[..., :1] != ABSENT
    assert index[lies[..., 0]].max(initial=0) < 2**32, "a shard of a map has less than 4 GB"
    return np.where(lies, index, 0).astype(np.uint32)
