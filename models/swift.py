"""Swift: a season compressed early into a few moments, then a slim U-Net; made for whole countries on few machines."""

from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn

from models.errors import Misfit
from models.moments import Moments
from models.network import Network, NetworkSettings
from models.reach import Span, before_convolution, before_doubling, before_halving, radius_of, union
from models.steady import Convolution, Layer

PIXELS_AT_ONCE = 8192  # four megabytes of twelve periods

# Axis legend: B patch, T period, C band or channel, K class, Y row, X column.


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


class Swift(Network):
    """Norms are fixed at inference. Skips are added, not laid beside: half the work at the full resolution."""

    settings: SwiftSettings

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
        x = self.first(self._compressed(x_BTCYX, seen_BTYX, when_BT))
        skips = []
        for block in self.down:
            skips.append(x)
            x = block(x)
        for block in self.bottom:
            x = block(x)
        for up, merge in zip(self.up, self.merge, strict=True):
            x = merge(up(x) + skips.pop())
        logits: Tensor = self.head(x)
        return logits

    def _compressed(self, x_BTCYX: Tensor, seen_BTYX: Tensor, when_BT: Tensor) -> Tensor:
        """Each pixel on its own; at inference on a CPU a few rows at a time, which stay in its cache."""
        if self.training or not x_BTCYX.is_cpu:
            return self._compressed_at_once(x_BTCYX, seen_BTYX, when_BT)
        rows = max(1, PIXELS_AT_ONCE // x_BTCYX.shape[-1])
        strips = zip(torch.split(x_BTCYX, rows, -2), torch.split(seen_BTYX, rows, -2), strict=True)
        return torch.cat([self._compressed_at_once(x, seen, when_BT) for x, seen in strips], dim=-2)

    def _compressed_at_once(self, x_BTCYX: Tensor, seen_BTYX: Tensor, when_BT: Tensor) -> Tensor:
        estimates, evidence = self.moments(x_BTCYX, seen_BTYX, when_BT)
        compressed: Tensor = self.of_estimates(estimates) + self.of_evidence(evidence)
        return compressed


class Residual(nn.Module):
    """Two convolutions beside a shortcut."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(Layer(width, width, 3), Layer(width, width, 3, last=True))

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.relu_(self.layers(x) + x)


def _halving(inputs: int, outputs: int, mixes: bool) -> nn.Sequential:
    mixing = [Layer(outputs, outputs, 3)] if mixes else []
    return nn.Sequential(Layer(inputs, outputs, 2, stride=2), *mixing)


def _initialise(layer: nn.Module) -> None:
    """He et al. 2015 for what is followed by a ReLU."""
    if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
        nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)
