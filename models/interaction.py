"""What ViT-Adapter (arXiv 2205.08534) trades between a transformer's tokens and the maps beside it."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from models.deformable import DeformableAttention, Grids
from models.encoder_sizes import EncoderSize

EPS = 1e-6
DEVIATION = 0.02

# Axis legend: B patch, M token of the three maps, N token of the transformer, D feature.


@dataclass(frozen=True)
class Ground:
    """Where all tokens lie: the transformer's one grid and the three maps', with the centres of their cells."""

    grid: Grids
    maps: Grids
    grid_places_N2: Tensor
    map_places_M2: Tensor


class Injector(nn.Module):
    """Tells the tokens what the maps know. Its gate starts at 0, so that training starts from the plain transformer."""

    def __init__(self, size: EncoderSize) -> None:
        super().__init__()
        self.queries, self.values = (nn.LayerNorm(size.dim, eps=EPS) for _ in range(2))
        self.attention = DeformableAttention(size.dim, size.heads, 3, size.value_share)
        self.gate = nn.Parameter(torch.zeros(size.dim))

    def forward(self, tokens_BND: Tensor, maps_BMD: Tensor, ground: Ground) -> Tensor:
        asked, told = self.queries(tokens_BND), self.values(maps_BMD)
        heard: Tensor = self.attention(asked, ground.grid_places_N2, told, ground.maps)
        return tokens_BND + self.gate * heard


class Extractor(nn.Module):
    """Tells the maps what the tokens know."""

    def __init__(self, size: EncoderSize, drop_path: float) -> None:
        super().__init__()
        self.queries, self.values, self.last = (nn.LayerNorm(size.dim, eps=EPS) for _ in range(3))
        self.attention = DeformableAttention(size.dim, size.heads, 1, size.value_share)
        self.mix = ConvolvedFeedForward(size.dim)
        self.drop_path = drop_path

    def forward(self, maps_BMD: Tensor, tokens_BND: Tensor, ground: Ground) -> Tensor:
        asked, told = self.queries(maps_BMD), self.values(tokens_BND)
        maps_BMD = maps_BMD + self.attention(asked, ground.map_places_M2, told, ground.grid)
        return maps_BMD + self._dropped(self.mix(self.last(maps_BMD), ground.maps))

    def _dropped(self, x_BMD: Tensor) -> Tensor:
        """Stochastic depth (arXiv 1603.09382): while it trains, a patch goes without at this rate."""
        if not self.training or self.drop_path == 0:
            return x_BMD
        kept = (torch.rand(len(x_BMD), 1, 1, device=x_BMD.device) >= self.drop_path).to(x_BMD.dtype)
        return x_BMD * kept / (1 - self.drop_path)


class ConvolvedFeedForward(nn.Module):
    """A narrow feed-forward layer that looks at the neighbours, on each map by itself."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        inner = dim // 4
        self.narrow, self.wide = nn.Linear(dim, inner), nn.Linear(inner, dim)
        self.around = nn.Conv2d(inner, inner, 3, padding=1, groups=inner)
        for layer in (self.narrow, self.wide):
            nn.init.trunc_normal_(layer.weight, std=DEVIATION)
            nn.init.zeros_(layer.bias)

    def forward(self, maps_BMD: Tensor, grids: Grids) -> Tensor:
        narrow = self.narrow(maps_BMD)
        around = [self.around(x).flatten(2) for x in as_maps(narrow, grids)]
        wide: Tensor = self.wide(nn.functional.gelu(torch.cat(around, dim=2).transpose(1, 2)))
        return wide


def as_maps(tokens_BMD: Tensor, grids: Grids) -> list[Tensor]:
    """Tokens that lie one map after the other, each as (B, D, Y, X)."""
    parts = torch.split(tokens_BMD.transpose(1, 2), [rows * columns for rows, columns in grids], dim=2)
    return [part.reshape(*part.shape[:2], *grid) for part, grid in zip(parts, grids, strict=True)]
