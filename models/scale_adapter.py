"""The light adapter of DepthSeg (arXiv 2506.14382): one 1x1 convolution for each scale of a frozen encoder."""

from torch import Tensor, nn


class ScaleAdapter(nn.Module):
    """Four maps (B, D, Y, X) to four of the same shape: 4 (D^2 + 3 D) parameters.

    The paper's text describes a plain block; `residual` adds what came in.
    """

    def __init__(self, dim: int, residual: bool = False) -> None:
        super().__init__()
        self.residual = residual
        self.scales = nn.ModuleList(_block(dim) for _ in range(4))

    def forward(self, maps: list[Tensor]) -> list[Tensor]:
        return [x + block(x) if self.residual else block(x) for x, block in zip(maps, self.scales, strict=True)]


def _block(dim: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(dim, dim, 1), nn.BatchNorm2d(dim), nn.ReLU())
