"""What a worker of a comparison does: one model on the held-out ground of one tile, counted block by block."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any

import numpy as np

from catalogs import crops
from catalogs.grid import Tile
from catalogs.patch_store import Patch
from catalogs.patches import block_of
from catalogs.stores import Store
from catalogs.taxonomy import IGNORE
from models.metrics import Confusion, confusion
from models.predictor import Predictor, load_predictor
from pipelines.checkpoints import read_checkpoint
from pipelines.held_out import scored_pixels
from pipelines.map import mapping_of
from pipelines.network_actors import device_of
from pipelines.plan import Plan
from pipelines.predicting import predict_ground


@dataclass(frozen=True)
class Scoring:
    """What all workers need."""

    plan: Plan


@dataclass(frozen=True)
class Share:
    """A model and the test patches of one tile."""

    checkpoint: str
    tile: Tile
    patches: tuple[Patch, ...]


def shares_of(checkpoint: str, patches: Mapping[Tile, Sequence[Patch]]) -> list[Share]:
    return [Share(checkpoint, tile, tuple(some)) for tile, some in patches.items()]


def start_scoring(job: Scoring, on_gpu: bool = False) -> Callable[[Share], dict[str, Any]]:
    """Its speeds are those of one core, or of one GPU."""
    return partial(score_share, job, lru_cache(maxsize=1)(partial(_predictor, job.plan, device_of(on_gpu))))


def score_share(job: Scoring, predictor_of: Callable[[str], Predictor], share: Share) -> dict[str, Any]:
    """Counts by block, and the pixels and seconds of mapping the tile."""
    plan, predictor = job.plan, predictor_of(share.checkpoint)
    whole, began = plan.grid.window(share.tile), time.perf_counter()
    mapped = predict_ground(mapping_of(plan, share.checkpoint), predictor, whole).crop
    seconds = time.perf_counter() - began
    labels = Store(plan.root, crops.LABELS).read("crop", whole.slices)
    truth = np.where(scored_pixels(plan, whole, share.patches), labels, np.uint8(IGNORE))
    counted: dict[str, Confusion] = {}
    for patch in share.patches:
        here = patch.window.seen_from(whole).slices
        row, column = block_of(plan.grid, patch.y, patch.x, plan.project.patches.block)
        found = confusion(truth[here], mapped[here], len(plan.taxonomy.names))
        name = f"{row}/{column}"
        counted[name] = counted[name] + found if name in counted else found
    return {
        "pixels": int((mapped != IGNORE).sum()),
        "seconds": seconds,
        "blocks": {name: [one.matrix.tolist(), one.unmapped.tolist()] for name, one in counted.items()},
    }


def _predictor(plan: Plan, device: str, checkpoint: str) -> Predictor:
    return load_predictor(*read_checkpoint(plan.root, checkpoint), device)
