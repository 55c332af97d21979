"""patch: windows of cube and labels to the patch index and store, split by blocks of space."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from catalogs import crops, cube, patch_store
from catalogs.cube import read_cube
from catalogs.errors import BadInput
from catalogs.grid import Grid, Tile, Window
from catalogs.patch_store import Patch, patch_layouts, patch_shards, read_index, write_index
from catalogs.patches import (
    TEST,
    TRAIN,
    VALIDATION,
    Block,
    Candidate,
    block_of,
    choose_patches,
    class_pixels,
    inner_mask,
    measure_patch,
    patch_windows,
    split_blocks,
)
from catalogs.root import Root
from catalogs.stores import Store, write_shard
from catalogs.taxonomy import IGNORE, ten_crops
from cluster.items import Each, item_workers
from cluster.progress import Progress
from models.normalisation import moments
from pipelines.outcomes import Outcomes
from pipelines.plan import Plan
from pipelines.project.settings import Patches
from pipelines.stored import check_whole, identity_of


@dataclass(frozen=True)
class Cutting:
    """Everything a worker needs to measure a tile or to copy a shard of patches."""

    root: Root
    grid: Grid
    settings: Patches


def patch(plan: Plan, progress: Progress) -> dict[str, Any]:
    """Choose the patches and copy them; what was copied before stays."""
    check_whole(plan, cube.NAME, crops.LABELS)
    description = describe_patches(plan)
    store = Store(plan.root, patch_store.NAME)
    job = Cutting(plan.root, plan.grid, plan.project.patches)
    if store.description() is None:
        with item_workers(plan.project.compute.address, plan.workers) as each:
            _choose(plan, progress, job, each)
    patches = patch_store.patches_of(read_index(plan.root))
    layouts = patch_layouts(len(patches), len(plan.periods), plan.project.patches.size)
    store.begin(layouts, {}, description, {"title": f"Training patches of {plan.project.region.name}"})
    _copy(plan, store, job, patches, progress)
    store.sweep()
    found = {split: sum(p.split == split for p in patches) for split in (TRAIN, VALIDATION, TEST)}
    progress.say("patch: " + ", ".join(f"{count} for {split}" for split, count in found.items()))
    return {"patches": found}


def measure_tile(job: Cutting, tile: Tile) -> list[Candidate]:
    """The windows of a tile that pass the filters."""
    whole, classes = job.grid.window(tile), len(ten_crops().names)
    labels = Store(job.root, crops.LABELS).read("crop", whole.slices)
    seen = Store(job.root, cube.NAME).read("observations", (slice(None), *whole.slices))
    found = []
    for window in patch_windows(job.grid, tile, job.settings.size):
        y, x = Window(window.y - whole.y, window.x - whole.x, window.height, window.width).slices
        block = block_of(job.grid, window.y, window.x, job.settings.block)
        found.append(measure_patch(window, block, labels[y, x], seen[:, y, x], classes))
    return [c for c in found if c.labelled >= job.settings.min_labelled and c.clear >= job.settings.min_clear]


def copy_shard(job: Cutting, members: Sequence[Patch]) -> dict[str, Any]:
    """Copy up to a shard of patches, write and commit; the sums for normalisation count training patches only."""
    source, labels = Store(job.root, cube.NAME), Store(job.root, crops.LABELS)
    pictures = np.stack([read_cube(source, member.window) for member in members])
    crop = np.stack([_labels(job, labels, member) for member in members])
    store = Store(job.root, patch_store.NAME)
    first = members[0].number
    rows = slice(first, first + len(members))
    digests = [
        write_shard(store.array("reflectance"), (rows,), pictures),
        write_shard(store.array("crop"), (rows,), crop),
    ]
    seen = moments(pictures[[member.split == TRAIN for member in members]])
    sums = {name: getattr(seen, name).tolist() for name in ("count", "total", "squares")}
    record = {"patches": len(members), "digests": digests, "sums": sums}
    store.ledger.commit(patch_store.shard_name(first // patch_store.SHARD), record)
    return record


def describe_patches(plan: Plan) -> dict[str, Any]:
    return {
        "store": "patches",
        "cube": identity_of(plan.root, cube.NAME, "ingest"),
        "labels": identity_of(plan.root, crops.LABELS, "label"),
        "settings": plan.project.patches.model_dump(mode="json"),
    }


def _choose(plan: Plan, progress: Progress, job: Cutting, each: Each) -> None:
    candidates: list[Candidate] = []
    outcomes = Outcomes(Store(plan.root, patch_store.NAME))
    with progress.stage("choose", len(plan.tiles), "tiles") as bar:
        for tile, outcome in each(partial(measure_tile, job), plan.tiles):
            outcomes.add(str(tile), outcome)
            candidates += outcome if isinstance(outcome, list) else []
            bar.advance()
    outcomes.check()
    candidates.sort(key=lambda c: (c.y, c.x))
    settings, names = plan.project.patches, ten_crops().names
    splits = split_blocks([c.block for c in candidates], settings.validation_share, settings.test_share, settings.seed)
    learned = [c for c in candidates if splits[c.block] == TRAIN]
    held_out = [c for c in candidates if splits[c.block] != TRAIN]  # a chosen test would flatter the map
    kept = choose_patches(learned, settings.most, settings.seed) + held_out
    chosen = _in_order_of_split(kept, splits, settings.seed)
    _check_choice(chosen, splits, len(plan.tiles))
    write_index(plan.root, plan.grid, settings.size, chosen, splits, names)
    progress.say(f"pixels of each class: {class_pixels(chosen, names)}")


def _in_order_of_split(chosen: list[Candidate], splits: dict[Block, str], seed: int) -> list[Candidate]:
    """Training patches first, each split in random order, so that a shard holds patches from all over."""
    order = np.random.default_rng(seed).permutation(len(chosen))
    ranks = {TRAIN: 0, VALIDATION: 1, TEST: 2}
    return sorted((chosen[i] for i in order), key=lambda c: ranks[splits[c.block]])


def _copy(plan: Plan, store: Store, job: Cutting, patches: list[Patch], progress: Progress) -> None:
    shards = patch_shards(len(patches))
    missing = set(store.missing(shards))
    groups = [patches[i : i + patch_store.SHARD] for i in range(0, len(patches), patch_store.SHARD)]
    todo = [group for (name, _), group in zip(shards, groups, strict=True) if name in missing]
    outcomes = Outcomes(store)
    with progress.stage("patch", len(shards), "shards", already=len(shards) - len(todo)) as bar:
        if todo:
            with item_workers(plan.project.compute.address, plan.workers) as each:
                for group, outcome in each(partial(copy_shard, job), todo):
                    outcomes.add(patch_store.shard_name(group[0].number // patch_store.SHARD), outcome)
                    bar.advance()
    outcomes.check()


def _labels(job: Cutting, labels: Store, member: Patch) -> np.ndarray:
    """A patch's labels; those of held-out blocks only where no neighbour of another split is near."""
    crop = labels.read("crop", member.window.slices)
    if member.split == TRAIN:
        return crop
    inner = inner_mask(job.grid, member.window, job.settings.block, job.settings.margin)
    return np.where(inner, crop, np.uint8(IGNORE))


def _check_choice(chosen: list[Candidate], splits: dict[Block, str], tiles: int) -> None:
    lacking = {TRAIN, VALIDATION, TEST} - {splits[candidate.block] for candidate in chosen}
    if lacking:
        raise BadInput(
            f"{len(chosen)} patches of {len(splits)} blocks from {tiles} tiles",
            f"leave none for {', '.join(sorted(lacking))}.",
            "Write a smaller [patches] block, or lower min_labelled and min_clear, or map a larger region.",
        )
