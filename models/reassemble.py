"""From four maps of one token grid to a pyramid: 4, 2, 1 and one half times the grid (DPT, arXiv 2103.13413)."""

from collections.abc import Sequence

from torch import Tensor, nn


class Reassemble(nn.Module):
    """Maps (B, D, n, n) to widths `channels` and sides 4n, 2n, n and n/2, rounded up: 148, 74, 37, 19 for n = 37."""

    def __init__(self, dim: int, channels: Sequence[int]) -> None:
        super().__init__()
        one, two, _, four = channels
        self.projects = nn.ModuleList(nn.Conv2d(dim, width, 1) for width in channels)
        self.resizes = nn.ModuleList(
            (
                nn.ConvTranspose2d(one, one, 4, stride=4),
                nn.ConvTranspose2d(two, two, 2, stride=2),
                nn.Identity(),
                nn.Conv2d(four, four, 3, stride=2, padding=1),
            )
        )

    def forward(self, maps: list[Tensor]) -> list[Tensor]:
        steps = zip(maps, self.projects, self.resizes, strict=True)
        return [resize(project(x)) for x, project, resize in steps]
