"""How good a round is, on ground that no label was made of: the crops that its network would map there."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from catalogs import crops, cube
from catalogs.cube import read_cube
from catalogs.description import identity
from catalogs.grid import Tile, Window
from catalogs.patches import inner_mask
from catalogs.root import Root
from catalogs.stores import Store
from catalogs.taxonomy import IGNORE
from cluster.progress import Progress
from models.ensemble import Ensemble
from models.metrics import Confusion, confusion, score
from models.self_training_guards import Round, agreement_with
from pipelines.network_actors import device_of, on_actors
from pipelines.plan import Plan
from pipelines.predicting import cores_of
from pipelines.selftraining.ground import Ground
from pipelines.selftraining.looking import within
from pipelines.selftraining.teachers import Teacher, cards_of, load_ensemble
from pipelines.stored import check_whole

NOTHING_KNOWN = 1.0
"""The agreement of every round where neither labels nor statistics can tell one from another."""


@dataclass(frozen=True, eq=False)
class Judged:
    """What a round's network sees on held-out ground, by class, and how much of it agrees with what is known."""

    pixels_K: NDArray[np.int64]
    scores: dict[str, Any] | None
    """Against labels, where there are some."""
    agreement: float
    by: str
    """What it agrees with: labels, statistics, or nothing."""

    @property
    def round(self) -> Round:
        return Round(self.agreement, tuple(self.pixels_K.tolist()))

    def as_dict(self) -> dict[str, Any]:
        known = {"agreement": self.agreement, "agreement_with": self.by, "scores": self.scores}
        return {"held_out_pixels": self.pixels_K.tolist(), **known}


@dataclass(frozen=True)
class Judging:
    """Everything a worker needs to judge a tile."""

    cube_root: Root
    ground: Ground
    teachers: tuple[Teacher, ...]
    margin: int
    classes: int
    labels: bool
    """Whether there are labels on the ground."""


def judge(
    plan: Plan,
    key: str,
    networks: tuple[Teacher, ...],
    ground: Ground,
    shares_K: NDArray[np.float64] | None,
    progress: Progress,
) -> Judged:
    """Kept in the root under `key`, for a rerun with the same networks."""
    labelled = Store(plan.root, crops.LABELS).description() is not None
    if labelled:
        check_whole(plan, crops.LABELS)
    names = plan.taxonomy.names
    job = Judging(plan.root, ground, networks, plan.project.patches.margin, len(names), labelled)
    counted = _counted(plan, key, job, progress)
    pixels_K, found = np.array(counted["pixels"]), Confusion(np.array(counted["confusion"]), np.array(counted["blind"]))
    if labelled and found.matrix.sum():
        scores = score(found)
        return Judged(pixels_K, scores.as_dict(names), float(scores.mean_iou), "labels")
    if shares_K is not None:
        return Judged(pixels_K, None, agreement_with(shares_K.tolist(), pixels_K.tolist()), "statistics")
    return Judged(pixels_K, None, NOTHING_KNOWN, "nothing")


def _counted(plan: Plan, key: str, job: Judging, progress: Progress) -> dict[str, Any]:
    description = Store(plan.root, crops.LABELS).description() if job.labels else None
    subject = identity({
        "networks": [card.weights_sha256 for card in cards_of(plan, job.teachers)],
        "cube": Store(plan.root, cube.NAME).description(),
        "labels": description,
        "held_out": sorted(map(list, job.ground.held_out)),
        "margin": job.margin,
    })  # fmt: skip
    if plan.root.exists(key) and (kept := json.loads(plan.root.read(key)))["identity"] == subject:
        return dict(kept)
    total, pixels = Confusion.empty(job.classes), np.zeros(job.classes, np.int64)
    tiles = [tile for tile in plan.tiles if job.ground.is_held_out(plan.grid.window(tile)).any()]
    with progress.stage("judge", len(tiles), "tiles") as bar:
        for _, outcome in on_actors(plan, partial(start_judging, job), tiles):
            if isinstance(outcome, Exception):
                raise outcome
            pixels += outcome[0]
            total += outcome[1]
            bar.advance()
    counts = {"pixels": pixels.tolist(), "confusion": total.matrix.tolist(), "blind": total.unmapped.tolist()}
    plan.root.write(key, (json.dumps({"identity": subject, **counts}, indent=1) + "\n").encode())
    return counts


def start_judging(job: Judging, on_gpu: bool = False) -> Callable[[Tile], tuple[NDArray[np.int64], Confusion]]:
    return partial(judge_tile, job, load_ensemble(job.teachers, device=device_of(on_gpu)))


def judge_tile(job: Judging, ensemble: Ensemble, tile: Tile) -> tuple[NDArray[np.int64], Confusion]:
    """Pixels by class as the networks would map them, and what is declared there, away from the blocks' borders."""
    whole = job.ground.grid.window(tile)
    judged = judged_pixels(job.ground, whole, job.margin)
    crop = np.full(judged.shape, IGNORE, np.uint8)
    for core in cores_of(whole, ensemble.window):
        here = core.seen_from(whole).slices
        if judged[here].any():
            seen = read_cube(Store(job.cube_root, cube.NAME), core.grown(ensemble.halo))
            p_KYX = within(ensemble.plain(seen), core, ensemble.halo)
            crop[here] = np.where(p_KYX.sum(axis=0) > 0, p_KYX.argmax(axis=0), IGNORE)
    crop[~judged] = IGNORE
    truth = np.full(judged.shape, IGNORE, np.uint8)
    if job.labels:
        labels = Store(job.cube_root, crops.LABELS).read("crop", whole.slices)
        truth = np.where(judged, labels, np.uint8(IGNORE))
    pixels = np.bincount(crop[crop != IGNORE], minlength=job.classes)
    return pixels, confusion(truth, crop, job.classes)


def judged_pixels(ground: Ground, whole: Window, margin: int) -> NDArray[np.bool_]:
    inner = inner_mask(ground.grid, whole, ground.block, margin)
    return ground.is_held_out(whole) & inner & ~ground.outside(whole)


def kept_round(rounds: Sequence[Judged], best: int, go_on: bool) -> int:
    """The best one; where nothing tells them apart, the last that no guard objected to."""
    if rounds[-1].by != "nothing":
        return best
    return len(rounds) - 1 if go_on else len(rounds) - 2
