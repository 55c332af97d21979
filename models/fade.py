"""FADE upsampling (arXiv 2207.10392): kernels from the fine map and the coarse one, and a gate between both."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.errors import Misfit

KERNEL = 5  # cells on a side of the coarse map that a fine pixel is made of
COMPRESSED = 64

# Axis legend: B patch, C channel, W weight of a kernel; rows and columns are Y, X on the coarse map, V, U on the fine.


class Fade(nn.Module):
    """A fine map (B, C, 2Y, 2X) and a coarse one (B, C, Y, X) to a fine one, twice the coarse.

    The paper slides one bank of kernels over four copies of the fine map, each shifted by half a coarse cell, with a
    stride of 2. Put together, those are the same bank at every fine pixel, which is how it is computed here.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.gate = nn.Conv2d(channels, 1, 1)
        self.fine = nn.Conv2d(channels, COMPRESSED, 1)
        self.coarse = nn.Conv2d(channels, COMPRESSED, 1, bias=False)
        self.bank = nn.Conv2d(COMPRESSED, KERNEL * KERNEL, 3, padding=1)
        nn.init.xavier_uniform_(self.gate.weight)
        nn.init.xavier_normal_(self.bank.weight)
        for layer in (self.gate, self.bank):
            assert layer.bias is not None
            nn.init.zeros_(layer.bias)

    def forward(self, fine_BCVU: Tensor, coarse_BCYX: Tensor) -> Tensor:
        check_twice(fine_BCVU, coarse_BCYX)
        gate_B1VU = _doubled(self.gate(coarse_BCYX)).sigmoid()
        made_BCVU = assembled(coarse_BCYX, self.kernels(fine_BCVU, coarse_BCYX))
        return gate_B1VU * fine_BCVU + (1 - gate_B1VU) * made_BCVU

    def kernels(self, fine_BCVU: Tensor, coarse_BCYX: Tensor) -> Tensor:
        """The weights (B, 25, 2Y, 2X) of each fine pixel: what both maps say is added, the bias once."""
        said_by_coarse = functional.conv2d(self.coarse(coarse_BCYX), self.bank.weight, padding=1)
        said_by_fine: Tensor = self.bank(self.fine(fine_BCVU))
        return (said_by_fine + _doubled(said_by_coarse)).softmax(dim=1)


def assembled(coarse_BCYX: Tensor, kernels_BWVU: Tensor) -> Tensor:
    """Each fine pixel as the weighted sum around its coarse cell (CARAFE, arXiv 1905.02188); 0 beyond the edge."""
    batch, channels, rows, columns = coarse_BCYX.shape
    around = functional.unfold(coarse_BCYX, KERNEL, padding=KERNEL // 2).reshape(batch, channels, -1, rows, columns)
    kernels = kernels_BWVU.reshape(batch, -1, rows, 2, columns, 2)  # the four places in a cell, next to their cell
    made: Tensor = torch.einsum("bcwyx,bwyixj->bcyixj", around, kernels.to(around.dtype))
    return made.reshape(batch, channels, 2 * rows, 2 * columns)


def check_twice(fine_BCVU: Tensor, coarse_BCYX: Tensor) -> None:
    """Both upsamplers need it: an odd fine map is to be padded by the caller."""
    if fine_BCVU.shape[-2:] != tuple(2 * side for side in coarse_BCYX.shape[-2:]):
        given = f"a fine map of {tuple(fine_BCVU.shape)} and a coarse one of {tuple(coarse_BCYX.shape)}"
        raise Misfit(given, "the fine one must have twice the sides.", "Pad it.")


def _doubled(x_BCYX: Tensor) -> Tensor:
    return x_BCYX.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)
