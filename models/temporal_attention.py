"""Lightweight temporal attention (L-TAE, after arXiv 2007.00586 and 2107.07933): each pixel's periods become one."""

import torch
from torch import Tensor, nn

from models.steady import Convolution, pointwise, softmax, total
from models.timecode import sinusoids

ATTENTION_DROPOUT = 0.1
UNSEEN = -1e3  # a score whose power is exactly 0 beside any other; where nothing was seen, all periods weigh the same

# Axis legend: B patch, T period, C channel, H head, Y row, X column.


class TemporalAttention(nn.Module):
    """Each head asks every period one learned question, and gathers its own slice of the channels by the answers.

    Its norms look at one position only, over channels and periods, so a window does not show in them.
    """

    def __init__(self, width: int, heads: int, model_width: int, key_width: int, period: float, dropout: float) -> None:
        super().__init__()
        self.heads, self.period = heads, period
        self.in_norm = nn.GroupNorm(heads, width)
        self.inward = Convolution(width, model_width, 1)
        self.query = nn.Parameter(torch.randn(heads, key_width) * (2 / key_width) ** 0.5)
        self.keys = nn.Linear(model_width, heads * key_width)
        nn.init.normal_(self.keys.weight, std=(2 / key_width) ** 0.5)
        self.outward = nn.Sequential(Convolution(model_width, width, 1), nn.BatchNorm2d(width), nn.ReLU())
        self.out_norm = nn.GroupNorm(heads, width)
        self.attention_dropout, self.dropout = nn.Dropout(ATTENTION_DROPOUT), nn.Dropout(dropout)

    def forward(self, x_BTCYX: Tensor, seen_BTYX: Tensor, when_BT: Tensor) -> tuple[Tensor, Tensor]:
        """The gathered map (B, C, Y, X), and how each head weighs the periods (B, T, H, Y, X)."""
        values = self._values(x_BTCYX, when_BT)
        attention = self.attention_dropout(softmax(self._scores(values, seen_BTYX), dim=1))
        gathered = self.dropout(self.outward(gather(attention, values)))
        return _normalised_at_each_position(self.out_norm, gathered[:, None])[:, 0], attention

    def _values(self, x_BTCYX: Tensor, when_BT: Tensor) -> Tensor:
        x = self.inward(_normalised_at_each_position(self.in_norm, x_BTCYX).flatten(0, 1))
        code = sinusoids(when_BT, x.shape[1] // self.heads, self.period).repeat(1, 1, self.heads)
        return torch.unflatten(x, 0, when_BT.shape) + code.to(x.dtype)[..., None, None]

    def _scores(self, values_BTCYX: Tensor, seen_BTYX: Tensor) -> Tensor:
        """A learned query makes of a key one linear function of the value, so the keys themselves need not be made."""
        question = self.query / self.query.shape[1] ** 0.5
        weight_HC = total(question[..., None] * torch.unflatten(self.keys.weight, 0, question.shape), dim=1)
        bias_H = total(question * torch.unflatten(self.keys.bias, 0, question.shape), dim=1)
        scores = pointwise(values_BTCYX.flatten(0, 1), weight_HC[:, :, None, None], bias_H)
        return torch.unflatten(scores, 0, seen_BTYX.shape[:2]).masked_fill(~seen_BTYX[:, :, None], UNSEEN)


def gather(weights_BTHYX: Tensor, x_BTCYX: Tensor) -> Tensor:
    """The weighted sum over the periods (B, C, Y, X), each head with its slice of the channels."""
    grouped = torch.unflatten(x_BTCYX, 2, (weights_BTHYX.shape[2], -1))
    gathered = weights_BTHYX[:, 0, :, None] * grouped[:, 0]
    for period in range(1, grouped.shape[1]):
        gathered = gathered + weights_BTHYX[:, period, :, None] * grouped[:, period]
    return gathered.flatten(1, 2).contiguous(memory_format=torch.channels_last)


def _normalised_at_each_position(norm: nn.GroupNorm, x_BTCYX: Tensor) -> Tensor:
    """Positions side by side, so that each has its own statistics over its channels and periods."""
    x_BYXCT = x_BTCYX.permute(0, 3, 4, 2, 1)
    normalised: Tensor = norm(x_BYXCT.flatten(0, 2)).view(x_BYXCT.shape)
    return normalised.permute(0, 4, 1, 2, 3).contiguous().permute(0, 1, 4, 2, 3)
