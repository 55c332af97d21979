"""patch: windows of cube and labels to the patch index and store, split by blocks of space."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from hashlib import sha256
from typing import Any

import numpy as np
from numpy.typing import NDArray

from catalogs import crops, cube, patch_store
from catalogs.cube import read_cube
from catalogs.errors import BadInput
from catalogs.grid import Grid, Window
from catalogs.patch_splits import PARCELS, SPLITS, Ids, foreign_parcels, foreign_pixels, read_shared_parcels
from catalogs.patch_store import Patch, patch_layouts, patch_shards, read_index
from catalogs.patches import TRAIN, inner_mask
from catalogs.renewal import changed_inputs
from catalogs.root import Root
from catalogs.stores import Store, write_shard
from catalogs.taxonomy import IGNORE
from cluster.items import item_workers
from cluster.progress import Progress
from models.normalisation import moments
from pipelines.outcomes import Outcomes
from pipelines.patch_measuring import Measuring
from pipelines.patch_report import JSON, PAGE, write_patch_report
from pipelines.patch_selection import choose, origin_of
from pipelines.plan import Plan
from pipelines.project.labels import Patches
from pipelines.stored import check_whole, identity_of

INPUTS = ("cube", "labels")
"""What of the description of patches is other stores."""

ANEW = (
    "To learn from what there is now, remove patches.zarr and give [model] another name; to map with what has been "
    "learned, go on with `furrow map`."
)


@dataclass(frozen=True)
class Cutting:
    """Everything a worker needs to copy a shard of patches."""

    root: Root
    grid: Grid
    settings: Patches
    classes: int
    choice: str = ""
    """Digest of the parcels in two splits, so that a worker that has read them need not do so for every shard."""
    ground: Root | None = None
    """Where the cube lies, if not in the root."""
    thinned: int | None = None
    """The seed by which labels that have weights are thinned out."""


def patch(plan: Plan, progress: Progress) -> dict[str, Any]:
    """Choose the patches and copy them; what was copied before stays."""
    check_whole(plan, cube.NAME, crops.LABELS)
    description = describe_patches(plan)
    store = Store(plan.root, patch_store.NAME)
    if changed := changed_inputs(store, description, INPUTS):
        why = f"was cut from other {' and '.join(changed)} than there are now, and networks may have learned from it."
        raise BadInput(plan.root.path(store.name), why, ANEW)
    if store.description() is None or not plan.root.exists(patch_store.INDEX):
        with item_workers(plan.project.compute.address, plan.workers) as each:
            choose(plan, progress, measuring_of(plan), each)
    patches = patch_store.patches_of(read_index(plan.root))
    codec = None if plan.root.is_local else patch_store.PACKED
    layouts = patch_layouts(len(patches), len(plan.periods), plan.project.patches.size, codec)
    store.begin(layouts, {}, description, {"title": f"Training patches of {plan.project.region.name}"})
    copied = _copy(plan, store, patches, progress)
    store.sweep()
    if copied or not plan.root.exists(JSON):
        write_patch_report(plan, store)
    found = {split: sum(p.split == split for p in patches) for split in SPLITS}
    progress.say("patch: " + ", ".join(f"{count} for {split}" for split, count in found.items()))
    return {"patches": found, "report": plan.root.path(PAGE)}


def measuring_of(plan: Plan) -> Measuring:
    classes = len(plan.taxonomy.names)
    return Measuring(plan.root, plan.grid, plan.region, plan.project.patches, classes, plan.cube_root)


def copy_shard(job: Cutting, members: Sequence[Patch]) -> dict[str, Any]:
    """Copy up to a shard of patches from the cube and the labels."""
    source, labels = Store(job.ground or job.root, cube.NAME), Store(job.root, crops.LABELS)
    pictures = np.stack([read_cube(source, member.window) for member in members])
    crop = np.stack([_labels(job, labels, member) for member in members])
    store = Store(job.root, patch_store.NAME)
    return write_members(store, members, pictures, crop, {"pixels": _pixels(job, members, crop)})


def write_members(
    store: Store, members: Sequence[Patch], pictures: NDArray[np.uint16], crop: NDArray[np.uint8], more: dict[str, Any]
) -> dict[str, Any]:
    """Up to a shard of patches, and its record; the sums for normalisation count training patches only."""
    first = members[0].number
    rows = slice(first, first + len(members))
    reflectances, crops_of = store.arrays("reflectance", "crop")
    digests = [
        write_shard(reflectances, (rows, *[slice(None)] * 4), pictures),
        write_shard(crops_of, (rows, *[slice(None)] * 2), crop),
    ]
    seen = moments(pictures[[member.split == TRAIN for member in members]])
    sums = {name: getattr(seen, name).tolist() for name in ("count", "total", "squares")}
    record = {"patches": len(members), "digests": digests, "sums": sums, **more}
    store.ledger.commit(patch_store.shard_name(first // patch_store.SHARD), record)
    return record


def describe_patches(plan: Plan) -> dict[str, Any]:
    origin = origin_of(plan)
    thinned = {"thinned": plan.project.selftrain.seed} if plan.is_stage else {}
    return {
        "store": "patches",
        **thinned,
        "cube": identity_of(plan.cube_root, cube.NAME, "ingest"),
        "labels": identity_of(plan.root, crops.LABELS, "label"),
        "taxonomy": plan.taxonomy.identity,
        "origin": {"country": origin.country, "year": origin.year},
        "settings": plan.project.patches.model_dump(mode="json"),
    }


def _copy(plan: Plan, store: Store, patches: list[Patch], progress: Progress) -> bool:
    """Copy what is missing; whether there was anything to do."""
    shards = patch_shards(len(patches))
    missing = set(store.missing(shards))
    groups = [patches[i : i + patch_store.SHARD] for i in range(0, len(patches), patch_store.SHARD)]
    todo = [group for (name, _), group in zip(shards, groups, strict=True) if name in missing]
    shared = sha256(plan.root.read(PARCELS)).hexdigest()
    thinned = plan.project.selftrain.seed if plan.is_stage else None
    names, settings = plan.taxonomy.names, plan.project.patches
    job = Cutting(plan.root, plan.grid, settings, len(names), shared, plan.cube_root, thinned)
    outcomes = Outcomes(store)
    with progress.stage("patch", len(shards), "shards", already=len(shards) - len(todo)) as bar:
        if todo:
            with item_workers(plan.project.compute.address, plan.workers) as each:
                for group, outcome in each(partial(copy_shard, job), todo):
                    outcomes.add(patch_store.shard_name(group[0].number // patch_store.SHARD), outcome)
                    bar.advance()
    outcomes.check()
    return bool(todo)


def _labels(job: Cutting, labels: Store, member: Patch) -> np.ndarray:
    """A patch's labels, without parcels of another split; of held-out blocks only where no other split is near."""
    crop = labels.read("crop", member.window.slices)
    if len(foreign := _foreign(job.root, job.choice, member.split)):
        crop[foreign_pixels(labels.read("parcel", member.window.slices), foreign)] = IGNORE
    if job.thinned is not None:
        weight = labels.read("weight", member.window.slices)
        crop[thinned_out(job.grid, member.window, weight, job.thinned)] = IGNORE
    if member.split != TRAIN:
        crop[~inner_mask(job.grid, member.window, job.settings.block, job.settings.margin)] = IGNORE
    return crop


def thinned_out(grid: Grid, window: Window, weight_YX: np.ndarray, seed: int) -> np.ndarray:
    """Which labels are left out so that those which stay count, on the whole, as much as they weigh in percent.

    Chance depends on seed and place alone.
    """
    corner = grid.first.row * grid.side + window.y, grid.first.col * grid.side + window.x
    rng = np.random.default_rng([seed, *(side % 2**32 for side in corner)])
    return np.asarray(rng.random(weight_YX.shape) >= weight_YX / 100)


@lru_cache(maxsize=len(SPLITS))
def _foreign(root: Root, choice: str, split: str) -> Ids:
    return foreign_parcels(read_shared_parcels(root), split)


def _pixels(job: Cutting, members: Sequence[Patch], crop: np.ndarray) -> dict[str, list[int]]:
    """Labelled pixels of each class by split, as they are stored."""
    splits = np.array([member.split for member in members])
    return {
        split: np.bincount(crop[splits == split].ravel(), minlength=IGNORE + 1)[: job.classes].tolist()
        for split in SPLITS
        if (splits == split).any()
    }
