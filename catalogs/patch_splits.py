"""Training, validation and test by blocks of space: stratified by class, and with no parcel in two of them."""

import hashlib
from collections.abc import Mapping, Sequence
from io import BytesIO

import numpy as np
import pyarrow as pa
import pyarrow.parquet
from numpy.typing import NDArray

from catalogs.patches import TEST, TRAIN, VALIDATION, Block
from catalogs.root import Root

SPLITS = (TRAIN, VALIDATION, TEST)

PARCELS = "patches/shared_parcels.parquet"
"""Parcels with ground in blocks of two splits, and the split that each belongs to."""

ENOUGH = 3
"""Blocks from which on a class can be in every split."""

Ids = NDArray[np.uint32]


def split_blocks(
    blocks: Mapping[Block, NDArray[np.bool_]], validation_share: float, test_share: float, seed: int
) -> dict[Block, str]:
    """The split of each block, given which classes it has; the same for the same places, classes and seed.

    Blocks stand in an order that only their place and the seed decide; the first go to test, the next to validation.
    Each share gets at least one block if it asks for any and there are three or more. Then blocks are exchanged,
    one by one, as long as one helps a class that three blocks have to be in every split.
    """
    if not blocks:
        return {}
    order = sorted(blocks, key=lambda block: _draw(block, seed))
    test = _share(test_share, len(order))
    validation = min(_share(validation_share, len(order)), max(len(order) - test - 1, 0))
    numbers = np.repeat([2, 1, 0], [test, validation, len(order) - test - validation])
    has = np.array([blocks[block] for block in order], dtype=bool).reshape(len(order), -1)
    return {block: SPLITS[number] for block, number in zip(order, _spread(numbers, has), strict=True)}


def shared_parcels(parcels: Mapping[Block, Ids], splits: Mapping[Block, str]) -> dict[str, Ids]:
    """The parcels with ground in blocks of two splits, by the split that they belong to.

    Training's if any of it is in a training block, else validation's. In the other splits they are to be ignored.
    """
    found = {split: _union([ids for block, ids in parcels.items() if splits.get(block) == split]) for split in SPLITS}
    held_out = _union([found[VALIDATION], found[TEST]])
    trained = np.intersect1d(found[TRAIN], held_out, assume_unique=True)
    watched = np.intersect1d(found[VALIDATION], found[TEST], assume_unique=True)
    return {TRAIN: trained, VALIDATION: np.setdiff1d(watched, trained, assume_unique=True)}


def foreign_parcels(shared: Mapping[str, Ids], split: str) -> Ids:
    """Those that belong to another split than this one, in order."""
    return _union([ids for owner, ids in shared.items() if owner != split])


def foreign_pixels(parcel: NDArray[np.uint32], foreign: Ids) -> NDArray[np.bool_]:
    """The pixels of those parcels."""
    here, places = np.unique(parcel, return_inverse=True)
    mask: NDArray[np.bool_] = np.isin(here, foreign, assume_unique=True)[places].reshape(parcel.shape)
    return mask


def write_shared_parcels(root: Root, shared: Mapping[str, Ids]) -> None:
    owners = np.repeat(list(shared), [len(ids) for ids in shared.values()])
    table = pa.table({"parcel": np.concatenate(list(shared.values())), "belongs_to": owners})
    buffer = BytesIO()
    pyarrow.parquet.write_table(table, buffer)
    root.write(PARCELS, buffer.getvalue())


def read_shared_parcels(root: Root) -> dict[str, Ids]:
    """None where no patches have been chosen."""
    if not root.exists(PARCELS):
        return {}
    table = pyarrow.parquet.read_table(BytesIO(root.read(PARCELS)))
    ids, owners = table["parcel"].to_numpy(), table["belongs_to"].to_numpy()
    return {owner: np.sort(ids[owners == owner]) for owner in (TRAIN, VALIDATION)}


def _spread(numbers: NDArray[np.int64], has: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Exchange blocks between splits as long as an exchange brings a class to a split that lacks it."""
    numbers = numbers.copy()
    while exchange := _best_exchange(numbers, has):
        first, second = exchange
        numbers[first], numbers[second] = numbers[second], numbers[first]
    return numbers


def _lacking(numbers: NDArray[np.int64], has: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """(split, class): which splits lack a class that enough blocks have; a split without blocks lacks nothing."""
    held = np.array([has[numbers == split].sum(axis=0) for split in range(len(SPLITS))])
    used = np.isin(np.arange(len(SPLITS)), numbers)
    lacking: NDArray[np.bool_] = (held == 0) & used[:, None] & (has.sum(axis=0) >= ENOUGH)
    return lacking


def _best_exchange(numbers: NDArray[np.int64], has: NDArray[np.bool_]) -> tuple[int, int] | None:
    """The first exchange that helps, beginning with the rarest class that a split lacks."""
    lacking = _lacking(numbers, has)
    wanted = sorted(np.argwhere(lacking), key=lambda pair: (has[:, pair[1]].sum(), *pair))
    for split, crop in wanted:
        takers = np.flatnonzero(numbers == split)
        for giver in np.flatnonzero(has[:, crop] & (numbers != split)):
            left = _lacking_after(numbers, has, giver, takers)
            if left.min() < lacking.sum():
                return int(giver), int(takers[left.argmin()])
    return None


def _lacking_after(
    numbers: NDArray[np.int64], has: NDArray[np.bool_], giver: int | np.intp, takers: NDArray[np.intp]
) -> NDArray[np.int64]:
    """How much would be lacking after the giver's exchange with each of the takers."""
    here, there = numbers[giver], numbers[takers[0]]
    required = has.sum(axis=0) >= ENOUGH
    change = has[giver].astype(np.int64) - has[takers]
    gained = has[numbers == there].sum(axis=0) + change
    lost = has[numbers == here].sum(axis=0) - change
    other = _lacking(numbers, has)[[split for split in range(len(SPLITS)) if split not in (here, there)]].sum()
    missing: NDArray[np.int64] = ((gained == 0) & required).sum(axis=1) + ((lost == 0) & required).sum(axis=1) + other
    return missing


def _union(ids: Sequence[Ids]) -> Ids:
    return np.unique(np.concatenate([np.zeros(0, np.uint32), *ids]))


def _draw(block: Block, seed: int) -> bytes:
    return hashlib.sha256(f"{seed}:{block[0]}:{block[1]}".encode()).digest()


def _share(share: float, blocks: int) -> int:
    wanted = round(share * blocks)
    return max(wanted, 1) if share > 0 and blocks >= 3 else wanted
