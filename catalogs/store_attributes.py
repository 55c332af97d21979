"""Attributes that a store is given once it has been begun: who opens it sees all of them or none."""

import warnings
from typing import Any

import zarr
from zarr.core.buffer import default_buffer_prototype
from zarr.storage import MemoryStore

from catalogs.root import Root


def set_attributes(root: Root, name: str, attributes: dict[str, Any]) -> None:
    """Give a store attributes, and the metadata of the groups in it, in one write; the same are the same bytes.

    Zarr would write the store's metadata twice, and in between they would look like a template that was cut off.
    """
    mark = f"{name}/zarr.json"
    keys = sorted(key for key in root.keys(name) if key.endswith("/zarr.json"))
    prototype = default_buffer_prototype()
    copy = MemoryStore({key.removeprefix(f"{name}/"): prototype.buffer.from_bytes(root.read(key)) for key in keys})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # zarr warns that consolidated metadata are not in the v3 text yet
        zarr.open_group(copy, mode="r+", use_consolidated=False).attrs.update(attributes)
        zarr.consolidate_metadata(copy)
    made = copy._store_dict["zarr.json"].to_bytes()
    if made != root.read(mark):
        root.write(mark, made)
