"""The spatial prior of ViT-Adapter (arXiv 2205.08534): convolutions that see what a token of 14 pixels blurs."""

from itertools import accumulate

import torch
from torch import Tensor, nn

from models.convolution import convolution
from models.deformable import Grids
from models.picture import resized

WIDTH = 64  # of the stem
FINEST = 4
"""Cells of the finest map on the side of a token."""


class SpatialPrior(nn.Module):
    """Pixels (B, C, Y, X) to four maps of width D with 4, 2, 1 and one half cells on the side of a token.

    `stem_stride` 4 is the paper's: pixels are first enlarged to 16 for each token. With 1, the finest map is made of
    pixels as they are (4 for each token): a stride of 4 would blur fields that are four pixels wide.
    """

    def __init__(self, channels: int, dim: int, stem_stride: int) -> None:
        super().__init__()
        self.stem_stride = stem_stride
        step = 2 if stem_stride == 4 else 1
        self.stem = nn.Sequential(
            convolution(channels, WIDTH, step),
            convolution(WIDTH, WIDTH),
            convolution(WIDTH, WIDTH),
            nn.MaxPool2d(3, stride=step, padding=1),
        )
        widths = (WIDTH, 2 * WIDTH, 4 * WIDTH, 4 * WIDTH)
        self.coarser = nn.ModuleList(convolution(a, b, 2) for a, b in zip(widths[:-1], widths[1:], strict=True))
        self.projects = nn.ModuleList(nn.Conv2d(width, dim, 1) for width in widths)
        self.level = nn.Parameter(torch.randn(3, dim))

    def forward(self, pixels_BCYX: Tensor, grid: tuple[int, int]) -> tuple[Tensor, Tensor, Grids]:
        """The finest map; the tokens of the other three, one after the other; and their grids."""
        rows, columns = (FINEST * self.stem_stride * side for side in grid)
        stem = self.stem(resized(pixels_BCYX, rows, columns))
        maps = accumulate(self.coarser, lambda x, layer: layer(x), initial=stem)
        finest, *others = (project(x) for project, x in zip(self.projects, maps, strict=True))
        tokens = [x.flatten(2).transpose(1, 2) + level for x, level in zip(others, self.level, strict=True)]
        return finest, torch.cat(tokens, dim=1), [(x.shape[-2], x.shape[-1]) for x in others]
