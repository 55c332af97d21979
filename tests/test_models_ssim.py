"""Structural similarity and the loss on it: worked examples, what changes nothing, and what counts for nothing."""

import numpy as np
import pytest
import torch

from models.errors import Misfit
from models.losses import cross_entropy
from models.ssim import SIGMA, WINDOW, similarity, ssim, ssim_loss, ssim_map
from models.structure_loss import prompted_loss, stretched, structure_loss

RANDOM = torch.Generator().manual_seed(3)
MAP = torch.rand(2, 1, 24, 31, generator=RANDOM)


def test_a_map_is_wholly_like_itself():
    assert float(ssim(MAP, MAP)) == pytest.approx(1.0, abs=1e-6)
    assert float(ssim_loss(MAP, MAP)) == pytest.approx(0.0, abs=1e-6)


def test_two_constants_differ_by_their_means_alone():
    grey, lighter = torch.full((1, 1, 16, 16), 0.5), torch.full((1, 1, 16, 16), 0.7)
    assert float(ssim(grey, lighter)) == pytest.approx(0.945953, abs=2e-6)


def test_a_negative_is_as_unlike_as_can_be():
    """Of a checkerboard: local means of a half and variances of a quarter; a Gaussian window nearly has them."""
    half, quarter = torch.tensor(0.5), torch.tensor(0.25)
    assert float(similarity(half, half, quarter, quarter, -quarter)) == pytest.approx(-0.996406, abs=1e-6)
    rows, columns = torch.meshgrid(torch.arange(20), torch.arange(20), indexing="ij")
    board = ((rows + columns) % 2).float()[None, None]
    assert float(ssim(board, 1 - board)) == pytest.approx(-0.996406, abs=1e-3)


def test_it_is_the_formula_of_one_window_at_each_place():
    other = torch.rand(2, 1, 24, 31, generator=RANDOM)
    found = ssim_map(MAP, other)
    assert found.shape == (2, 1, 24 - WINDOW + 1, 31 - WINDOW + 1)
    gauss = np.exp(-((np.arange(WINDOW) - WINDOW // 2) ** 2) / (2 * SIGMA**2))
    weights = np.outer(gauss, gauss) / np.outer(gauss, gauss).sum()
    x, y = (values[1, 0, 5 : 5 + WINDOW, 7 : 7 + WINDOW].double().numpy() for values in (MAP, other))
    mx, my = (weights * x).sum(), (weights * y).sum()
    vx, vy = (weights * (x - mx) ** 2).sum(), (weights * (y - my) ** 2).sum()
    cov = (weights * (x - mx) * (y - my)).sum()
    expected = (2 * mx * my + 1e-4) * (2 * cov + 9e-4) / ((mx**2 + my**2 + 1e-4) * (vx + vy + 9e-4))
    assert float(found[1, 0, 5, 7]) == pytest.approx(expected, abs=1e-5)


def test_half_precision_around_it_changes_nothing():
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(ssim_map(MAP, MAP.flip(3)), ssim_map(MAP, MAP.flip(3)).float())
        inside = ssim(MAP, MAP.flip(3))
    assert torch.equal(inside, ssim(MAP, MAP.flip(3)))


@pytest.mark.parametrize("shape", [(2, 1, 24, 30), (1, 1, 10, 40), (2, 2, 24, 31)])
def test_maps_that_cannot_be_compared_are_refused(shape):
    with pytest.raises(Misfit):
        ssim(torch.zeros(shape), MAP if shape[1] == 1 and shape[2] > 10 else torch.zeros(shape))


def test_stretching_is_by_percentiles_of_each_image():
    found = stretched(MAP, torch.ones_like(MAP, dtype=torch.bool))
    for image, unit in zip(MAP.numpy(), found.numpy(), strict=True):
        low, high = np.percentile(image, [2, 98])
        np.testing.assert_allclose(unit, np.clip((image - low) / (high - low), 0, 1), atol=1e-5)


def test_a_structure_has_neither_unit_nor_origin():
    assert float(structure_loss(40 * MAP + 300, MAP)) == pytest.approx(0.0, abs=1e-3)
    assert float(structure_loss(-MAP, MAP)) > 1.5


def test_what_has_no_target_counts_for_nothing():
    target = MAP.clone()
    target[:, :, :, 20:] = float("nan")
    one, other = MAP.clone(), MAP.clone()
    other[:, :, :, 20:] = 9.0
    assert float(structure_loss(one, target)) == pytest.approx(0.0, abs=1e-5)
    assert torch.equal(structure_loss(other, target), structure_loss(one, target))


def test_only_pixels_with_a_target_are_averaged():
    target, structure = MAP.clone(), MAP.flip(3)
    target[:, :, 4:15, 9:22] = float("nan")
    known = target.isfinite()
    similar = ssim_map(stretched(structure, known), stretched(target.nan_to_num(), known))
    expected = (1 - similar)[known[..., 5:-5, 5:-5]].mean()
    assert float(structure_loss(structure, target)) == pytest.approx(float(expected), abs=1e-6)


def test_no_target_at_all_gives_no_gradient_but_a_graph():
    structure = MAP.clone().requires_grad_()
    loss = structure_loss(structure, torch.full_like(MAP, float("nan")))
    loss.backward()
    assert loss.item() == 0 and not structure.grad.any()


def test_gradients_are_finite_beside_holes_and_lead_to_the_target():
    target = MAP.clone()
    target[0, :, 3:9] = float("nan")
    target[1] = float("nan")
    structure = torch.rand(MAP.shape, generator=RANDOM).requires_grad_()
    optimizer = torch.optim.Adam([structure], lr=0.02)
    losses = []
    for _ in range(60):
        optimizer.zero_grad()
        loss = structure_loss(structure, target)
        loss.backward()
        assert structure.grad.isfinite().all() and not structure.grad[1].any()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.3 * losses[0]


def test_both_losses_count_alike():
    logits, truth = torch.randn(2, 3, 24, 31, generator=RANDOM), torch.ones(2, 24, 31, dtype=torch.long)
    weights = torch.tensor([1.0, 2.0, 3.0])
    both = prompted_loss((logits, MAP), truth, MAP.flip(2), weights)
    assert torch.equal(both, cross_entropy(logits, truth, weights) + structure_loss(MAP, MAP.flip(2)))
