"""What a fold learns from: small windows around its parcels, in a root of its own that trains like any other."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from catalogs import crops, cube, patch_store
from catalogs.cube import read_cube
from catalogs.description import identity
from catalogs.grid import Window
from catalogs.patch_store import SHARD, Patch, patch_layouts, patch_shards, patches_of, read_index, write_index
from catalogs.patches import TRAIN, VALIDATION, Candidate, measure_patch
from catalogs.root import Root
from catalogs.stores import Store
from catalogs.taxonomy import IGNORE
from models.parcel_folds import learned
from models.parcel_scores import NO_PARCEL
from pipelines.compare import plan_of
from pipelines.crossfolding.ground import Fold, Ground
from pipelines.patch import write_members
from pipelines.patch_selection import origin_of
from pipelines.plan import Plan
from pipelines.project.learning import VALIDATION as WATCHED
from pipelines.stored import identity_of

FOLDER = "crossfold"

MOST_WATCHED = 64
"""Windows that the epoch is chosen with."""

Labels = NDArray[np.uint8]


def root_of(plan: Plan, fold: Fold) -> Root:
    return Root(plan.root.path(f"{FOLDER}/folds/{fold.name}"))


def labels_of(plan: Plan, ground: Ground, fold: Fold) -> Labels:
    """What may be learned in a fold, on the whole grid."""
    return learned(ground.crop_YX, ground.parcel_YX, fold.left_out, plan.project.crossfold.margin)


def fold_plan(plan: Plan, fold: Fold, model: str, name: str) -> Plan:
    """The same project with another root and model, nothing from elsewhere, and steps of the windows there are."""
    project = plan_of(plan, model).project
    batch = min(project.training.batch, project.crossfold.windows)
    alone = {"also": (), "workers": 1, "accumulate": 1, "batch": batch, "stop_on": WATCHED}
    changes = {"store": {"root": root_of(plan, fold).url}, "model": {"name": name}, "training": alone}
    tables = {table: getattr(project, table).model_copy(update=change) for table, change in changes.items()}
    return Plan(project.model_copy(update=tables))


def cut_windows(plan: Plan, ground: Ground, fold: Fold) -> None:
    """Write index and patches of a fold; those that were cut differently are cut anew, which takes seconds."""
    root, labels_YX = root_of(plan, fold), labels_of(plan, ground, fold)
    store, described = Store(root, patch_store.NAME), describe_windows(plan, fold)
    stored, size = store.description(), plan.project.crossfold.window
    if stored is None or identity(stored) != identity(described):
        root.remove("")
        chosen, splits = _choose(plan, ground, labels_YX)
        write_index(root, plan.grid, size, chosen, splits, plan.taxonomy.names, origin_of(plan))
    patches = patches_of(read_index(root))
    store.begin(patch_layouts(len(patches), len(plan.periods), size), {}, described)
    shards = patch_shards(len(patches))
    missing = set(store.missing(shards))
    for place, (name, _) in enumerate(shards):
        if name in missing:
            _copy_shard(plan, store, patches[place * SHARD : (place + 1) * SHARD], labels_YX)


def describe_windows(plan: Plan, fold: Fold) -> dict[str, object]:
    decide = {"window", "windows", "seed"} | ({"margin"} if fold.left_out else set())
    return {
        "store": "windows of a fold",
        "cube": identity_of(plan.root, cube.NAME, "ingest"),
        "labels": identity_of(plan.root, crops.LABELS, "label"),
        "taxonomy": plan.taxonomy.identity,
        "left_out": list(fold.left_out),
        "settings": plan.project.crossfold.model_dump(include=decide),
    }


def windows_around(labels_YX: Labels, parcel_YX: NDArray[np.uint32], size: int, count: int, seed: int) -> list[Window]:
    """Each around a pixel of a parcel that is learned; the parcels take turns, so small ones are seen as often."""
    rng, grid = np.random.default_rng(seed), labels_YX.shape
    pixels = np.flatnonzero((labels_YX != IGNORE) & (parcel_YX != NO_PARCEL))
    parcels, place = np.unique(parcel_YX.ravel()[pixels], return_inverse=True)
    found = []
    for turn in range(count):
        y, x = np.unravel_index(rng.choice(pixels[place == turn % len(parcels)]), grid)
        corner = [min(max(int(at) - size // 2, 0), side - size) for at, side in zip((y, x), grid, strict=True)]
        found.append(Window(corner[0], corner[1], size, size))
    return found


def _choose(plan: Plan, ground: Ground, labels_YX: Labels) -> tuple[list[Candidate], dict[tuple[int, int], str]]:
    """Training windows, and such of the same parcels to watch training with: a place so small has no third part."""
    asked = plan.project.crossfold
    parcels = len(ground.parcel_P)
    count, watched = -(-asked.windows // parcels) * parcels, min(parcels, MOST_WATCHED)
    windows = windows_around(labels_YX, ground.parcel_YX, asked.window, count + watched, asked.seed)
    seen_TYX, classes = Store(plan.root, cube.NAME).array("observations"), len(plan.taxonomy.names)
    whole = np.ones((asked.window, asked.window), bool)
    chosen = []
    for number, window in enumerate(windows):
        block = number, 0  # windows overlap, so each counts as a block of its own
        seen = np.asarray(seen_TYX[(slice(None), *window.slices)])
        chosen.append(measure_patch(window, block, labels_YX[window.slices], seen, whole, classes))
    return chosen, {one.block: TRAIN if place < count else VALIDATION for place, one in enumerate(chosen)}


def _copy_shard(plan: Plan, store: Store, members: Sequence[Patch], labels_YX: Labels) -> None:
    source = Store(plan.root, cube.NAME)
    pictures = np.stack([read_cube(source, member.window) for member in members])
    crop = np.stack([labels_YX[member.window.slices] for member in members])
    write_members(store, members, pictures, crop, {})
