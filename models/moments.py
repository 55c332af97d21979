"""A cloudy series at any dates becomes a few moments of the season, each a gated average of the periods around."""

import torch
from torch import Tensor, nn

from models.steady import Convolution, pointwise, sigmoid
from models.timecode import sinusoids

CODE_WIDTH = 8
LEAST_EVIDENCE = (
    1e-3  # beside so little a moment counts as unseen: its estimate falls back to 0, the mean of all pixels
)

# Axis legend: B patch, T period, C band or channel, M moment, Y row, X column.


class Moments(nn.Module):
    """Gates (0 to 1 for each pixel and period) see all periods, so that what sticks out, as clouds do, can be shut out.

    A period's say in a moment falls with the time between them, slowly enough that a long gap is filled from afar.
    """

    def __init__(self, bands: int, periods: int, count: int, gate_width: int, season: tuple[float, float]) -> None:
        super().__init__()
        first, last = season
        spacing = (last - first) / (count - 1)
        self.length = last - first
        self.places = nn.Parameter(torch.linspace(0, 1, count) + first / self.length)  # in lengths of the season
        self.log_widths = nn.Parameter(torch.full((count,), spacing / self.length).log())
        self.of_values = Convolution(periods * bands, gate_width, 1, bias=False)
        self.of_seen = Convolution(periods, gate_width, 1, bias=False)
        self.norm = nn.BatchNorm2d(gate_width)
        self.gates = Convolution(gate_width, periods, 1)
        self.date = nn.Linear(CODE_WIDTH, 1)

    def forward(self, x_BTCYX: Tensor, seen_BTYX: Tensor, when_BT: Tensor) -> tuple[Tensor, Tensor]:
        """The estimates of each moment (B, M x C, Y, X), and the evidence for each (B, M, Y, X), below 1."""
        bands = x_BTCYX.shape[2]
        seen = seen_BTYX.to(x_BTCYX.dtype).contiguous(memory_format=torch.channels_last)
        x = (x_BTCYX * seen_BTYX[:, :, None]).flatten(1, 2).contiguous(memory_format=torch.channels_last)
        gates = self._gates(x, seen, when_BT)
        every_period = torch.eye(len(gates[0]), dtype=x.dtype, device=x.device)
        gated = x * pointwise(gates, _for_each_row(every_period, bands))
        sums, evidence = self._gathered(gated, gates, self._say(when_BT).to(x.dtype), bands)
        return _divided(sums, evidence + LEAST_EVIDENCE), evidence / (1 + evidence)

    def _gates(self, x_BCYX: Tensor, seen_BTYX: Tensor, when_BT: Tensor) -> Tensor:
        looked = nn.functional.relu_(self.norm(self.of_values(x_BCYX) + self.of_seen(seen_BTYX)))
        by_date = self.date(sinusoids(when_BT, CODE_WIDTH, self.length).to(x_BCYX.dtype))
        return sigmoid(self.gates(looked) + by_date[..., None]) * seen_BTYX

    def _say(self, when_BT: Tensor) -> Tensor:
        """(B, M, T) of a Cauchy curve: 1 at the moment, a half one width away."""
        apart = when_BT[:, None] / self.length - self.places[:, None]
        return 1 / (1 + (apart / self.log_widths.exp()[:, None]) ** 2)

    def _gathered(self, gated: Tensor, gates: Tensor, say_BMT: Tensor, bands: int) -> tuple[Tensor, Tensor]:
        """Weighted sums over the periods, and the sums of the weights; each patch has its own dates."""
        bands_alone = torch.eye(bands, dtype=gated.dtype, device=gated.device)
        patches = list(zip(torch.split(gated, 1), torch.split(gates, 1), say_BMT, strict=True))
        sums = [pointwise(x, torch.kron(say, bands_alone)[:, :, None, None]) for x, _, say in patches]
        evidence = [pointwise(gate, say[:, :, None, None]) for _, gate, say in patches]
        return torch.cat(sums), torch.cat(evidence)


def _for_each_row(weights_OI: Tensor, times: int) -> Tensor:
    """A 1x1 convolution that says each of its answers several times."""
    return weights_OI.repeat_interleave(times, dim=0)[:, :, None, None]


def _divided(sums_BCYX: Tensor, evidence_BMYX: Tensor) -> Tensor:
    sums_BYXMC = torch.unflatten(sums_BCYX.permute(0, 2, 3, 1), -1, (evidence_BMYX.shape[1], -1))
    return (sums_BYXMC / evidence_BMYX.permute(0, 2, 3, 1)[..., None]).flatten(-2).permute(0, 3, 1, 2)
