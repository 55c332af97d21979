"""Every key of [training], [loss] and [augmentation] changes what it says, and the schedules and losses are right."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from made_training import recipe_of, write_patches
from torch._dynamo.eval_frame import OptimizedModule

from catalogs.root import Root
from cluster.training import alone
from models.augmentation import Augmentation, augment, season_factor
from models.averaging import Averaged
from models.batch_loss import LossSettings, SegmentationLoss, of_all
from models.errors import Misfit
from models.losses import class_weights, cross_entropy, entropy_sums, segmentation_loss
from models.schedules import rate
from pipelines.learner import make_learner
from pipelines.patch_reading import PatchReader
from pipelines.project.learning import Augmentation as AugmentationTable
from pipelines.project.learning import Loss, Training
from pipelines.recipe import Recipe
from pipelines.training_batches import training_parts
from pipelines.training_loop import train

OTHER: dict[str, Any] = {
    "epochs": 3, "batch": 4, "accumulate": 2, "learning_rate": 0.02, "warm_up": 0.9, "schedule": "constant",
    "weight_decay": 0.5, "betas": (0.5, 0.9), "clip": 0.01, "ema": 0.9, "precision": "bf16", "seed": 5,
}  # fmt: skip
"""Another value for each key that changes the weights of a training of two epochs."""

ELSEWHERE = {"compile", "patience", "stop_on", "save_minutes", "workers", "also", "compare_single_date"}
"""Keys that change something else, each with a test of its own."""

OTHER_LOSS = {"class_weights": "effective_number", "dice_weight": 0.1, "focal_gamma": 2.0, "label_smoothing": 0.1}
OTHER_AUGMENTATION = {
    "turn": False, "gain": 0.2, "noise": 200.0, "drop": 1.0, "shift": 30.0, "lose": (0.5, 0.6), "warp": 0.2,
    "warp_chance": 1.0,
}  # fmt: skip
BESIDE: dict[str, dict[str, Any]] = {"warp": {"warp_chance": 1.0}, "warp_chance": {"warp": 0.2, "warp_chance": 0.0}}
"""What must be so for a key to count."""


@pytest.fixture(scope="module")
def patches(tmp_path_factory: pytest.TempPathFactory) -> Root:
    return write_patches(Root(str(tmp_path_factory.mktemp("patches"))))


def trained(recipe: Recipe, root: Path) -> bytes:
    """The weights that a recipe leads to, in a root of its own."""
    (root / "patches.zarr").symlink_to(Path(recipe.root.url) / "patches.zarr")
    recipe = replace(recipe, root=Root(str(root)))
    train(recipe, alone())
    return recipe.root.read(f"{recipe.folder}/weights.safetensors")


@pytest.fixture(scope="module")
def usual(patches: Root, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return trained(recipe_of(patches, epochs=2), tmp_path_factory.mktemp("usual"))


def test_the_same_recipe_leads_to_the_same_weights(patches: Root, usual: bytes, tmp_path: Path) -> None:
    assert trained(recipe_of(patches, epochs=2), tmp_path) == usual


def test_no_key_is_forgotten() -> None:
    assert OTHER.keys() | ELSEWHERE == Training.model_fields.keys()
    assert OTHER_LOSS.keys() == Loss.model_fields.keys()
    assert OTHER_AUGMENTATION.keys() == AugmentationTable.model_fields.keys()


@pytest.mark.parametrize("name", OTHER)
def test_every_key_of_training_changes_the_weights(patches: Root, usual: bytes, tmp_path: Path, name: str) -> None:
    assert trained(recipe_of(patches, **{"epochs": 2, name: OTHER[name]}), tmp_path) != usual


@pytest.mark.parametrize("name", OTHER_LOSS)
def test_every_key_of_the_loss_changes_the_weights(patches: Root, usual: bytes, tmp_path: Path, name: str) -> None:
    recipe = recipe_of(patches, epochs=2)
    if name == "class_weights":
        recipe = replace(recipe, class_weights=OTHER_LOSS[name], class_pixels=(100, 8000, 10**6, 7500))
        with_the_usual = replace(recipe, class_weights="inverse_sqrt")
        (tmp_path / "one").mkdir()
        usual, tmp_path = trained(with_the_usual, tmp_path / "one"), tmp_path / "two"
        tmp_path.mkdir()
    else:
        recipe = replace(recipe, loss=LossSettings(**{name: OTHER_LOSS[name]}))
    assert trained(recipe, tmp_path) != usual


@pytest.mark.parametrize("name", OTHER_AUGMENTATION)
def test_every_key_of_augmentation_changes_what_is_shown(patches: Root, name: str) -> None:
    def shown(**changes: Any) -> list[torch.Tensor]:
        recipe = replace(recipe_of(patches), augmentation=Augmentation(**changes))
        batch = next(training_parts(recipe, PatchReader(patches), 0, 0, 0, 1, torch.device("cpu")))
        return [*batch.shown, batch.truth_BYX]

    beside = BESIDE.get(name, {})
    assert all(map(torch.equal, shown(**beside), shown(**beside)))
    assert not all(map(torch.equal, shown(**beside), shown(**beside | {name: OTHER_AUGMENTATION[name]})))


def test_training_stops_when_nothing_gets_better(patches: Root, tmp_path: Path) -> None:
    recipe = recipe_of(patches, norm="group", epochs=9, learning_rate=1e-9, patience=2)
    trained(recipe, tmp_path)
    history = json.loads((tmp_path / "training/season/figures.json").read_text())["history"]
    assert 3 <= len(history) < 9


def test_states_are_written_as_often_as_is_asked_for(patches: Root, tmp_path: Path, monkeypatch: Any) -> None:
    from pipelines import training_state

    steps: list[int] = []
    plain = training_state.Keeper.save
    monkeypatch.setattr(
        training_state.Keeper, "save", lambda self, standing: (steps.append(standing.step), plain(self, standing))
    )
    trained(recipe_of(patches, epochs=1, save_minutes=0.0), tmp_path)
    assert steps == [1, 2, 3, 4, 4], "after each step, and after the epoch"
    steps.clear()
    (tmp_path / "seldom").mkdir()
    trained(recipe_of(patches, epochs=2, save_minutes=1000.0), tmp_path / "seldom")
    assert steps == [4, 8]


def test_a_network_is_compiled_where_that_is_asked_for(patches: Root) -> None:
    """That it learns the same, and how fast, is shown by benchmarks/train.py: compiling takes minutes."""
    plain, compiled = (make_learner(recipe_of(patches, compile=compile), alone()) for compile in (False, True))
    assert plain.model is plain.network
    assert isinstance(compiled.model, OptimizedModule) and compiled.model._orig_mod is compiled.network
    assert all(map(torch.equal, plain.network.state_dict().values(), compiled.network.state_dict().values()))


def test_schedules() -> None:
    def courses(schedule: str, warm_up: float = 0.1) -> list[float]:
        return [rate(step, 100, warm_up, schedule) for step in range(100)]

    for schedule in ("cosine", "multistep", "constant"):
        assert courses(schedule)[:10] == pytest.approx([0.1 * step for step in range(1, 11)])
    assert courses("constant")[10:] == [1.0] * 90
    assert courses("multistep")[29:31] == pytest.approx([1.0, 0.2]) and courses("multistep")[59:61] == pytest.approx(
        [0.2, 0.04]
    )
    assert courses("cosine")[55] == pytest.approx(0.5) and courses("cosine")[-1] < 0.001
    assert courses("cosine")[10:] == sorted(courses("cosine")[10:], reverse=True)
    assert courses("multistep", warm_up=0)[0] == 1
    with pytest.raises(Misfit, match="cosine, multistep, constant"):
        rate(0, 10, 0, "linear")


def test_the_average_forgets_the_first_weights_and_follows_buffers() -> None:
    network = torch.nn.Sequential(torch.nn.Linear(1, 1), torch.nn.BatchNorm1d(1))
    averaged = Averaged(network, 0.9)
    with torch.no_grad():
        network[0].weight.fill_(1.0), averaged.network[0].weight.zero_()
        network[1].running_mean.fill_(3.0)
    seen = []
    for step in range(400):
        averaged.follow(network, step)
        seen.append(float(averaged.network[0].weight.detach()))
    assert seen[0] == pytest.approx(0.9), "after the first step a tenth of what was is left"
    expected = [seen[100] + (1 - seen[100]) * (1 - 0.9)]
    assert seen[101] == pytest.approx(expected[0], abs=1e-6)
    assert seen[-1] == pytest.approx(1) and float(averaged.network[1].running_mean) == 3
    assert not any(parameter.requires_grad for parameter in averaged.network.parameters())


P = [[0.7, 0.2, 0.1], [0.1, 0.8, 0.1], [0.3, 0.3, 0.4], [0.2, 0.2, 0.6]]
Y = [0, 1, 2, 2]


def toy(ignored: int = 2) -> tuple[torch.Tensor, torch.Tensor]:
    rows = P + [[0.98, 0.01, 0.01]] * ignored
    return torch.tensor(rows).log().T.reshape(1, 3, 1, -1), torch.tensor(
        Y + [255] * ignored, dtype=torch.uint8
    ).reshape(1, 1, -1)


def test_focal_loss_of_the_worked_example() -> None:
    total, weight = entropy_sums(*toy(), gamma=2.0)
    assert float(total / weight) == pytest.approx(0.1131558, abs=1e-6)
    assert float(entropy_sums(*toy(), gamma=1e-9)[0] / 4) == pytest.approx(0.5017337, abs=1e-5), (
        "without focus it is plain"
    )


@pytest.mark.parametrize("gamma", [0.0, 1e-9])
def test_smoothed_labels_are_shared_out(gamma: float) -> None:
    """By hand: 0.9 of -log p of the label, and 0.1 of the mean of -log p over the classes."""
    minus_log = -np.log(np.array(P))
    by_hand = 0.9 * minus_log[range(4), Y] + 0.1 * minus_log.mean(axis=1)
    assert float(entropy_sums(*toy(), gamma=gamma, smoothing=0.1)[0]) == pytest.approx(by_hand.sum(), rel=1e-4)


def test_even_weights_and_a_class_that_never_occurs() -> None:
    assert class_weights((10, 0, 1000), "even").tolist() == [1, 1, 1]
    assert class_weights((10, 0, 1000), "inverse_sqrt")[1] == 1


@pytest.mark.parametrize("cut", [1, 3])
def test_the_loss_of_parts_is_the_loss_of_all(cut: int) -> None:
    """Value and gradient; cross-entropy and Dice of the parts alone have other means."""
    torch.manual_seed(0)
    logits, truth = torch.randn(4, 5, 6, 6), torch.randint(0, 5, (4, 6, 6))
    truth[0, :3] = 255
    loss = SegmentationLoss(LossSettings(dice_weight=0.7), torch.tensor([1.0, 2.0, 0.5, 1.0, 3.0]))
    whole = logits.clone().requires_grad_()
    expected = segmentation_loss(whole, truth, loss.weights_K, 0.7)
    expected.backward()
    parted = logits.clone().requires_grad_()
    sums = [loss.sums(parted[rows], truth[rows], ()) for rows in (slice(cut), slice(cut, None))]
    total = sum(part.detach() for part in sums)
    values = [of_all(loss, part, total) for part in sums]
    for value in values:
        torch.testing.assert_close(value, expected)
        value.backward()
    torch.testing.assert_close(parted.grad, whole.grad)
    alone_ = [
        segmentation_loss(logits[rows], truth[rows], loss.weights_K, 0.7) for rows in (slice(cut), slice(cut, None))
    ]
    assert abs(float((sum(alone_) / 2 - expected).detach())) > 1e-3, (
        "the mean of the parts would do: the test tests nothing"
    )


def test_a_batch_without_labels_has_a_loss_of_zero_with_a_gradient() -> None:
    logits = torch.randn(1, 3, 4, 4, requires_grad=True)
    for settings in (LossSettings(), LossSettings(focal_gamma=2.0, label_smoothing=0.1)):
        loss = SegmentationLoss(settings, torch.ones(3))
        value = loss.of(loss.sums(logits, torch.full((1, 4, 4), 255), ()))
        value.backward()
        assert float(value) == 0 and logits.grad is not None and not logits.grad.any()


def test_a_focus_below_one_has_finite_slopes_where_pixels_are_known() -> None:
    logits = torch.tensor([50.0, 0.0, 0.0]).reshape(1, 3, 1, 1).requires_grad_()
    entropy_sums(logits, torch.zeros(1, 1, 1, dtype=torch.long), gamma=0.5)[0].backward()
    assert logits.grad.isfinite().all()


def test_weights_count_in_the_focal_loss_as_in_the_plain_one() -> None:
    weights = torch.tensor([0.5, 1.0, 2.0])
    total, weight = entropy_sums(*toy(), weights, gamma=1e-9)
    assert float(total / weight) == pytest.approx(float(cross_entropy(*toy(), weights)), rel=1e-4)


def test_a_warped_season_is_smooth_and_positive() -> None:
    rng = np.random.default_rng(0)
    factor = season_factor(200, 0.1, rng)
    assert 0.02 < factor.std() < 0.3 and abs(np.diff(factor)).max() < 0.05 and factor.min() > 0
    assert (season_factor(12, 5.0, rng) >= 0.1).all() and season_factor(1, 0.1, rng).shape == (1,)
    x = np.full((12, 2, 4, 4), 1000, np.uint16)
    x[3] = 0
    warped, _ = augment(x, np.zeros((4, 4), np.uint8), Augmentation(warp=0.3, drop=0), rng)
    assert (warped[3] == 0).all() and (np.delete(warped, 3, 0) >= 1).all()
