"""Losses against numbers worked out by hand, and where nothing is labelled."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from models.errors import Misfit
from models.losses import class_weights, cross_entropy, effective_number, focal_loss, segmentation_loss
from models.overlap_losses import dice_loss, squared_dice_loss, tversky_loss

P = [[0.7, 0.2, 0.1], [0.1, 0.8, 0.1], [0.3, 0.3, 0.4], [0.2, 0.2, 0.6]]
Y = [0, 1, 2, 2]


def toy(ignored: int = 0) -> tuple[Tensor, Tensor]:
    """The four pixels of the worked example, then pixels that are not labelled and surely wrong."""
    rows = P + [[0.98, 0.01, 0.01]] * ignored
    logits = torch.tensor(rows).log().T.reshape(1, 3, 1, -1)
    truth = torch.tensor(Y + [255] * ignored, dtype=torch.uint8).reshape(1, 1, -1)
    return logits, truth


@pytest.mark.parametrize("ignored", [0, 3])
def test_worked_examples(ignored: int) -> None:
    logits, truth = toy(ignored)
    assert float(cross_entropy(logits, truth)) == pytest.approx(0.5017337, abs=1e-6)
    assert float(cross_entropy(logits, truth, torch.tensor([0.5, 1.0, 2.0]))) == pytest.approx(0.5919479, abs=1e-6)
    assert float(dice_loss(logits, truth)) == pytest.approx(0.2718615, abs=1e-6)
    assert float(dice_loss(logits, truth, eps=0.0)) == pytest.approx(0.3754344, abs=1e-6)
    assert float(focal_loss(logits, truth)) == pytest.approx(0.1131558, abs=1e-6)


@pytest.mark.parametrize("ignored", [0, 3])
def test_variants_of_dice_by_hand(ignored: int) -> None:
    """Sums of p: 1.3, 1.5, 1.2; of p^2: 0.63, 0.81, 0.54; of g: 1, 1, 2; of both: 0.7, 0.8, 1.0."""
    logits, truth = toy(ignored)
    squared = [2.4 / (0.63 + 1 + 1), 2.6 / (0.81 + 1 + 1), 3.0 / (0.54 + 2 + 1)]
    assert float(squared_dice_loss(logits, truth)) == pytest.approx(1 - sum(squared) / 3, abs=1e-6)
    assert float(squared_dice_loss(logits, truth)) == pytest.approx(0.1049093, abs=1e-6)
    tversky = [1.7 / (0.7 + 0.18 + 0.21 + 1), 1.8 / (0.8 + 0.21 + 0.14 + 1), 2.0 / (1.0 + 0.06 + 0.7 + 1)]
    assert float(tversky_loss(logits, truth)) == pytest.approx(1 - sum(tversky) / 3, abs=1e-6)
    assert float(tversky_loss(logits, truth)) == pytest.approx(0.2082520, abs=1e-6)


def test_relations_between_losses() -> None:
    logits, truth = toy()
    halves = tversky_loss(logits, truth, false_positives=0.5, false_negatives=0.5, eps=0.5)
    torch.testing.assert_close(halves, dice_loss(logits, truth, eps=1.0))
    torch.testing.assert_close(focal_loss(logits, truth, gamma=0.0), cross_entropy(logits, truth))
    sure = torch.where(torch.arange(3)[None, :, None, None] == truth[:, None], 100.0, -100.0)
    for loss in (focal_loss, dice_loss, squared_dice_loss, tversky_loss):
        assert float(loss(sure, truth)) == pytest.approx(0.0, abs=1e-6)


def test_dice_without_background() -> None:
    logits, truth = toy()
    assert float(dice_loss(logits, truth, background=False)) == pytest.approx(1 - (0.7428571 + 0.7142857) / 2, abs=1e-6)


def test_dice_averages_over_the_classes_that_are_there() -> None:
    logits, truth = toy()
    extra = torch.cat([logits, torch.full_like(logits[:, :1], -100.0)], dim=1)
    assert float(dice_loss(extra, truth)) == pytest.approx(0.2718615, abs=1e-6)


def test_sum_of_both() -> None:
    logits, truth = toy()
    weights = torch.tensor([0.5, 1.0, 2.0])
    expected = cross_entropy(logits, truth, weights) + 0.5 * dice_loss(logits, truth, background=False)
    assert float(segmentation_loss(logits, truth, weights, dice_weight=0.5)) == pytest.approx(float(expected))


def test_weighted_entropy_is_that_of_torch() -> None:
    random = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 4, 5, 6, generator=random)
    truth = torch.randint(0, 5, (2, 5, 6), generator=random)
    truth[truth == 4] = 255
    weights = torch.tensor([0.2, 1.0, 3.0, 0.7])
    oracle = torch.nn.functional.cross_entropy(logits, truth, weights, ignore_index=255)
    torch.testing.assert_close(cross_entropy(logits, truth, weights), oracle)


LOSSES = (segmentation_loss, cross_entropy, focal_loss, dice_loss, squared_dice_loss, tversky_loss)


@pytest.mark.parametrize("loss_of", LOSSES, ids=lambda loss_of: loss_of.__name__)
def test_nothing_labelled_gives_zero_with_a_graph(loss_of: Callable[..., Tensor]) -> None:
    logits = torch.randn(2, 3, 4, 4, requires_grad=True)
    loss = loss_of(logits, torch.full((2, 4, 4), 255, dtype=torch.uint8))
    loss.backward()  # type: ignore[no-untyped-call]
    assert float(loss.detach()) == 0.0
    assert logits.grad is not None
    assert not logits.grad.any()


@pytest.mark.parametrize("loss_of", LOSSES, ids=lambda loss_of: loss_of.__name__)
def test_ignored_pixels_get_no_gradient(loss_of: Callable[..., Tensor]) -> None:
    logits, truth = toy(ignored=2)
    logits.requires_grad_()
    loss_of(logits, truth).backward()  # type: ignore[no-untyped-call]
    assert logits.grad is not None
    assert not logits.grad[..., 4:].any()
    assert logits.grad[..., :4].any()


def test_effective_numbers() -> None:
    n = np.array([1e2, 1e3, 1e4, 1e5, 1e6])
    expected = [1.0005e-2, 1.00500e-3, 1.05083e-4, 1.58197e-5, 1.00005e-5]
    np.testing.assert_allclose(effective_number(n, beta=0.99999), expected, rtol=1e-5)


def test_class_weights() -> None:
    np.testing.assert_allclose(class_weights([400, 100, 0]), [2 / 3, 4 / 3, 1.0], rtol=1e-6)
    assert class_weights([10**8, 10**6, 10**6, 100]).tolist()[0] == pytest.approx(0.2)
    effective = class_weights([10**6, 10**3], rule="effective_number")
    assert float(effective[1]) > float(effective[0])
    with pytest.raises(Misfit):
        class_weights([0, 0])
    with pytest.raises(Misfit):
        class_weights([1, 2], rule="inverse")
