"""Swift: a season compressed early into a few moments, then a slim U-Net; made for whole countries on few machines."""

from dataclasses import dataclass
from itertools import pairwise
from math import isqrt

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from models.errors import Misfit
from models.flow import AnyMaps, Whole
from models.moments import Moments, in_fours, of_columns
from models.network import NetworkSettings, OfPixels, PixelsFirst
from models.reach import Span, before_convolution, before_doubling, before_halving, radius_of, union
from models.steady import Convolution, Layer, fixed

PIXELS_AT_ONCE = 4096
"""Two megabytes of twelve periods."""

CHUNK = 256
"""Rows of one of the cube."""

# Axis legend: B patch, T period, C band or channel, K class, P pixel, Y row, X column.


@dataclass(frozen=True)
class SwiftSettings(NetworkSettings):
    """`moments` are the points of the season, from the first to the last of `season` in the units of `when`, at which
    each pixel's series is estimated from the periods around; training moves them. In degree-days a season may be 0 to
    3500. `widths` runs from the full resolution to the bottom, which has `depth` blocks of two convolutions.
    """

    kind = "Swift"

    moments: int = 8
    season: tuple[float, float] = (0.0, 365.0)
    gate_width: int = 16
    widths: tuple[int, ...] = (24, 48, 96)
    depth: int = 2

    def __post_init__(self) -> None:
        object.__setattr__(self, "season", tuple(self.season))
        object.__setattr__(self, "widths", tuple(self.widths))
        super().__post_init__()
        _check(self)

    @property
    def stride(self) -> int:
        return 1 << (len(self.widths) - 1)

    @property
    def window(self) -> int:
        """Where it does not flow: larger ones have less halo."""
        return 1024

    @property
    def flow(self) -> int:
        return 2048

    @property
    def finest(self) -> int:
        return self.widths[0]

    def mapping_bytes(self, pixels: int) -> int:
        """Of a cube in a bucket counts lie there whole, and what was made of each pixel alone; of pixels as floats
        there is one piece, in six states at most, and of maps at full size, which flow, nine of some rows."""
        piece = 4 * 6 * PIXELS_AT_ONCE * self.bands * max(self.periods, self.moments)
        rows = min(isqrt(pixels), CHUNK + 2 * self.halo)
        flowing = 4 * 9 * self.finest * rows * isqrt(pixels)
        return pixels * (2 * self.bands * self.periods + 4 * self.finest) + flowing + piece

    @property
    def receptive_radius(self) -> int:
        return radius_of(self._seen_by, self.stride)

    def _seen_by(self, span: Span) -> Span:
        levels, paths = len(self.widths) - 1, []
        for level in range(levels):
            span = before_convolution(span, 3)
            paths.append(self._before_encoder(span, level))
            span = before_doubling(span, 2)
        return union(*paths, self._before_encoder(before_convolution(span, 4 * self.depth + 1), levels))

    def _before_encoder(self, span: Span, level: int) -> Span:
        """The bottom has blocks of its own instead of the convolution that mixes at each other resolution."""
        for coarse in range(level, 0, -1):
            span = before_halving(span if coarse == len(self.widths) - 1 else before_convolution(span, 3))
        return before_convolution(span, 3)


def _check(settings: SwiftSettings) -> None:
    if len(settings.season) != 2 or not settings.season[0] < settings.season[1]:
        raise Misfit(f"season {settings.season}", "it runs from an earlier to a later time.", "Write e.g. 0, 365.")
    if len(settings.widths) < 2 or min(settings.widths) < 1:
        raise Misfit(f"widths {settings.widths}", "two resolutions or more are needed.", "Write e.g. 24, 48, 96.")
    if settings.moments < 2 or min(settings.gate_width, settings.depth) < 1:
        given = f"{settings.moments} moments, gate_width {settings.gate_width}, depth {settings.depth}"
        raise Misfit(given, "two moments, and one of the others, are the least.", "Write e.g. 8, 16 and 2.")


class Swift(PixelsFirst):
    """Norms are fixed at inference. Skips are added, not laid beside: half the work at the full resolution."""

    settings: SwiftSettings
    pixels_at_once = PIXELS_AT_ONCE

    def __init__(self, settings: SwiftSettings) -> None:
        super().__init__()
        self.settings = settings
        widths = settings.widths
        self.moments = Moments(settings.bands, settings.periods, settings.moments, settings.gate_width, settings.season)
        self.of_estimates = Convolution(settings.moments * settings.bands, widths[0], 1, bias=False)
        self.of_evidence = Convolution(settings.moments, widths[0], 1, bias=False)
        self.first = nn.Sequential(nn.BatchNorm2d(widths[0]), nn.ReLU(inplace=True), Layer(widths[0], widths[0], 3))
        steps = list(pairwise(widths))
        self.down = nn.ModuleList(_halving(a, b, mixes=level < len(steps)) for level, (a, b) in enumerate(steps, 1))
        self.bottom = nn.ModuleList(Residual(widths[-1]) for _ in range(settings.depth))
        self.up = nn.ModuleList(nn.ConvTranspose2d(b, a, 2, stride=2) for a, b in reversed(steps))
        self.merge = nn.ModuleList(Layer(a, a, 3) for a, _ in reversed(steps))
        self.head = Convolution(widths[0], settings.classes, 1)
        self.apply(_initialise)

    @property
    def last_bias(self) -> Tensor:
        assert self.head.bias is not None
        return self.head.bias

    def forward(self, x_BTCYX: Tensor, seen_BTYX: Tensor, when_BT: Tensor) -> Tensor:
        if self.training or not seen_BTYX.all():
            x_BTCYX = x_BTCYX * seen_BTYX[:, :, None]
        x_BTCP, seen_BTP = x_BTCYX.flatten(-2), seen_BTYX.flatten(-2)
        maps_BPC = (self._learning if self.training else self._fixed)(x_BTCP, seen_BTP, when_BT)
        maps = Whole(torch.unflatten(maps_BPC, 1, x_BTCYX.shape[-2:]).permute(0, 3, 1, 2))
        return self.around(maps).x

    def alone(self, when_T: Tensor) -> OfPixels:
        norm = self.first[0]
        assert isinstance(norm, _BatchNorm)
        moments, (scale_C, shift_C) = self.moments.of(when_T), fixed(norm)
        of_estimates, of_evidence = (
            in_fours(layer.weight.flatten(1) * scale_C[:, None]) for layer in (self.of_estimates, self.of_evidence)
        )
        shift_C1 = in_fours(shift_C[:, None])

        def of_pixels(x_TCP: Tensor, seen_TP: Tensor) -> Tensor:
            estimates, evidence = moments(x_TCP, seen_TP)
            maps_CP = torch.addmm(shift_C1, of_evidence, evidence)
            return torch.addmm(maps_CP, of_estimates, estimates)[: len(shift_C)].relu_()

        return of_pixels

    def _learning(self, x_BTCP: Tensor, seen_BTP: Tensor, when_BT: Tensor) -> Tensor:
        estimates, evidence = self.moments(x_BTCP, seen_BTP, when_BT)
        maps_BCP: Tensor = of_columns(self.of_estimates, estimates) + of_columns(self.of_evidence, evidence)
        normed: Tensor = self.first[:2](maps_BCP[..., None])[..., 0]
        return normed.transpose(1, 2)

    def _fixed(self, x_BTCP: Tensor, seen_BTP: Tensor, when_BT: Tensor) -> Tensor:
        return torch.stack([self.each_pixel(*patch) for patch in zip(x_BTCP, seen_BTP, when_BT, strict=True)])

    def around(self, maps: AnyMaps, margin: int = 0) -> AnyMaps:
        """Once coarse maps are made, what only the margin needs is cut away: the same bits, and less work."""
        x, skips = maps.wide(self.first[2]), []
        for halving in self.down:
            x, skip = x.twice()
            skips.append(skip)
            first, *mixing = halving.children()
            x = x.halved(first)
            for layer in mixing:
                x = x.wide(layer)
        margin -= margin % self.settings.stride
        beyond = margin // self.settings.stride
        for left, block in zip(range(len(self.bottom), 0, -1), self.bottom, strict=True):
            x, beyond = _cut(x, beyond, 1 + 2 * left)
            x = block(x)
        for level, up, merge in zip(range(len(skips) - 1, -1, -1), self.up, self.merge, strict=True):
            need = min(level, 1)
            x, beyond = _cut(x, beyond, 1)
            x, beyond = _cut(x.doubled(up), 2 * beyond, need + 1)
            x = x.plus(_cut(skips.pop(), margin >> level, beyond)[0])
            x, beyond = _cut(x.wide(merge), beyond, need)
        return x.through(self.head)


class Residual(nn.Module):
    """Two convolutions beside a shortcut."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(Layer(width, width, 3), Layer(width, width, 3, last=True))

    def forward(self, maps: AnyMaps) -> AnyMaps:
        x, beside = maps.twice()
        for layer in self.layers:
            x = x.wide(layer)
        return x.plus(beside).through(nn.functional.relu_)


def _cut(maps: AnyMaps, beyond: int, wanted: int) -> tuple[AnyMaps, int]:
    """Of so many pixels around what is asked for, so many are left."""
    cut = max(beyond - wanted, 0)
    return maps.cut(cut), beyond - cut


def _halving(inputs: int, outputs: int, mixes: bool) -> nn.Sequential:
    mixing = [Layer(outputs, outputs, 3)] if mixes else []
    return nn.Sequential(Layer(inputs, outputs, 2, stride=2), *mixing)


def _initialise(layer: nn.Module) -> None:
    """He et al. 2015 for what is followed by a ReLU."""
    if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
        nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)
