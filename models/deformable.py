"""Deformable attention over several maps (arXiv 2010.04159), in plain PyTorch: each query looks at a few points."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

# Axis legend: B patch, Q query, N value (all maps, one after the other), D feature, H head, L map, P point.

POINTS = 4

Grids = list[tuple[int, int]]
"""Rows and columns of each map."""


class DeformableAttention(nn.Module):
    """Queries at `places` (0 to 1, x before y) read `POINTS` points of each of `maps` maps, for each head."""

    def __init__(self, dim: int, heads: int, maps: int, value_share: float) -> None:
        super().__init__()
        self.heads, self.maps = heads, maps
        inner = int(value_share * dim)
        self.value, self.out = nn.Linear(dim, inner), nn.Linear(inner, dim)
        self.offsets = nn.Linear(dim, heads * maps * POINTS * 2)
        self.weights = nn.Linear(dim, heads * maps * POINTS)
        self._initialise()

    def _initialise(self) -> None:
        """Each head begins by looking one to four cells in a direction of its own, at all points alike."""
        angles = 2 * math.pi * torch.arange(self.heads) / self.heads
        ways = torch.stack([angles.cos(), angles.sin()], dim=1)
        ways = ways / ways.abs().amax(dim=1, keepdim=True)
        far = torch.arange(1, POINTS + 1)[:, None]
        with torch.no_grad():
            bias_HLP2 = (ways[:, None, None] * far).expand(self.heads, self.maps, POINTS, 2)
            self.offsets.bias.copy_(bias_HLP2.flatten())
            for constant in (self.offsets.weight, self.weights.weight, self.weights.bias):
                nn.init.zeros_(constant)
            for layer in (self.value, self.out):
                nn.init.xavier_uniform_(layer.weight)
                nn.init.zeros_(layer.bias)

    def forward(self, queries_BQD: Tensor, places_Q2: Tensor, values_BND: Tensor, grids: Grids) -> Tensor:
        batch, count, _ = queries_BQD.shape
        shape = (batch, count, self.heads, self.maps, POINTS)
        sides_L2 = places_Q2.new_tensor([(columns, rows) for rows, columns in grids])
        offsets = self.offsets(queries_BQD).reshape(*shape, 2) / sides_L2[:, None]
        where_BQHLP2 = places_Q2[:, None, None, None] + offsets
        weights_BQHLP = self.weights(queries_BQD).reshape(*shape[:3], -1).softmax(dim=-1).reshape(shape)
        read: Tensor = self.out(_read(self.value(values_BND), where_BQHLP2, weights_BQHLP, grids))
        return read


def _read(values_BND: Tensor, where_BQHLP2: Tensor, weights_BQHLP: Tensor, grids: Grids) -> Tensor:
    """The weighted sum of what lies at the points; ground beyond a map is 0."""
    batch, count, heads = where_BQHLP2.shape[:3]
    folded: list[Tensor] = []
    parts = torch.split(values_BND, [rows * columns for rows, columns in grids], dim=1)
    for level, (part, grid) in enumerate(zip(parts, grids, strict=True)):
        maps = part.transpose(1, 2).reshape(batch * heads, -1, *grid)
        points = where_BQHLP2[:, :, :, level].transpose(1, 2).flatten(0, 1).to(maps.dtype)
        found = functional.grid_sample(maps, 2 * points - 1, "bilinear", "zeros", align_corners=False)
        weights = weights_BQHLP[:, :, :, level].transpose(1, 2).flatten(0, 1)
        folded.append((found * weights[:, None]).sum(dim=-1))
    return torch.stack(folded).sum(dim=0).reshape(batch, -1, count).transpose(1, 2)


def centres(grids: Grids, like: Tensor) -> Tensor:
    """Of the cells of the maps, from 0 to 1, x before y: (N, 2)."""
    return torch.cat([_centres(rows, columns, like) for rows, columns in grids])


def _centres(rows: int, columns: int, like: Tensor) -> Tensor:
    y = (torch.arange(rows, device=like.device, dtype=torch.float32) + 0.5) / rows
    x = (torch.arange(columns, device=like.device, dtype=torch.float32) + 0.5) / columns
    return torch.stack([x.repeat(rows), y.repeat_interleave(columns)], dim=1)
