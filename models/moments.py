"""A cloudy series at any dates becomes a few moments of the season, each a gated average of the periods around."""

import torch
from torch import Tensor, nn

from models.steady import Convolution, sigmoid
from models.timecode import sinusoids

CODE_WIDTH = 8
LEAST_EVIDENCE = (
    1e-3  # beside so little a moment counts as unseen: its estimate falls back to 0, the mean of all pixels
)

# Axis legend: B patch, T period, C band or channel, M moment, P pixel.


class Moments(nn.Module):
    """Gates (0 to 1 for each pixel and period) see all periods, so that what sticks out, as clouds do, can be shut out.

    A period's say in a moment falls with the time between them, slowly enough that a long gap is filled from afar.
    Pixels are columns of matrices: no map has to be turned about, and what is read in the order of its bands stays so.
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

    def forward(self, x_BTCP: Tensor, seen_BTP: Tensor, when_BT: Tensor) -> tuple[Tensor, Tensor]:
        """The estimates of each moment (B, M x C, P), and the evidence for each (B, M, P), below 1."""
        seen = seen_BTP.to(x_BTCP.dtype)
        x = x_BTCP * seen[:, :, None]
        gates = self._gates(x.flatten(1, 2), seen, when_BT)
        gated = x * gates[:, :, None]
        say = self._say(when_BT).to(x.dtype)
        sums = torch.unflatten(product(say, gated.flatten(2)), -1, (-1, x.shape[-1]))
        evidence = product(say, gates)
        estimates = sums / (evidence + LEAST_EVIDENCE)[:, :, None]
        return estimates.flatten(1, 2), evidence / (1 + evidence)

    def _gates(self, x_BCP: Tensor, seen_BTP: Tensor, when_BT: Tensor) -> Tensor:
        looked = of_columns(self.of_values, x_BCP) + of_columns(self.of_seen, seen_BTP)
        looked = nn.functional.relu_(self.norm(looked[..., None])[..., 0])
        by_date = self.date(sinusoids(when_BT, CODE_WIDTH, self.length).to(x_BCP.dtype))
        return sigmoid(of_columns(self.gates, looked) + by_date) * seen_BTP

    def _say(self, when_BT: Tensor) -> Tensor:
        """(B, M, T) of a Cauchy curve: 1 at the moment, a half one width away."""
        apart = when_BT[:, None] / self.length - self.places[:, None]
        return 1 / (1 + (apart / self.log_widths.exp()[:, None]) ** 2)


def of_columns(layer: Convolution, x_BCP: Tensor) -> Tensor:
    """What a 1x1 convolution says, as a product of matrices."""
    found = product(layer.weight.flatten(1).expand(len(x_BCP), -1, -1), x_BCP)
    return found if layer.bias is None else found + layer.bias[:, None]


def product(weight_BOC: Tensor, x_BCP: Tensor) -> Tensor:
    """For each patch; a single one is faster by itself."""
    return (weight_BOC[0] @ x_BCP[0])[None] if len(x_BCP) == 1 else torch.bmm(weight_BOC, x_BCP)
