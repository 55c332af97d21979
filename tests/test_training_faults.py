"""Trainings that are cut off or cannot go on: the same weights after every cut, and plain words where nothing helps."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from made_training import CLASSES, PATCHES, PERIODS, SIZE, recipe_of, write_patches, write_store
from safetensors.torch import load

from catalogs.bands import BANDS
from catalogs.errors import BadInput
from catalogs.root import Root
from cluster.training import Team, alone
from models.checkpoint import decode_training_state, encode_training_state
from models.errors import Misfit
from models.normalisation import Normalisation
from pipelines import memory_limits, training_metrics
from pipelines.recipe import Recipe
from pipelines.recipes import check_enough
from pipelines.training_loop import train
from pipelines.training_state import SLOTS

WEIGHTS = "checkpoints/season/weights.safetensors"
HOUSE = Path(__file__).parents[1]


class Cut(Exception):
    """Stands for a kill: nothing is written after it."""


@pytest.fixture(scope="module")
def patches(tmp_path_factory: pytest.TempPathFactory) -> Root:
    return write_patches(Root(str(tmp_path_factory.mktemp("patches"))))


@pytest.fixture(autouse=True)
def _every_step_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training_metrics, "POST_SECONDS", 0.0)


@pytest.fixture
def root(patches: Root, tmp_path: Path) -> Root:
    (tmp_path / "patches.zarr").symlink_to(Path(patches.url) / "patches.zarr")
    return Root(str(tmp_path))


def careful(root: Root, **training: Any) -> Recipe:
    """With everything that must be put back where it was: an average, parts, and a rate that changes."""
    return recipe_of(root, **{"epochs": 2, "ema": 0.9, "accumulate": 2, "save_minutes": 0.0} | training)


@pytest.fixture(scope="module")
def undisturbed(patches: Root, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    folder = tmp_path_factory.mktemp("undisturbed")
    (folder / "patches.zarr").symlink_to(Path(patches.url) / "patches.zarr")
    train(careful(Root(str(folder))), alone())
    return (folder / WEIGHTS).read_bytes()


def cut_at(step: int, said: list[str] | None = None) -> Team:
    """A team whose training ends in the middle, when it has taken this many steps."""

    def post(values: Any) -> None:
        if "say" in values and said is not None:
            said.append(values["say"])
        if values.get("step", 0) >= step:
            raise Cut

    return alone(post)


def telling(said: list[str]) -> Team:
    return alone(lambda values: said.append(values["say"]) if "say" in values else None)


@pytest.mark.parametrize("minutes", [0.0, 1000.0])
@pytest.mark.parametrize("steps", [(1,), (3, 6), (4,), (5, 5, 7)])
def test_cut_at_any_step_and_resumed_the_weights_are_the_same(root, undisturbed, steps, minutes) -> None:
    recipe, cuts = careful(root, save_minutes=minutes), 0
    for step in steps:
        with pytest.raises(Cut):
            train(recipe, cut_at(step))
        cuts += 1
    said: list[str] = []
    train(recipe, telling(said))
    assert cuts == len(steps) and root.read(WEIGHTS) == undisturbed
    assert not [name for name in SLOTS if root.exists(f"checkpoints/season/{name}")], "states are cleared away"
    if minutes == 0 and steps == (3, 6):
        assert said == ["train: season goes on after step 5 of 8"]
    lines = [json.loads(line) for line in root.read("training/season/metrics.jsonl").splitlines()]
    assert [line["step"] for line in lines if "loss" in line] == [1, 2, 3, 4, 5, 6, 7, 8], "each step once"


@pytest.mark.parametrize("spoil", [lambda data: data[: len(data) // 2], lambda data: b"", lambda data: data[:3]])
def test_a_state_that_is_cut_short_leads_to_the_one_before_it(root, undisturbed, spoil: Callable) -> None:
    recipe, said = careful(root), []
    with pytest.raises(Cut):
        train(recipe, cut_at(6))
    keys = [f"checkpoints/season/{name}" for name in SLOTS]
    steps = {key: decode_training_state(root.read(key))[2]["step"] for key in keys}
    assert sorted(steps.values()) == [4, 5], "the last two are kept"
    newest = max(keys, key=steps.__getitem__)
    root.write(newest, spoil(root.read(newest)))
    train(recipe, telling(said))
    assert "is of no use" in said[0] and "cut short" in said[0] and newest in said[0]
    assert said[1] == "train: season goes on after step 4 of 8"
    assert root.read(WEIGHTS) == undisturbed


def test_without_any_whole_state_training_begins_anew(root, undisturbed) -> None:
    recipe, said = careful(root), []
    with pytest.raises(Cut):
        train(recipe, cut_at(6))
    for name in SLOTS:
        root.write(f"checkpoints/season/{name}", root.read(f"checkpoints/season/{name}")[:-1])
    train(recipe, telling(said))
    assert len(said) == 2 and root.read(WEIGHTS) == undisturbed


def test_the_state_of_another_training_is_not_gone_on_with(root, undisturbed) -> None:
    recipe, said = careful(root), []
    other = replace(recipe, card=replace(recipe.card, training_identity="another"), class_pixels=(1, 2, 3, 4))
    with pytest.raises(Cut):
        train(other, cut_at(6))
    train(recipe, telling(said))
    assert not said and root.read(WEIGHTS) == undisturbed


def test_a_loss_that_is_no_number_stops_and_replaces_nothing(root) -> None:
    recipe = careful(root)
    with pytest.raises(Cut):
        train(recipe, cut_at(6))
    good = {name: root.read(f"checkpoints/season/{name}") for name in SLOTS}
    for name, data in good.items():
        tensors, slots, meta = decode_training_state(data)
        tensors["now.head.weight"].fill_(float("nan"))
        good[name] = encode_training_state(tensors, slots, meta)
        root.write(f"checkpoints/season/{name}", good[name])
    with pytest.raises(Misfit, match=r"loss of season.*no number any more at step 6 \(epoch 2\).*learning_rate"):
        train(recipe, alone())
    assert {name: root.read(f"checkpoints/season/{name}") for name in SLOTS} == good
    assert not root.exists(WEIGHTS)


def test_pixels_that_overflow_are_told_at_the_first_step(root) -> None:
    recipe = careful(root)
    tiny = Normalisation((2000.0,) * len(BANDS), (1e-37,) * len(BANDS))
    with pytest.raises(Misfit, match="step 1"):
        train(replace(recipe, card=replace(recipe.card, normalisation=tiny)), alone())
    assert not list(root.keys("checkpoints")), "nothing was written"


def patterned(crops: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    return rng.integers(1, 3000, (PATCHES, PERIODS, len(BANDS), SIZE, SIZE)).astype(np.uint16), crops.astype(np.uint8)


def test_batches_without_a_label_teach_nothing_and_harm_nothing(tmp_path: Path) -> None:
    crops = np.full((PATCHES, SIZE, SIZE), 255)
    crops[::9] = 1  # most batches of two have none
    root = write_store(Root(str(tmp_path)), *patterned(crops))
    train(recipe_of(root, epochs=1, batch=2), alone())
    assert all(value.isfinite().all() for value in load(root.read(WEIGHTS)).values() if value.is_floating_point())


def test_a_class_that_never_occurs_is_learned_around(root) -> None:
    recipe = replace(recipe_of(root, epochs=1), class_pixels=(7000, 0, 6000, 7500))
    train(recipe, alone())
    figures = json.loads(root.read("training/season/figures.json"))
    assert np.array(figures["confusion"]).shape == (CLASSES, CLASSES)


def test_nothing_to_watch_with_is_told(tmp_path: Path) -> None:
    crops = np.full((PATCHES, SIZE, SIZE), 255)
    crops[:32] = 1
    root = write_store(Root(str(tmp_path)), *patterned(crops))
    with pytest.raises(Misfit, match=r"8 patches to watch .* no labelled pixel.*validation_share"):
        train(recipe_of(root, epochs=1), alone())


def test_more_in_a_batch_than_there_is_and_no_label_at_all(root) -> None:
    with pytest.raises(BadInput, match=r"batch = 64: there are only 32 patches to train on\. Write at most 32"):
        check_enough(recipe_of(root, batch=64))
    with pytest.raises(BadInput, match=r"32 patches to train on: have no labelled pixel\..*furrow audit"):
        check_enough(replace(recipe_of(root), class_pixels=(0, 0, 0, 0)))
    check_enough(recipe_of(root, batch=32))


LITTLE_MEMORY = """
import resource, sys
sys.path[:0] = [{tests!r}, {house!r}]
import torch
from pathlib import Path
from dataclasses import replace
from made_training import *
from cluster.training import alone
from pipelines.training_loop import train
torch.set_num_threads(1)
recipe = recipe_of(Root({root!r}), batch=32, epochs=1, save_minutes=0.0)
recipe = replace(recipe, card=replace(recipe.card, settings=recipe.card.settings | {{"widths": [{width}, {width}]}}))
train(replace(recipe, training=recipe.training.model_copy(update={{"batch": 1}}), train=recipe.train[:1]), alone())
Root({root!r}).remove("checkpoints")
pages = int(Path("/proc/self/statm").read_text().split()[0])
resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + {more} * 10**6,) * 2)
try:
    train(recipe, alone())
except Exception as error:
    print(type(error).__name__, error)
"""


def test_memory_that_runs_out_is_told_with_what_fits(root) -> None:
    """A step of 32 patches needs some 700 MB here, and 250 are left: a real limit, not a made-up error."""
    code = LITTLE_MEMORY.format(tests=str(HOUSE / "tests"), house=str(HOUSE), root=root.url, width=192, more=250)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=os.environ)
    said = done.stdout.strip().splitlines()[-1]
    assert said.startswith("BadInput [training] batch = 32, 32 patches at once on each worker: is more than memory")
    fits = int(said.partition(" at once fit: write accumulate = ")[0].rsplit(" ", 1)[1])
    assert fits in (1, 2, 4, 8, 16) and f"accumulate = {32 // fits}," in said and f"batch = {fits}." in said


def test_other_errors_of_a_step_are_not_taken_for_want_of_memory() -> None:
    assert memory_limits.is_out_of_memory(MemoryError())
    assert memory_limits.is_out_of_memory(torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"))
    assert memory_limits.is_out_of_memory(RuntimeError("could not create a primitive"))
    assert not memory_limits.is_out_of_memory(RuntimeError("could not create a primitive descriptor"))
    assert not memory_limits.is_out_of_memory(RuntimeError("sizes do not match"))
