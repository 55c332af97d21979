"""Curves of all parcels from cube and labels, tile by tile, and what they say against the declarations.

Three rounds over the tiles: curves are measured and kept beside the report (`labels/curves/`, one table a tile), then
counted into each class's reference, then judged by it. Only counts and the worst few parcels come back.
"""

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from catalogs import crops, cube
from catalogs.bands import BANDS
from catalogs.cube import CubeUnit
from catalogs.curves import Curves, Floats, Reference, judge, ndvi_of, parcel_curves, reference_of, tally
from catalogs.description import identity
from catalogs.grid import Grid, Tile, Window
from catalogs.ledger import Ledger
from catalogs.root import Root
from catalogs.shifts import Shift, Sums, edge_sums, find_shift, no_sums
from catalogs.stores import Store
from cluster.items import Each, item_workers
from cluster.progress import Bar, Progress
from pipelines.plan import Plan

FOLDER = "labels/curves"
LEDGER = "curves"

LISTED = 1000
"""Suspect parcels that are listed, the farthest from their class; all are counted."""

COMPARED_SIDE = 512
"""Pixels of the side of what of a tile is looked at for a shift."""

COMPARED_PERIODS = 3
"""Periods in which it is looked for, those that show most ground."""

COMPARED_TILES = 200
"""Tiles at most in which it is looked for: a shift is the same over a whole scene."""

Numbers = NDArray[np.uint32]


@dataclass(frozen=True)
class Measuring:
    """Everything a worker needs for any tile."""

    root: Root
    grid: Grid
    periods: int
    classes: int
    compared: frozenset[Tile]
    """Tiles in which a shift is looked for."""


@dataclass(frozen=True, eq=False)
class Portion:
    """A tile, and parcels that are judged elsewhere, where more of them lies."""

    tile: Tile
    elsewhere: Numbers


@dataclass(frozen=True, eq=False)
class Verdicts:
    """What the curves of a tile, or of a country, say."""

    judged: NDArray[np.int64]
    """Parcels by class."""
    against: NDArray[np.int64]
    """Parcels by class and by the class whose curve fits best; the last column is no class."""
    listed: list[dict[str, Any]] = field(default_factory=list)
    parcels: int = 0
    """Parcels with a curve."""

    def plus(self, other: "Verdicts") -> "Verdicts":
        worst = sorted(self.listed + other.listed, key=lambda row: (-row["score"], row["parcel"]))[:LISTED]
        total = self.parcels + other.parcels
        return Verdicts(self.judged + other.judged, self.against + other.against, worst, total)


@dataclass(frozen=True, eq=False)
class CurveFindings:
    """What the audit tells of curves."""

    reference: Reference
    verdicts: Verdicts
    shift: Shift


def find_contradictions(plan: Plan, progress: Progress) -> CurveFindings:
    """Needs a cube and labels that are whole. Tiles that were measured before are not read again."""
    job = Measuring(plan.root, plan.grid, len(plan.periods), len(plan.taxonomy.names), _compared(plan.tiles))
    with (
        progress.stage("curves", 3 * len(plan.tiles), "steps") as bar,
        item_workers(plan.project.compute.address, plan.workers) as each,
    ):
        records = dict(_done(each, partial(measure_tile, job), plan.tiles, bar))
        portions = _portions(records)
        counts = sum(count for _, count in _done(each, partial(count_tile, job), portions, bar))
        reference = reference_of(np.asarray(counts))
        verdicts = no_verdicts(job.classes)
        for _, found in _done(each, partial(judge_tile, job, reference), portions, bar):
            verdicts = verdicts.plus(found)
    shift = find_shift(sum((np.array(record["edges"]) for record in records.values() if record["edges"]), no_sums()))
    return CurveFindings(reference, verdicts, shift)


def measure_tile(job: Measuring, tile: Tile) -> dict[str, Any]:
    """Measure and keep the curves of a tile, unless those of these very pixels are kept; its commit record."""
    source = _source(job, tile)
    measured = _measured(job.root, tile)
    if measured is not None and measured["source"] == source:
        return measured
    window = job.grid.window(tile)
    labels = Store(job.root, crops.LABELS)
    parcels, crop = labels.read("parcel", window.slices), labels.read("crop", window.slices)
    curves = parcel_curves(parcels, crop, _pictures(job, window))
    edges = _edges(job, window, parcels).tolist() if tile in job.compared else []
    job.root.write(_key(tile), _encoded(curves))
    across = np.isin(curves.ids, _rim(parcels))
    record = {
        "source": source,
        "across": curves.ids[across].tolist(),
        "pixels": curves.pixels[across].tolist(),
        "edges": edges,
    }
    Ledger(job.root, LEDGER).commit(str(tile), record)
    return record


def _measured(root: Root, tile: Tile) -> dict[str, Any] | None:
    """The record of a tile whose curves are kept; asked for alone, since a country has thousands."""
    ledger = Ledger(root, LEDGER)
    there = root.exists(f"{ledger.folder}/done/{tile}.json") and root.exists(_key(tile))
    return ledger.record(str(tile)) if there else None


def count_tile(job: Measuring, portion: Portion) -> NDArray[np.int64]:
    return tally(_kept(job, portion), job.classes)


def judge_tile(job: Measuring, reference: Reference, portion: Portion) -> Verdicts:
    curves = _kept(job, portion)
    found = judge(curves, reference)
    judged = np.isfinite(found.score)
    against = np.zeros((job.classes, job.classes + 1), np.int64)
    np.add.at(against, (curves.classes[found.contradicts], found.nearest[found.contradicts]), 1)
    worst = np.lexsort((curves.ids, -np.nan_to_num(found.score)))[:LISTED]
    listed = [
        {
            "parcel": int(curves.ids[i]),
            "class": int(curves.classes[i]),
            "score": round(float(found.score[i]), 2),
            "fits": int(found.nearest[i]) if found.nearest[i] >= 0 else None,
            "curve": [round(float(v), 3) if np.isfinite(v) else None for v in curves.ndvi[i]],
        }
        for i in worst
        if found.contradicts[i]
    ]
    counts = np.bincount(curves.classes[judged], minlength=job.classes)
    return Verdicts(counts.astype(np.int64), against, listed, len(curves.ids))


def no_verdicts(classes: int) -> Verdicts:
    return Verdicts(np.zeros(classes, np.int64), np.zeros((classes, classes + 1), np.int64))


def _done(each: Each, function: Any, items: Sequence[Any], bar: Bar) -> Iterator[tuple[Any, Any]]:
    """What each item gave; the first failure ends the audit, for figures of a part of the ground would mislead."""
    for item, outcome in each(function, items):
        if isinstance(outcome, Exception):
            raise outcome
        bar.advance()
        yield item, outcome


def _portions(records: dict[Tile, dict[str, Any]]) -> list[Portion]:
    """A parcel on several tiles belongs to the one that holds most of its inner pixels."""
    tiles = sorted(records)
    ids = np.concatenate([np.array(records[tile]["across"], np.uint32) for tile in tiles])
    pixels = np.concatenate([np.array(records[tile]["pixels"], np.int64) for tile in tiles])
    place = np.repeat(np.arange(len(tiles)), [len(records[tile]["across"]) for tile in tiles])
    order = np.lexsort((place, -pixels, ids))
    again = np.append(False, ids[order][1:] == ids[order][:-1])[: len(ids)]
    lost_ids, lost_place = ids[order][again], place[order][again]
    return [Portion(tile, np.sort(lost_ids[lost_place == i])) for i, tile in enumerate(tiles)]


def _source(job: Measuring, tile: Tile) -> str:
    """A digest of the pixels that a tile's curves come from."""
    units = (CubeUnit(period, tile).name for period in range(job.periods))
    ledgers = Ledger(job.root, cube.NAME), Ledger(job.root, crops.LABELS)
    digests = [ledgers[0].record(unit)["digests"] for unit in units]
    labels = ledgers[1].record(str(tile))["digests"]
    return identity({"cube": digests, "labels": labels, "compared": tile in job.compared})


def _pictures(job: Measuring, window: Window) -> Iterator[Floats]:
    store = Store(job.root, cube.NAME)
    reflectance, observations = store.array("reflectance"), store.array("observations")
    red, near = BANDS.index("B04"), BANDS.index("B08")
    for period in range(job.periods):
        seen = np.asarray(observations[(period, *window.slices)]) > 0
        if not seen.any():
            yield np.full(seen.shape, np.nan, np.float32)
            continue
        bands = np.asarray(reflectance[(period, slice(red, near + 1), *window.slices)])  # they share a chunk
        yield ndvi_of(bands[0], bands[-1], seen)


def _edges(job: Measuring, window: Window, parcels: Numbers) -> Sums:
    """Of the middle of a tile."""
    side = min(COMPARED_SIDE, window.height)
    start = (window.height - side) // 2
    middle = Window(window.y + start, window.x + start, side, side)
    pictures = sorted(_pictures(job, middle), key=lambda picture: int(np.isnan(picture).sum()))[:COMPARED_PERIODS]
    return edge_sums(parcels[start : start + side, start : start + side], pictures)


def _compared(tiles: Sequence[Tile]) -> frozenset[Tile]:
    return frozenset(tiles[:: -(-len(tiles) // COMPARED_TILES)])


def _rim(parcels: Numbers) -> Numbers:
    """Parcels at the edge of a tile, which may go on beyond."""
    rim = np.concatenate([parcels[0], parcels[-1], parcels[:, 0], parcels[:, -1]])
    found: Numbers = np.unique(rim)
    return found


def _key(tile: Tile) -> str:
    return f"{FOLDER}/{tile}.parquet"


def _encoded(curves: Curves) -> bytes:
    count, periods = curves.ndvi.shape
    values = pa.FixedSizeListArray.from_arrays(pa.array(curves.ndvi.ravel()), periods) if periods else pa.nulls(count)
    columns = {"parcel": curves.ids, "crop": curves.classes, "pixels": curves.pixels}
    buffer = io.BytesIO()
    pq.write_table(pa.table(columns | {"ndvi": values}), buffer, compression="zstd")
    return buffer.getvalue()


def _kept(job: Measuring, portion: Portion) -> Curves:
    table = pq.read_table(io.BytesIO(job.root.read(_key(portion.tile))))
    ids = table["parcel"].to_numpy()
    flat = table["ndvi"].combine_chunks().flatten().to_numpy(zero_copy_only=False)
    ndvi = flat.astype(np.float32).reshape(len(ids), job.periods)
    curves = Curves(ids, table["crop"].to_numpy(), table["pixels"].to_numpy(), ndvi)
    return curves.where(~np.isin(ids, portion.elsewhere))
