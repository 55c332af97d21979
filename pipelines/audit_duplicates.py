"""Parcels with exactly the same outline, found from the outlines' digests in bounded memory."""

from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from catalogs.parcels.table import read_columns
from catalogs.root import Root

AT_ONCE = 4_000_000
"""Parcels that are sorted at once; of a larger file the column is read again for each share of the digests."""

SOME = 50
"""Groups that are named."""

Columns = dict[str, NDArray[Any]]


def find_duplicates(root: Root, parcels: int) -> tuple[dict[str, Any], NDArray[np.uint32]]:
    """The figures, and the numbers of all parcels that share an outline with another."""
    shares = max(-(-parcels // AT_ONCE), 1)
    kinds: dict[str, dict[str, Any]] = {
        name: {"groups": 0, "parcels": 0, "hectares": 0.0, "examples": []} for name in ("same_crop", "other_crop")
    }
    found = [np.zeros(0, np.uint32)]
    for share in range(shares):
        columns = _share(root, share, shares)
        start, size, mixed = _groups(columns)
        for name, chosen in (("same_crop", ~mixed), ("other_crop", mixed)):
            _count(kinds[name], columns, start[chosen], size[chosen])
        found += [columns["parcel"][s : s + n] for s, n in zip(start.tolist(), size.tolist(), strict=True)]
    for kind in kinds.values():
        kind["hectares"] = round(kind["hectares"], 4)
        kind["examples"] = sorted(kind["examples"])[:SOME]
    return kinds, np.sort(np.concatenate(found))


def _share(root: Root, share: int, shares: int) -> Columns:
    """The parcels whose digest falls into a share, in the order of digest and number."""
    names = ["outline", "parcel", "crop", "hectares"]
    tables = [table.filter(_falls(table, share, shares)) for table in read_columns(root, names)]
    if not tables:
        return {name: np.zeros(0, np.uint64) for name in names}
    table = pa.concat_tables([table.replace_schema_metadata() for table in tables])
    columns: Columns = {name: table[name].to_numpy() for name in names}
    order = np.lexsort((columns["parcel"], columns["outline"]))
    return {name: values[order] for name, values in columns.items()}


def _falls(table: pa.Table, share: int, shares: int) -> pa.Array:
    return pa.array(table["outline"].to_numpy() % np.uint64(shares) == share)


def _groups(columns: Columns) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.bool_]]:
    """Where each group of two or more begins, how many it has, and whether they are of several classes."""
    outline, crop = columns["outline"], columns["crop"]
    if not len(outline):
        return np.zeros(0, np.intp), np.zeros(0, np.intp), np.zeros(0, bool)
    start = np.flatnonzero(np.append(True, outline[1:] != outline[:-1]))
    size = np.diff(np.append(start, len(outline)))
    mixed = np.minimum.reduceat(crop, start) != np.maximum.reduceat(crop, start)
    several = size > 1
    return start[several], size[several], mixed[several]


def _count(kind: dict[str, Any], columns: Columns, start: NDArray[np.intp], size: NDArray[np.intp]) -> None:
    """`parcels` are those beyond the first of each group, and `hectares` the ground of one of each."""
    kind["groups"] += len(start)
    kind["parcels"] += int(size.sum() - len(size))
    kind["hectares"] += float(columns["hectares"][start].sum())
    groups = zip(start[:SOME].tolist(), size[:SOME].tolist(), strict=True)
    kind["examples"] += [columns["parcel"][s : s + n].tolist()[:10] for s, n in groups]
