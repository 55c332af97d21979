"""Upsamplers against plain loops: where a kernel comes from, what it weighs, and what a shift does to it."""

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from models.dysample import DySample
from models.errors import Misfit
from models.fade import KERNEL, Fade, assembled
from models.upsampling import UPSAMPLERS, check_upsampler

RANDOM = torch.Generator().manual_seed(11)
CHANNELS = 8
FINE = torch.randn(2, CHANNELS, 12, 20, generator=RANDOM)
COARSE = torch.randn(2, CHANNELS, 6, 10, generator=RANDOM)


@pytest.fixture
def fade() -> Fade:
    torch.manual_seed(0)
    made = Fade(CHANNELS)
    with torch.no_grad():
        made.bank.bias.normal_()
        made.gate.bias.fill_(0.3)
    return made


def places(kernels_BWVU: Tensor) -> list[Tensor]:
    """The maps of the four places in a coarse cell: top left, top right, bottom left, bottom right."""
    return [kernels_BWVU[..., down::2, across::2] for down in (0, 1) for across in (0, 1)]


def test_kernels_are_those_of_the_four_half_shifted_copies(fade):
    """As in the paper: pad one side of each axis, slide with a stride of 2, add what the coarse map says, softmax."""
    fine, coarse = fade.fine(FINE), fade.coarse(COARSE)
    coarse_says = functional.conv2d(coarse, fade.bank.weight, padding=1)
    found = places(fade.kernels(FINE, COARSE))
    pads = [(1, 0, 1, 0), (0, 1, 1, 0), (1, 0, 0, 1), (0, 1, 0, 1)]  # left, right, top, bottom
    for kernels, pad in zip(found, pads, strict=True):
        fine_says = functional.conv2d(functional.pad(fine, pad), fade.bank.weight, fade.bank.bias, stride=2)
        torch.testing.assert_close(kernels, (fine_says + coarse_says).softmax(dim=1), rtol=1e-4, atol=1e-6)


def test_shifting_the_fine_map_by_one_pixel_swaps_the_places(fade):
    """On a map that is not square; the coarse map says the same everywhere, so only the shift can show."""
    coarse = torch.zeros_like(COARSE)
    top_left, top_right, bottom_left, bottom_right = places(fade.kernels(FINE, coarse))
    across = places(fade.kernels(FINE.roll(-1, dims=3), coarse))
    inner = (..., slice(1, -1), slice(1, -2))
    for found, expected in zip(across[::2], (top_right, bottom_right), strict=True):
        torch.testing.assert_close(found[inner], expected[inner], rtol=1e-4, atol=1e-6)
    for found, expected in zip(across[1::2], (top_left, bottom_left), strict=True):
        torch.testing.assert_close(found[inner], expected[..., 1:][inner[:2] + (slice(1, -1),)], rtol=1e-4, atol=1e-6)
    down = places(fade.kernels(FINE.roll(-1, dims=2), coarse))
    torch.testing.assert_close(down[0][..., 1:-2, 1:-1], bottom_left[..., 1:-2, 1:-1], rtol=1e-4, atol=1e-6)
    assert not torch.allclose(top_left, bottom_left, atol=1e-3)


def test_a_fine_pixel_is_the_weighted_sum_around_its_coarse_cell():
    kernels = torch.rand(2, KERNEL * KERNEL, 12, 20, generator=RANDOM)
    found = assembled(COARSE, kernels)
    around = functional.pad(COARSE, (2, 2, 2, 2))
    for v, u in [(0, 0), (5, 13), (11, 19), (6, 1)]:
        cell = around[:, :, v // 2 : v // 2 + KERNEL, u // 2 : u // 2 + KERNEL]
        expected = (cell * kernels[:, None, :, v, u].reshape(2, 1, KERNEL, KERNEL)).sum(dim=(2, 3))
        torch.testing.assert_close(found[:, :, v, u], expected, rtol=1e-5, atol=1e-5)


def test_the_gate_of_a_cell_chooses_between_fine_and_made(fade):
    made = assembled(COARSE, fade.kernels(FINE, COARSE))
    gate = functional.interpolate(fade.gate(COARSE), scale_factor=2, mode="nearest").sigmoid()
    torch.testing.assert_close(fade(FINE, COARSE), gate * FINE + (1 - gate) * made)
    with torch.no_grad():
        fade.gate.bias.fill_(100.0)
    torch.testing.assert_close(fade(FINE, COARSE), FINE)


def test_fade_wants_twice_the_sides(fade):
    with pytest.raises(Misfit):
        fade(FINE[..., :-1], COARSE)


@pytest.fixture
def still() -> DySample:
    made = DySample(CHANNELS)
    torch.nn.init.zeros_(made.offset.weight)
    return made


def test_points_that_do_not_move_are_bilinear(still):
    expected = functional.interpolate(COARSE, scale_factor=2, mode="bilinear", align_corners=False)
    torch.testing.assert_close(still(COARSE), expected, rtol=1e-5, atol=1e-5)


def test_a_point_moves_by_its_offset_in_coarse_cells(still):
    """Place by place and group by group: x of the first group's lower right place, by one cell."""
    with torch.no_grad():
        still.offset.bias.view(4, 4, 2)[0, 3, 0] = 4.0  # times a quarter
    moved, plain = still(COARSE), functional.interpolate(COARSE, scale_factor=2, mode="bilinear", align_corners=False)
    torch.testing.assert_close(moved[:, :2, 1::2, 1:-2:2], plain[:, :2, 1::2, 3::2], rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(moved[:, 2:], plain[:, 2:], rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(moved[:, :2, ::2], plain[:, :2, ::2], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", UPSAMPLERS)
@pytest.mark.parametrize("side", [(12, 20), (11, 19)])
def test_every_upsampler_gives_the_fine_maps_size_and_uses_both_maps(name, side):
    torch.manual_seed(1)
    up = UPSAMPLERS[name](CHANNELS)
    fine = FINE[..., : side[0], : side[1]].clone().requires_grad_()
    coarse = COARSE.clone().requires_grad_()
    made = up(fine, coarse)
    assert made.shape == fine.shape
    made.square().sum().backward()
    assert fine.grad.abs().sum() > 0 and coarse.grad.abs().sum() > 0
    assert all(parameter.grad is not None and parameter.grad.abs().sum() > 0 for parameter in up.parameters())


def test_widths_and_names_that_build_nothing_are_refused():
    with pytest.raises(Misfit):
        DySample(6)
    with pytest.raises(Misfit):
        check_upsampler("carafe")
