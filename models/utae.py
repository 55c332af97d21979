"""U-TAE (after arXiv 2107.07933): a U-Net over every period, and attention that says how much each period counts."""

from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn

from models.errors import Misfit
from models.network import Network, NetworkSettings
from models.reach import Span, before_convolution, before_doubling, before_magnifying, radius_of, union
from models.steady import magnified, total
from models.temporal_attention import TemporalAttention, gather
from models.utae_blocks import GROUPS, Halving, Joining, layers

KEY_WIDTH = 4
LAST_WIDTH = 32  # channels before the last convolution
CHOICES = {
    "norm": ("batch", "group"),
    "aggregation": ("att_group", "att_mean", "mean"),
    "padding": ("zeros", "reflect"),
    "mask": ("pixel", "frame"),
}


@dataclass(frozen=True)
class UTAESettings(NetworkSettings):
    """Widths run from the full resolution to the bottom.

    `norm` is the encoder's: "batch" for seamless maps, "group" as published, where the whole window speaks into every
    pixel. (The other norms look at one position, or are fixed at inference.) `aggregation` makes one skip of many
    periods: by attention, each head for its group of channels or all heads' mean for all, or by the plain mean.
    `mask="pixel"` lets a period count where it was seen; "frame" lets it count in the whole window if it was seen
    anywhere there, as published. `time_period` is the longest wave of the time code: 1000 for days, 10000 for
    degree-days. `published_head` ends in BatchNorm and ReLU as the released code does, so no logit is negative.
    """

    kind = "U-TAE"

    widths: tuple[int, ...] = (64, 64, 64, 128)
    decoder_widths: tuple[int, ...] = (32, 32, 64, 128)
    heads: int = 16
    model_width: int = 256
    norm: str = "batch"
    aggregation: str = "att_group"
    padding: str = "zeros"
    mask: str = "pixel"
    time_period: float = 1000.0
    dropout: float = 0.2
    published_head: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "widths", tuple(self.widths))
        object.__setattr__(self, "decoder_widths", tuple(self.decoder_widths))
        super().__post_init__()
        _check(self)

    @property
    def stride(self) -> int:
        return 1 << (len(self.widths) - 1)

    @property
    def receptive_radius(self) -> int:
        return radius_of(lambda span: _before_decoder(before_convolution(span, 5), 0, len(self.widths)), self.stride)

    @property
    def finest(self) -> int:
        """Each period has its map."""
        return max(self.widths[0] * self.periods // 2, self.widths[0])

    @property
    def is_seamless(self) -> bool:
        return self.norm == "batch" and self.mask == "pixel"


def _before_decoder(span: Span, level: int, levels: int) -> Span:
    """Two 3x3 convolutions count as one 5x5 one. Attention comes from the bottom, whatever the level."""
    if level == levels - 1:
        return _before_encoder(span, level)
    span = before_convolution(span, 5)
    attention = _before_encoder(before_magnifying(span, 1 << (levels - 1 - level)), levels - 1)
    return union(_before_encoder(span, level), attention, _before_decoder(before_doubling(span), level + 1, levels))


def _before_encoder(span: Span, level: int) -> Span:
    for _ in range(level):
        span = before_convolution(before_convolution(span, 5), 4, stride=2)
    return before_convolution(span, 5)


def _check(settings: UTAESettings) -> None:
    for name, choices in CHOICES.items():
        given = getattr(settings, name)
        if given not in choices:
            raise Misfit(f"{name} {given!r}", "U-TAE has no such one.", f"Write one of {', '.join(choices)}.")
    _check_widths(settings.widths, settings.decoder_widths)
    if settings.heads < 1 or settings.model_width % settings.heads or settings.model_width // settings.heads % 2:
        given = f"{settings.heads} heads of a model {settings.model_width} wide"
        raise Misfit(given, "each head needs the same even width.", "Write e.g. 16 and 256.")
    grouped = settings.widths if settings.aggregation == "att_group" else settings.widths[-1:]
    if any(width % settings.heads for width in grouped):
        raise Misfit(f"widths {settings.widths}", f"{settings.heads} heads share them.", "Use multiples of the heads.")
    if settings.norm == "group" and any(width % GROUPS for width in settings.widths):
        raise Misfit(f"widths {settings.widths}", f"GroupNorm makes {GROUPS} groups.", f"Use multiples of {GROUPS}.")
    if not 0 <= settings.dropout < 1 or settings.time_period <= 1:
        given = f"dropout {settings.dropout} and time_period {settings.time_period}"
        raise Misfit(given, "the one is a share below 1, the other a time above 1.", "Write e.g. 0.2 and 1000.")


def _check_widths(widths: tuple[int, ...], decoder_widths: tuple[int, ...]) -> None:
    fits = len(widths) == len(decoder_widths) >= 2 and widths[-1] == decoder_widths[-1]
    if not fits or min(widths + decoder_widths) < 1:
        given = f"widths {widths} and decoder_widths {decoder_widths}"
        raise Misfit(given, "both name the same resolutions, at least two.", "Write as many of both.")


class UTAE(Network):
    """A period counts as seen at a coarse level if any of the pixels that one of its cells covers was seen."""

    settings: UTAESettings

    def __init__(self, settings: UTAESettings) -> None:
        super().__init__()
        self.settings = settings
        widths, decoder, padding = settings.widths, settings.decoder_widths, settings.padding
        self.first = layers([settings.bands, widths[0], widths[0]], settings.norm, padding)
        self.down = nn.ModuleList(Halving(a, b, settings.norm, padding) for a, b in pairwise(widths))
        self.time = TemporalAttention(
            widths[-1], settings.heads, settings.model_width, KEY_WIDTH, settings.time_period, settings.dropout
        )
        steps = [(decoder[i], decoder[i - 1], widths[i - 1]) for i in range(len(widths) - 1, 0, -1)]
        self.up = nn.ModuleList(Joining(inputs, outputs, skip, padding) for inputs, outputs, skip in steps)
        head = layers([decoder[0], LAST_WIDTH, settings.classes], "batch", padding)
        self.head = head if settings.published_head else nn.Sequential(*list(head)[:-2])

    @property
    def last_bias(self) -> Tensor:
        """Of the last convolution. In the published head a BatchNorm takes it away again, which does no harm."""
        bias = self.head[3].bias
        assert isinstance(bias, Tensor)
        return bias

    def forward(self, x_BTCYX: Tensor, seen_BTYX: Tensor, when_BT: Tensor) -> Tensor:
        self._check_window(x_BTCYX)
        if self.settings.mask == "frame":
            seen_BTYX = seen_BTYX.any(dim=(-2, -1), keepdim=True).expand(seen_BTYX.shape)
        skips = self._encoded(x_BTCYX * seen_BTYX[:, :, None])
        masks = _masks(seen_BTYX, len(skips))
        seen_at_bottom = masks.pop()
        bottom = skips.pop() * seen_at_bottom[:, :, None]  # what was not seen adds zeros to the norm, as published
        x, attention = self.time(bottom, seen_at_bottom, when_BT)
        for up in self.up:
            x = up(x, self._aggregated(skips.pop(), masks.pop(), attention))
        logits: Tensor = self.head(x)
        return logits

    def _check_window(self, x_BTCYX: Tensor) -> None:
        smallest = 2 * self.settings.stride
        if self.settings.padding == "reflect" and min(x_BTCYX.shape[-2:]) < smallest:
            given = f"window of {x_BTCYX.shape[-2]} x {x_BTCYX.shape[-1]} pixels"
            raise Misfit(given, f"padding by reflection needs {smallest}.", "Give more, or train with padding zeros.")

    def _encoded(self, x_BTCYX: Tensor) -> list[Tensor]:
        """The map of every period at every resolution, each (B, T, C, Y, X)."""
        frames = x_BTCYX.flatten(0, 1).contiguous(memory_format=torch.channels_last)
        maps = [self.first(frames)]
        for block in self.down:
            maps.append(block(maps[-1]))
        return [torch.unflatten(frames, 0, x_BTCYX.shape[:2]) for frames in maps]

    def _aggregated(self, x_BTCYX: Tensor, seen_BTYX: Tensor, attention_BTHYX: Tensor) -> Tensor:
        """One map of all periods that were seen."""
        if self.settings.aggregation == "mean":
            count = total(seen_BTYX.to(x_BTCYX.dtype), dim=1).clamp(min=1)
            return gather(seen_BTYX[:, :, None].to(x_BTCYX.dtype), x_BTCYX) / count[:, None]
        if self.settings.aggregation == "att_mean":
            attention_BTHYX = total(attention_BTHYX, dim=2)[:, :, None] / attention_BTHYX.shape[2]
        weights = magnified(attention_BTHYX.flatten(0, 1), x_BTCYX.shape[-1] // attention_BTHYX.shape[-1])
        return gather(torch.unflatten(weights, 0, x_BTCYX.shape[:2]) * seen_BTYX[:, :, None], x_BTCYX)


def _masks(seen_BTYX: Tensor, levels: int) -> list[Tensor]:
    """Seen at each resolution: in any of the pixels that a cell covers."""
    masks = [seen_BTYX]
    for _ in range(levels - 1):
        masks.append(nn.functional.max_pool2d(masks[-1].float(), 2) > 0)
    return masks
