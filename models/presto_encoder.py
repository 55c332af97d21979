"""Presto's encoder (arXiv 2304.14065): a pixel's series as tokens of channel groups and periods, to one vector."""

from math import pi

import torch
from torch import Tensor, nn

from models.presto_settings import GROUPS, PrestoSettings
from models.timecode import sinusoids
from models.transformer import Layer

LONGEST = 1000.0
"""Of the waves that say a period's place in the season."""

# Axis legend: N pixel, T period, C channel, G group of channels, L token (all periods of a group, then the next group),
# D feature.


class PrestoEncoder(nn.Module):
    """Reflectance from 0 to 1 and NDVI (N, T, C), where they were seen (N, T), and months (T) to features (N, D).

    What was not seen is no token: nobody asks it, and it is not in the mean. Months and positions are not learned, but
    are kept with the weights, so that those of an official file are the ones that it was trained with.
    """

    months: Tensor
    positions: Tensor
    place: Tensor

    def __init__(self, settings: PrestoSettings) -> None:
        super().__init__()
        self.settings = settings
        width, heads, expansion = settings.width, settings.heads, settings.expansion
        self.inward = nn.ModuleDict({name: nn.Linear(len(channels), width) for name, channels in GROUPS.items()})
        self.channels = nn.Parameter(torch.randn(len(GROUPS), width // 4))
        self.location = None if settings.location is None else nn.Linear(3, width)
        self.layers = nn.ModuleList(Layer(width, heads, 0.0, expansion, bias=True) for _ in range(settings.depth))
        self.norm = nn.LayerNorm(width)
        self.register_buffer("months", month_code(width // 4))
        self.register_buffer("positions", sinusoids(torch.arange(settings.periods), width // 2, LONGEST))
        self.register_buffer("place", on_the_sphere(settings.location or (0.0, 0.0)), persistent=False)
        self.apply(_initialise)
        self.requires_grad_(not settings.frozen)

    def forward(self, x_NTC: Tensor, seen_NT: Tensor, month_T: Tensor) -> Tensor:
        tokens_NLD, counts_NL = self._tokens(x_NTC, month_T), seen_NT.repeat(1, len(GROUPS))
        if self.location is not None:
            here_N1D = self.location(self.place).expand(len(tokens_NLD), 1, -1)
            tokens_NLD = torch.cat([here_N1D, tokens_NLD], dim=1)
            counts_NL = torch.cat([counts_NL.new_ones(len(counts_NL), 1), counts_NL], dim=1)
        asked_NL = counts_NL | ~counts_NL.any(dim=1, keepdim=True)  # where nothing was seen, a number must come out
        for layer in self.layers:
            tokens_NLD = layer(tokens_NLD, asked_NL)
        features_ND: Tensor = self.norm(_mean(tokens_NLD, counts_NL))
        return features_ND

    def _tokens(self, x_NTC: Tensor, month_T: Tensor) -> Tensor:
        groups = [layer(x_NTC[..., list(GROUPS[name])]) for name, layer in self.inward.items()]
        tokens_NGTD = torch.stack(groups, dim=1) + self._code(month_T)
        return tokens_NGTD.flatten(1, 2)

    def _code(self, month_T: Tensor) -> Tensor:
        """(G, T, D): a quarter for the month, a quarter for the group, half for the place in the season."""
        groups, periods = len(GROUPS), len(month_T)
        month_GTD = self.months[month_T].expand(groups, -1, -1)
        channel_GTD = self.channels[:, None].expand(-1, periods, -1)
        return torch.cat([month_GTD, channel_GTD, self.positions.expand(groups, -1, -1)], dim=-1)


def _mean(tokens_NLD: Tensor, counts_NL: Tensor) -> Tensor:
    weights_NL1 = counts_NL[..., None].to(tokens_NLD.dtype)
    return (tokens_NLD * weights_NL1).sum(dim=1) / weights_NL1.sum(dim=1).clamp(min=1)


def month_code(width: int) -> Tensor:
    """(12, width): the sine of a month's place in the year, half the width times, and its cosine."""
    angles = torch.arange(12)[:, None] * (2 * pi / 12)
    return torch.cat([angles.sin().expand(-1, width // 2), angles.cos().expand(-1, width // 2)], dim=1)


def on_the_sphere(location: tuple[float, float]) -> Tensor:
    """A latitude and a longitude in degrees as a point of the sphere of radius 1."""
    latitude, longitude = torch.tensor(location, dtype=torch.float32).deg2rad()
    return torch.stack([latitude.cos() * longitude.cos(), latitude.cos() * longitude.sin(), latitude.sin()])


def _initialise(layer: nn.Module) -> None:
    """As published, after the ViT."""
    if isinstance(layer, nn.Linear):
        nn.init.xavier_uniform_(layer.weight)
        nn.init.zeros_(layer.bias)
