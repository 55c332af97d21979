"""One training, however its patches are shared out: the same losses and weights on one worker, on two, and in parts."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from made_teams import work_together
from made_training import recipe_of, write_patches
from safetensors.torch import load_file, save_file
from torch import nn

from catalogs.root import Root
from cluster.training import Team, alone
from models.augmentation import Augmentation, augment, draw
from models.batch_norm import share_statistics
from pipelines.best_epoch import best_entry, is_over
from pipelines.learner import make_learner, statistics_kept
from pipelines.patch_reading import PatchReader
from pipelines.recipe import Recipe
from pipelines.training_batches import training_parts
from pipelines.training_loop import train
from pipelines.training_metrics import METRICS

CASES = {f"{norm}-{parts}": {"norm": norm, "accumulate": parts} for norm in ("batch", "group") for parts in (1, 2)}
"""What is compared: with statistics of the batch and without, whole steps and steps in parts."""


@pytest.fixture(scope="module")
def patches(tmp_path_factory: pytest.TempPathFactory) -> Root:
    return write_patches(Root(str(tmp_path_factory.mktemp("patches"))))


@pytest.fixture(scope="module")
def by_two(patches: Root) -> Path:
    """What two workers made of everything that these tests ask: starting them takes longer than their work."""
    work_together(everything, patches, 2)
    return Path(patches.url)


def everything(root: Root, team: Team) -> None:
    for name, case in CASES.items():
        gradients(recipe_of(root, clip=0.0, **case), team, Path(root.url) / f"two-{name}")
    halves_of_a_batch(Path(root.url) / "halves", team)
    train(recipe_of(root, "two", epochs=2), team)


def curve(root: Root, name: str) -> np.ndarray:
    lines = [json.loads(line) for line in root.read(f"training/{name}/{METRICS}").splitlines()]
    return np.array([line["loss"] for line in lines if "loss" in line])


def gradients(recipe: Recipe, team: Team, path: Path) -> None:
    """Of the first step, and the statistics after it; the first worker writes them down."""
    learner, reader = make_learner(recipe, team), PatchReader(recipe.root)
    parts = list(training_parts(recipe, reader, 0, 0, team.rank, team.size, team.device))
    learner.step(parts[: recipe.training.accumulate], 0)
    if team.rank == 0:
        found = {name: value.grad for name, value in learner.network.named_parameters()}
        found |= dict(learner.network.named_buffers())
        save_file({name: value.contiguous().clone() for name, value in found.items()}, path)


def assert_alike(one: Path, other: Path) -> None:
    """To 5e-4 of a tensor's largest value: PyTorch's batch variances are right to 1e-5, and gradients nearly cancel."""
    expected, found = load_file(one), load_file(other)
    assert found.keys() == expected.keys()
    largest = max(float(value.abs().max()) for name, value in expected.items() if name.endswith("weight"))
    for name, value in expected.items():
        near = 5e-4 * max(float(value.abs().max()), 0.01 * largest)
        torch.testing.assert_close(found[name], value, rtol=0, atol=near, msg=lambda said, n=name: f"{n}: {said}")


def test_losses_are_the_same_on_one_worker_and_on_two(patches: Root, by_two: Path) -> None:
    train(recipe_of(patches, "one", epochs=2), alone())
    expected = curve(patches, "one")
    assert expected[-1] < 0.8 * expected[0], "nothing was learned: the test tests nothing"
    np.testing.assert_allclose(curve(patches, "two"), expected, rtol=1e-4)  # what rounding comes to in eight steps


@pytest.mark.parametrize("name", CASES)
def test_gradients_are_those_of_one_worker(patches: Root, by_two: Path, tmp_path: Path, name: str) -> None:
    """Dice, class weights and batch statistics are of all workers: averages over workers would not be equal."""
    gradients(recipe_of(patches, clip=0.0, **CASES[name]), alone(), tmp_path / "one")
    assert_alike(tmp_path / "one", by_two / f"two-{name}")


def test_a_step_in_parts_is_the_same_step(patches: Root, tmp_path: Path) -> None:
    """Where no statistics of a batch come in: those are of a part."""
    for parts in (1, 4):
        gradients(recipe_of(patches, norm="group", accumulate=parts, clip=0.0), alone(), tmp_path / str(parts))
    assert_alike(tmp_path / "1", tmp_path / "4")


def halves_of_a_batch(path: Path, team: Team) -> None:
    """Each worker's part of what one would do; the first writes down what it found."""
    torch.manual_seed(3)
    x = (1000 + torch.randn(6, 3, 4, 5)).requires_grad_()
    upstream = torch.randn(6, 3, 4, 5)
    layer = nn.Sequential(nn.BatchNorm2d(3))
    nn.init.uniform_(layer[0].weight)
    share_statistics(layer, team.total)
    mine = slice(4) if team.rank == 0 else slice(4, None)
    (layer(x[mine]) * upstream[mine]).sum().backward()
    grads = {name: team.total(value.grad.clone()) for name, value in layer.named_parameters()}
    if team.rank == 0:
        save_file({"x": x.grad[mine].contiguous(), **grads, **dict(layer.named_buffers())}, path)


def test_shared_batch_norm_is_that_of_the_whole_batch(by_two: Path) -> None:
    """Forward, backward and running statistics, of unequal shares and far from zero, against PyTorch's own layer."""
    found = load_file(by_two / "halves")
    torch.manual_seed(3)
    x = (1000 + torch.randn(6, 3, 4, 5)).requires_grad_()
    upstream = torch.randn(6, 3, 4, 5)
    layer = nn.Sequential(nn.BatchNorm2d(3))
    nn.init.uniform_(layer[0].weight)
    (layer(x) * upstream).sum().backward()
    torch.testing.assert_close(found["x"], x.grad[:4], rtol=1e-3, atol=1e-4)
    for name, value in layer.named_parameters():
        torch.testing.assert_close(found[name], value.grad, rtol=1e-3, atol=1e-3)
    for name, value in layer.named_buffers():
        torch.testing.assert_close(found[name], value)


def test_a_layer_that_is_shared_keeps_names_weights_and_the_ordinary_answer_when_fixed() -> None:
    layer = nn.Sequential(nn.Conv2d(2, 3, 1), nn.BatchNorm2d(3))
    x = torch.randn(2, 2, 4, 4)
    layer(x)
    state, expected = {k: v.clone() for k, v in layer.state_dict().items()}, layer.eval()(x)
    shared = share_statistics(layer, lambda tensor: tensor)
    assert list(shared.state_dict()) == list(state)
    assert torch.equal(shared.eval()(x), expected)


def test_looking_ahead_leaves_no_trace_in_the_statistics() -> None:
    layer = nn.BatchNorm2d(3)
    before = {name: value.clone() for name, value in layer.named_buffers()}
    with statistics_kept(layer):
        layer(torch.randn(2, 3, 4, 4))
    assert all(torch.equal(value, before[name]) for name, value in layer.named_buffers())
    layer(torch.randn(2, 3, 4, 4))
    assert not torch.equal(layer.running_mean, before["running_mean"])


def test_first_weights_are_those_of_the_seed(patches: Root) -> None:
    first, again, other = (
        make_learner(recipe_of(patches, seed=seed), alone()).network.state_dict() for seed in (0, 0, 1)
    )
    assert all(torch.equal(first[key], again[key]) for key in first)
    assert not all(torch.equal(first[key], other[key]) for key in first)


def test_an_epoch_that_is_no_better_is_waited_out() -> None:
    def history(*scores: float) -> list[dict]:
        return [{"epoch": number + 1, "validation_miou": score} for number, score in enumerate(scores)]

    assert not is_over(history(), epochs=5, patience=2)
    assert not is_over(history(0.1, 0.3, 0.2), epochs=5, patience=2)
    assert is_over(history(0.1, 0.3, 0.2, 0.3), epochs=5, patience=2), "as good as before is no better"
    assert not is_over(history(0.1, 0.3, 0.2, 0.3), epochs=5, patience=0)
    assert is_over(history(0.1, 0.3, 0.2, 0.3, 0.4), epochs=5, patience=0)
    assert best_entry(history(0.1, 0.3, 0.2, 0.3))["epoch"] == 4, "of equals the one that has seen most"


def test_nothing_varied_when_nothing_is_asked_for() -> None:
    rng = np.random.default_rng(0)
    x = rng.integers(0, 5000, (3, 2, 8, 8)).astype(np.uint16)
    truth = rng.integers(0, 4, (8, 8)).astype(np.uint8)
    still = Augmentation(turn=False, gain=0, noise=0, drop=0)
    found, crop = augment(x, truth, still, rng)
    assert np.array_equal(found, x) and np.array_equal(crop, truth)
    assert draw(still, x.shape, rng).shift == 0
