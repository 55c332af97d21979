"""Labels from what an ensemble saw: the votes of all fields, those that are accepted, and their pixels tile by tile."""

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from functools import lru_cache, partial
from hashlib import sha256
from io import BytesIO
from itertools import accumulate
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet
from numpy.typing import NDArray

from catalogs import crops
from catalogs.errors import BadInput
from catalogs.grid import Tile
from catalogs.pseudo_stores import LOOKS, pseudo_layouts
from catalogs.root import Root
from catalogs.stores import Store, spatial_coordinates, write_shard
from cluster.items import item_workers
from cluster.progress import Progress
from models.field_votes import NO_FIELD, FieldVotes, count_votes, merge_votes
from models.pseudo_labels import IGNORE, PIXEL_RULES, PseudoLabelSettings, Selection, paint, select_fields
from pipelines.outcomes import Outcomes
from pipelines.plan import Plan
from pipelines.selftraining.ground import Ground
from pipelines.selftraining.looking import seen_in
from pipelines.selftraining.stage import Stage
from pipelines.stored import units_of

FIELDS, CHOICE = "fields.parquet", "choice.json"
"""The accepted fields with their class, and how many were accepted and rejected; the second is written last."""

MOST_FIELDS = 2**32 - 1
Ids = NDArray[np.uint32]


@dataclass(frozen=True)
class Choosing:
    """Everything a worker needs to count the votes of a tile, or to paint it."""

    root: Root
    ground: Ground
    settings: PseudoLabelSettings
    before: Mapping[Tile, int]
    """How many pieces of ground the tiles before each have, so that no two pieces have one number."""
    choice: str = ""
    """Digest of the accepted fields, so that a worker that has read them need not do so for every tile."""


def choosing_of(stage: Stage, ground: Ground) -> Choosing:
    plan, ledger = stage.plan, Store(stage.plan.root, LOOKS).ledger
    pieces = [ledger.record(str(tile))["pieces"] for tile in plan.tiles]
    if sum(pieces) > MOST_FIELDS:
        why = f"falls into {sum(pieces):,} pieces, and {MOST_FIELDS:,} can be numbered."
        raise BadInput("the region", why, "Name outlines in [selftrain] fields.")
    before = dict(zip(plan.tiles, accumulate(pieces, initial=0), strict=False))
    return Choosing(plan.root, ground, stage.settings, before)


def choose(
    stage: Stage, ground: Ground, prior_K: NDArray[np.float64], description: dict[str, Any], progress: Progress
) -> None:
    """Fill the label store; nothing to do if it is whole."""
    plan, store = stage.plan, Store(stage.plan.root, crops.LABELS)
    title = {"title": f"Labels of {plan.project.region.name} by its teachers, stage {stage.name}"}
    layouts = pseudo_layouts(plan.grid, plan.taxonomy)
    store.begin(layouts, spatial_coordinates(plan.grid), description, title)
    missing = set(store.missing(units_of(plan, crops.LABELS)))
    todo = [tile for tile in plan.tiles if str(tile) in missing]
    if not todo:
        return
    job = choosing_of(stage, ground)
    with item_workers(plan.project.compute.address, plan.workers) as each:
        if len(todo) == len(plan.tiles) or not plan.root.exists(CHOICE):
            _elect(plan, job, prior_K, each, progress)
        job = replace(job, choice=sha256(plan.root.read(FIELDS)).hexdigest())
        outcomes = Outcomes(store)
        with progress.stage("paint", len(plan.tiles), "tiles", already=len(plan.tiles) - len(todo)) as bar:
            for tile, outcome in each(partial(paint_tile, job), todo):
                outcomes.add(str(tile), outcome)
                bar.advance()
    outcomes.check()
    store.sweep()


def _elect(plan: Plan, job: Choosing, prior_K: NDArray[np.float64], each: Any, progress: Progress) -> None:
    """Which fields are accepted: of all tiles in a fixed order, since sums of floats depend on it."""
    parts: dict[Tile, tuple[FieldVotes, Ids]] = {}
    with progress.stage("vote", len(plan.tiles), "tiles") as bar:
        for tile, outcome in each(partial(vote_tile, job), plan.tiles):
            if isinstance(outcome, Exception):
                raise outcome
            parts[tile] = outcome
            bar.advance()
    chosen, cut = elected([parts[tile] for tile in plan.tiles], prior_K, job.settings)
    write_selection(job.root, chosen, {"prior": prior_K.tolist(), "on_held_out_ground": cut})


def elected(
    parts: list[tuple[FieldVotes, Ids]], prior_K: NDArray[np.float64], settings: PseudoLabelSettings
) -> tuple[Selection, int]:
    """The accepted fields, and how many were left out because a part of them lies on held-out ground."""
    votes = merge_votes([votes for votes, _ in parts])
    away = np.isin(votes.field_F, np.unique(np.concatenate([ids for _, ids in parts])))
    kept = FieldVotes(*(getattr(votes, field.name)[~away] for field in fields(votes)))
    return select_fields(kept, prior_K, settings), int(away.sum())


def vote_tile(job: Choosing, tile: Tile) -> tuple[FieldVotes, Ids]:
    """The votes of its fields, and the numbers of those with a part on held-out ground."""
    window = job.ground.grid.window(tile)
    found = seen_in(job.root, window)
    field_YX = job.ground.fields(tile, found.crop_YX, job.before[tile])
    there = np.unique(field_YX[job.ground.is_held_out(window)])
    return count_votes(found, field_YX, None, job.settings.most_doubt), there[there != NO_FIELD]


def paint_tile(job: Choosing, tile: Tile) -> dict[str, Any]:
    """Labels, fields and weights of a tile, and its record."""
    began = time.monotonic()
    window = job.ground.grid.window(tile)
    found = seen_in(job.root, window)
    field_YX = job.ground.fields(tile, found.crop_YX, job.before[tile])
    painted = paint(found, field_YX, read_selection(job.root, job.choice), job.settings)
    labelled = painted.label_YX != IGNORE
    assert not (labelled & job.ground.is_held_out(window)).any(), "held-out ground must not be labelled"
    layers = {
        "crop": painted.label_YX,
        "parcel": np.where(labelled, field_YX, np.uint32(NO_FIELD)),
        "weight": np.rint(100 * painted.weight_YX).astype(np.uint8),
    }
    store = Store(job.root, crops.LABELS)
    arrays = zip(store.arrays(*layers), layers.values(), strict=True)
    record = {
        "digests": [write_shard(array, window.slices, layer) for array, layer in arrays],
        "pixels": painted.pixels_K.tolist(),
        "ignored": {rule: counts.tolist() for rule, counts in painted.ignored.items()},
        "seconds": round(time.monotonic() - began, 3),
    }
    store.ledger.commit(str(tile), record)
    return record


def write_selection(root: Root, chosen: Selection, notes: Mapping[str, Any]) -> None:
    buffer = BytesIO()
    pyarrow.parquet.write_table(pa.table({"field": chosen.field_F, "crop": chosen.crop_F}), buffer)
    root.write(FIELDS, buffer.getvalue())
    root.write(CHOICE, (json.dumps({**chosen.as_dict(), **notes}, indent=1) + "\n").encode())


@lru_cache(maxsize=2)
def read_selection(root: Root, choice: str) -> Selection:
    """The accepted fields; of the counts only what painting needs, none."""
    table = pyarrow.parquet.read_table(BytesIO(root.read(FIELDS)))
    none = np.zeros(0, np.int64)
    return Selection(table["field"].to_numpy(), table["crop"].to_numpy(), none.astype(float), none, {}, none)


def accepted(stage: Stage) -> dict[str, Any]:
    """What became of the fields and of the pixels of the accepted ones, added up over the tiles."""
    plan, ledger = stage.plan, Store(stage.plan.root, crops.LABELS).ledger
    records = [ledger.record(str(tile)) for tile in plan.tiles]
    ignored = {rule: np.sum([r["ignored"][rule] for r in records], axis=0).tolist() for rule in PIXEL_RULES}
    pixels = np.sum([record["pixels"] for record in records], axis=0).tolist()
    return {**json.loads(plan.root.read(CHOICE)), "labelled_pixels": pixels, "ignored_pixels": ignored}
