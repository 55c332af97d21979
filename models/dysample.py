"""DySample upsampling (arXiv 2308.15085): the coarse map is read at points that it chooses itself."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.errors import Misfit

GROUPS = 4  # of channels that share their points
REACH = 0.25  # coarse cells: the centre of a fine pixel lies this far from that of its cell

# Axis legend: B patch, C channel, G group, S place in a coarse cell, Y row, X column (V, U on the fine map).


class DySample(nn.Module):
    """(B, C, Y, X) to (B, C, 2Y, 2X): bilinear at first, then with points that move to where the values belong."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        if channels % GROUPS:
            raise Misfit(f"width {channels}", f"DySample makes {GROUPS} groups.", f"Use a multiple of {GROUPS}.")
        self.offset = nn.Conv2d(channels, GROUPS * 4 * 2, 1)
        nn.init.normal_(self.offset.weight, std=0.001)
        assert self.offset.bias is not None
        nn.init.zeros_(self.offset.bias)

    def forward(self, coarse_BCYX: Tensor) -> Tensor:
        batch, channels, rows, columns = coarse_BCYX.shape
        offsets = REACH * self.offset(coarse_BCYX).float().reshape(batch, GROUPS, 4, 2, rows, columns)
        points_BGS2YX = offsets + _places(rows, columns, offsets)
        # S is row by row: its first half is the upper row of the cell.
        points = points_BGS2YX.reshape(batch * GROUPS, 2, 2, 2, rows, columns).permute(0, 4, 1, 5, 2, 3)
        grid = points.reshape(batch * GROUPS, 2 * rows, 2 * columns, 2)
        grid = 2 * grid / grid.new_tensor([columns, rows]) - 1
        grouped = coarse_BCYX.reshape(batch * GROUPS, -1, rows, columns).float()
        sampled = functional.grid_sample(grouped, grid, "bilinear", "border", align_corners=False)
        return sampled.reshape(batch, channels, 2 * rows, 2 * columns)


def _places(rows: int, columns: int, like: Tensor) -> Tensor:
    """Centres of the fine pixels in coarse cells, x before y: (S, 2, Y, X)."""
    y = torch.arange(rows, device=like.device) + 0.5
    x = torch.arange(columns, device=like.device) + 0.5
    centre_2YX = torch.stack([x.expand(rows, columns), y[:, None].expand(rows, columns)])
    shift_S2 = like.new_tensor([(across, down) for down in (-REACH, REACH) for across in (-REACH, REACH)])
    return centre_2YX + shift_S2[:, :, None, None]
