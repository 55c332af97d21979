"""The depth decoder: DPT as in Depth Anything V2 (arXiv 2406.09414), so that its official weights fit."""

from torch import Tensor, nn
from torch.nn import functional

from models.encoder_sizes import PATCH, EncoderSize
from models.reassemble import Reassemble

HEAD = 32
"""Channels before the last convolution, in all sizes."""


class DepthDecoder(nn.Module):
    """Four maps of a token grid to fused features and, from the finest of them, relative inverse depth >= 0."""

    def __init__(self, size: EncoderSize) -> None:
        super().__init__()
        self.reassemble = Reassemble(size.dim, size.channels)
        self.laterals = nn.ModuleList(
            nn.Conv2d(width, size.features, 3, padding=1, bias=False) for width in size.channels
        )
        self.fusions = nn.ModuleList(Fusion(size.features, lateral=scale < 3) for scale in range(4))
        self.first = nn.Conv2d(size.features, size.features // 2, 3, padding=1)
        self.second = nn.Conv2d(size.features // 2, HEAD, 3, padding=1)
        self.third = nn.Conv2d(HEAD, 1, 1)
        assert self.third.bias is not None
        nn.init.constant_(self.third.bias, 0.5)  # a ReLU that starts below 0 everywhere would never learn

    def paths(self, maps: list[Tensor]) -> list[Tensor]:
        """Fused features, finest first: 8, 4, 2 and 1 times the token grid."""
        levels = [lateral(x) for lateral, x in zip(self.laterals, self.reassemble(maps), strict=True)]
        paths: list[Tensor] = []
        for scale in (3, 2, 1, 0):
            finer = [2 * side for side in levels[0].shape[-2:]] if scale == 0 else levels[scale - 1].shape[-2:]
            above = (paths[0], levels[scale]) if paths else (levels[scale], None)
            paths.insert(0, self.fusions[scale](*above, list(finer)))
        return paths

    def depth(self, finest_BFYX: Tensor) -> Tensor:
        """(B, 1, Y, X) of the encoder's picture."""
        picture = [side // 8 * PATCH for side in finest_BFYX.shape[-2:]]
        features = _upsampled(self.first(finest_BFYX), picture)
        depth: Tensor = self.third(self.second(features).relu()).relu()
        return depth

    def forward(self, maps: list[Tensor]) -> Tensor:
        return self.depth(self.paths(maps)[0])


class Fusion(nn.Module):
    """Adds a scale to what came from below, and enlarges to the next scale. The deepest has nothing to add to."""

    def __init__(self, features: int, lateral: bool) -> None:
        super().__init__()
        self.lateral = Residual(features) if lateral else None
        self.trunk = Residual(features)
        self.out = nn.Conv2d(features, features, 1)

    def forward(self, x: Tensor, level: Tensor | None, side: list[int]) -> Tensor:
        if self.lateral is not None and level is not None:
            x = x + self.lateral(level)
        enlarged: Tensor = self.out(_upsampled(self.trunk(x), side))
        return enlarged


class Residual(nn.Module):
    """Two convolutions, each after its ReLU."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(features, features, 3, padding=1)
        self.second = nn.Conv2d(features, features, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        changed: Tensor = self.second(self.first(x.relu()).relu())
        return x + changed


def _upsampled(x: Tensor, side: list[int]) -> Tensor:
    return functional.interpolate(x, size=side, mode="bilinear", align_corners=True)
