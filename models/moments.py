"""A cloudy series at any dates becomes a few moments of the season, each a gated average of the periods around."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from models.steady import Convolution, fixed, sigmoid
from models.timecode import sinusoids

CODE_WIDTH = 8
LEAST_EVIDENCE = (
    1e-3  # beside so little a moment counts as unseen: its estimate falls back to 0, the mean of all pixels
)

# Axis legend: B patch, T period, C band or channel, G gate's channel, M moment, P pixel.


class Moments(nn.Module):
    """Gates (0 to 1 for each pixel and period) see all periods, so that what sticks out, as clouds do, can be shut out.

    Where nothing was seen x must be 0, and its gate is shut. A period's say in a moment falls with the time between
    them, slowly enough that a long gap is filled from afar.
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
        gates = self._gates(x_BTCP.flatten(1, 2), seen_BTP.to(x_BTCP.dtype), when_BT)
        gated = x_BTCP * gates[:, :, None]
        say = self._say(when_BT).to(x_BTCP.dtype)
        sums = torch.unflatten(product(say, gated.flatten(2)), -1, (-1, x_BTCP.shape[-1]))
        evidence = product(say, gates)
        estimates = sums * (1 / (evidence + LEAST_EVIDENCE))[:, :, None]
        return estimates.flatten(1, 2), evidence / (1 + evidence)

    def _gates(self, x_BCP: Tensor, seen_BTP: Tensor, when_BT: Tensor) -> Tensor:
        looked = of_columns(self.of_values, x_BCP) + of_columns(self.of_seen, seen_BTP)
        looked = nn.functional.relu_(self.norm(looked[..., None])[..., 0])
        return sigmoid(of_columns(self.gates, looked) + self._by_date(when_BT)) * seen_BTP

    def of(self, when_T: Tensor) -> "FixedMoments":
        """For patches of these dates, when nothing is learned any more."""
        scale_G, shift_G = fixed(self.norm)
        of_values, of_seen = (layer.weight.flatten(1) * scale_G[:, None] for layer in (self.of_values, self.of_seen))
        assert self.gates.bias is not None
        by_date_T1 = self._by_date(when_T[None])[0] + self.gates.bias[:, None]
        say_MT = self._say(when_T[None])[0].to(self.date.weight.dtype)
        weights = of_values, of_seen, shift_G[:, None], self.gates.weight.flatten(1), by_date_T1, say_MT
        return FixedMoments(len(say_MT), *map(in_fours, weights))

    def _by_date(self, when_BT: Tensor) -> Tensor:
        """(B, T, 1): what its date adds to a period's gate."""
        found: Tensor = self.date(sinusoids(when_BT, CODE_WIDTH, self.length).to(self.date.weight.dtype))
        return found

    def _say(self, when_BT: Tensor) -> Tensor:
        """(B, M, T) of a Cauchy curve: 1 at the moment, a half one width away."""
        apart = when_BT[:, None] / self.length - self.places[:, None]
        return 1 / (1 + (apart / self.log_widths.exp()[:, None]) ** 2)


@dataclass(frozen=True, eq=False)
class FixedMoments:
    """The same of one patch, with all that does not depend on its pixels reckoned beforehand, and numbers in place.
    Rows of weights are filled up to fours.
    """

    moments: int
    of_values_GC: Tensor
    of_seen_GT: Tensor
    shift_G1: Tensor
    gates_TG: Tensor
    by_date_T1: Tensor
    say_MT: Tensor

    def __call__(self, x_TCP: Tensor, seen_TP: Tensor) -> tuple[Tensor, Tensor]:
        """The estimates of each moment (M x C, P), and the evidence for each (M, P), below 1."""
        seen, (periods, pixels), gate_width = seen_TP.to(x_TCP.dtype), seen_TP.shape, self.gates_TG.shape[1]
        looked_GP = torch.addmm(
            torch.addmm(self.shift_G1, self.of_seen_GT, seen), self.of_values_GC, x_TCP.flatten(0, 1)
        )
        opened_TP = torch.addmm(self.by_date_T1, self.gates_TG, looked_GP[:gate_width].relu_())[:periods]
        gates_TP = sigmoid(opened_TP).mul_(seen)
        gated_TCP = x_TCP * gates_TP[:, None]
        sums_MCP = torch.unflatten((self.say_MT @ gated_TCP.flatten(1))[: self.moments], -1, (-1, pixels))
        evidence_MP = (self.say_MT @ gates_TP)[: self.moments]
        estimates_MCP = sums_MCP.mul_((evidence_MP + LEAST_EVIDENCE).reciprocal_()[:, None])
        return estimates_MCP.flatten(0, 1), evidence_MP / (1 + evidence_MP)


def in_fours(weight_OC: Tensor) -> Tensor:
    """With rows of zeros. Of products of 5 to 7, or 9 to 11, rows MKL rounds some otherwise on AMD's processors when it
    has more than one thread."""
    return nn.functional.pad(weight_OC, (0, 0, 0, -len(weight_OC) % 4))


def of_columns(layer: Convolution, x_BCP: Tensor) -> Tensor:
    """What a 1x1 convolution says, as a product of matrices."""
    found = product(layer.weight.flatten(1).expand(len(x_BCP), -1, -1), x_BCP)
    return found if layer.bias is None else found + layer.bias[:, None]


def product(weight_BOC: Tensor, x_BCP: Tensor) -> Tensor:
    """For each patch; a single one is faster by itself."""
    return (weight_BOC[0] @ x_BCP[0])[None] if len(x_BCP) == 1 else torch.bmm(weight_BOC, x_BCP)
