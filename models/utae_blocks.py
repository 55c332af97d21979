"""What U-TAE is made of: layers in rows, a step down and a step up."""

from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from models.steady import Convolution, Doubling

GROUPS = 4  # of the encoder's GroupNorm


class Halving(nn.Module):
    """Half the resolution, then two convolutions, the second beside a shortcut."""

    def __init__(self, inputs: int, outputs: int, norm: str, padding: str) -> None:
        super().__init__()
        self.halve = nn.Sequential(*_layer(inputs, inputs, norm, padding, kernel=4, stride=2))
        self.one = layers([inputs, outputs], norm, padding)
        self.two = layers([outputs, outputs], norm, padding)

    def forward(self, x: Tensor) -> Tensor:
        x = self.one(self.halve(x))
        return x + self.two(x)  # type: ignore[no-any-return]


class Joining(nn.Module):
    """Twice the resolution, beside the skip; its norms are BatchNorm, as published."""

    def __init__(self, inputs: int, outputs: int, skip: int, padding: str) -> None:
        super().__init__()
        self.skip = nn.Sequential(Convolution(skip, skip, 1), nn.BatchNorm2d(skip), nn.ReLU())
        self.doubled = nn.Sequential(Doubling(inputs, outputs), nn.BatchNorm2d(outputs), nn.ReLU())
        self.one = layers([outputs + skip, outputs], "batch", padding)
        self.two = layers([outputs, outputs], "batch", padding)

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        x = self.one(torch.cat([self.doubled(x), self.skip(skip)], dim=1))
        return x + self.two(x)  # type: ignore[no-any-return]


def layers(widths: list[int], norm: str, padding: str) -> nn.Sequential:
    return nn.Sequential(*(layer for a, b in pairwise(widths) for layer in _layer(a, b, norm, padding)))


def _layer(inputs: int, outputs: int, norm: str, padding: str, kernel: int = 3, stride: int = 1) -> list[nn.Module]:
    options: dict[str, Any] = {"stride": stride, "padding_mode": padding}
    layer = nn.GroupNorm(GROUPS, outputs) if norm == "group" else nn.BatchNorm2d(outputs)
    return [Convolution(inputs, outputs, kernel, **options), layer, nn.ReLU()]
