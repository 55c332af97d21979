"""The choice of patches: windows measured tile by tile, split by blocks, and those for training drawn by class."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from catalogs import patch_store
from catalogs.errors import BadInput
from catalogs.patch_choice import choose_patches
from catalogs.patch_splits import SPLITS, Ids, shared_parcels, split_blocks, write_shared_parcels
from catalogs.patch_store import Origin, write_index
from catalogs.patches import REASONS, TEST, TRAIN, Block, Candidate, class_counts
from catalogs.stores import Store
from cluster.items import Each
from cluster.progress import Progress
from pipelines.outcomes import Outcomes
from pipelines.patch_measuring import Measured, Measuring, measure_tile, merged
from pipelines.plan import Plan
from pipelines.project.labels import Patches

CHOICE = "patches/choice.json"
"""What was left out and why, for the report."""


@dataclass(frozen=True)
class Selection:
    """The chosen patches, training first, and what became of the rest."""

    chosen: list[Candidate]
    splits: dict[Block, str]
    left_out: Counter[str]
    shared: Mapping[str, Ids]
    """Parcels in two splits, by the one that they belong to."""

    def of(self, split: str) -> list[Candidate]:
        return [candidate for candidate in self.chosen if self.splits[candidate.block] == split]


def choose(plan: Plan, progress: Progress, job: Measuring, each: Each) -> None:
    """Measure every tile, choose, and write what was chosen; the index comes last, and tells that the rest is there."""
    found = _measure(plan, progress, job, each)
    selection = select(found, job.settings, held_out=is_held_out(plan))
    _check_choice(selection, len(plan.tiles), _asked(plan))
    names = plan.taxonomy.names
    write_shared_parcels(plan.root, selection.shared)
    plan.root.write(CHOICE, json.dumps(_figures(found, selection, names), indent=1).encode())
    write_index(plan.root, plan.grid, job.settings.size, selection.chosen, selection.splits, names, origin_of(plan))
    said = zip(names, class_counts(selection.of(TRAIN), len(names)), strict=True)
    progress.say("pixels of each class for training: " + ", ".join(f"{name} {count}" for name, count in said))


def select(found: Measured, settings: Patches, held_out: bool = False) -> Selection:
    """Split the candidates and draw those for training. Held-out blocks keep all: a chosen test would flatter a map."""
    has = {block: counts > 0 for block, counts in found.inner.items()}
    splits = dict.fromkeys(has, TEST)
    if not held_out:
        splits = split_blocks(has, settings.validation_share, settings.test_share, settings.seed)
    learned = [c for c in found.candidates if splits[c.block] == TRAIN]
    varied = [c for c in learned if c.classes(settings.size) >= settings.min_classes]
    drawn, passed_over = choose_patches(varied, settings.most, settings.cap, settings.seed)
    kept = drawn + [c for c in found.candidates if splits[c.block] != TRAIN]
    left_out = found.left_out + Counter({"few_classes": len(learned) - len(varied), **passed_over})
    shared = shared_parcels(found.parcels, splits)
    return Selection(_in_order_of_split(kept, splits, settings.seed), splits, left_out, shared)


def origin_of(plan: Plan) -> Origin:
    return Origin(plan.project.labels.country, plan.project.season.end.year)


def is_held_out(plan: Plan) -> bool:
    """Whether the project's country or year is one that nothing may be learned from."""
    origin = origin_of(plan)
    return bool({origin.country, str(origin.year)} & set(plan.project.patches.held_out))


def _measure(plan: Plan, progress: Progress, job: Measuring, each: Each) -> Measured:
    parts: list[Measured] = []
    outcomes = Outcomes(Store(plan.root, patch_store.NAME))
    with progress.stage("choose", len(plan.tiles), "tiles") as bar:
        for tile, outcome in each(partial(measure_tile, job), plan.tiles):
            outcomes.add(str(tile), outcome)
            parts += [outcome] if isinstance(outcome, Measured) else []
            bar.advance()
    outcomes.check()
    return merged(parts)


def _in_order_of_split(chosen: list[Candidate], splits: Mapping[Block, str], seed: int) -> list[Candidate]:
    """Training patches first, each split in random order, so that a shard holds patches from all over."""
    ordered: list[Candidate] = []
    for number, split in enumerate(SPLITS):
        members = [candidate for candidate in chosen if splits[candidate.block] == split]
        ordered += [members[i] for i in np.random.default_rng([seed, number]).permutation(len(members))]
    return ordered


def _figures(found: Measured, selection: Selection, names: Sequence[str]) -> dict[str, Any]:
    chosen = {split: class_counts(selection.of(split), len(names)) for split in SPLITS}
    return {
        "windows": len(found.candidates) + found.left_out.total(),
        "left_out": {reason: selection.left_out[reason] for reason in REASONS},
        "blocks": {split: list(selection.splits.values()).count(split) for split in SPLITS},
        "parcels_in_two_splits": {split: len(ids) for split, ids in selection.shared.items()},
        "blocks_of_class": np.sum([counts > 0 for counts in found.inner.values()], axis=0).tolist(),
        "pixels": {
            "all": found.pixels.tolist(),
            "good": class_counts(found.candidates, len(names)).tolist(),
            "chosen": {split: counts.tolist() for split, counts in chosen.items()},
        },
    }


def _asked(plan: Plan) -> set[str]:
    """The splits that must have patches."""
    if plan.is_stage:
        return {TRAIN}
    return {TEST} if is_held_out(plan) else set(SPLITS)


def _check_choice(selection: Selection, tiles: int, asked: set[str]) -> None:
    lacking = asked - {selection.splits[candidate.block] for candidate in selection.chosen}
    if lacking:
        raise BadInput(
            f"{len(selection.chosen)} patches of {len(selection.splits)} blocks from {tiles} tiles",
            f"leave none for {', '.join(sorted(lacking))}.",
            "Write a smaller [patches] block, or lower min_labelled and min_clear, or map a larger region.",
        )
