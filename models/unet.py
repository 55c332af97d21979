"""The U-Net that turns bands and periods into crop logits (after arXiv 2606.00676), and how far it sees."""

from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn

from models.errors import Misfit
from models.network import Network, NetworkSettings
from models.steady import SMALL

GROUPS = 8  # of GroupNorm: four channels a group at the narrowest width of the paper-like network
NORMS = ("batch", "group")
WIDEST = 4096  # channels; a card that asks for more would take a machine's memory
REACH = 2  # pixels that two 3x3 convolutions look at on each side


@dataclass(frozen=True)
class UNetSettings(NetworkSettings):
    """The shape of a network; `widths` names the channels of every resolution, the bottom last.

    Five widths are four encoder levels and a bottom; four are the other reading of "four-level".
    `norm="batch"` has statistics that are fixed at inference, so a pixel's class depends on what lies within the halo
    only; `norm="group"` is the paper's, and lets the whole window speak into every pixel.
    """

    kind = "U-Net"

    widths: tuple[int, ...] = (32, 64, 128, 256)
    norm: str = "batch"

    def __post_init__(self) -> None:
        object.__setattr__(self, "widths", tuple(self.widths))
        super().__post_init__()
        _check(self)

    @property
    def stride(self) -> int:
        """So that the poolings fall on the same pairs in every window."""
        return 1 << (len(self.widths) - 1)

    @property
    def receptive_radius(self) -> int:
        return max(_reach(pixel, len(self.widths) - 1) for pixel in range(self.stride))

    @property
    def finest(self) -> int:
        return self.widths[0]

    @property
    def is_seamless(self) -> bool:
        return self.norm == "batch"


def _check(settings: UNetSettings) -> None:
    if settings.norm not in NORMS:
        raise Misfit(f"norm {settings.norm!r}", "no such normalisation is built.", f"Write one of {', '.join(NORMS)}.")
    if len(settings.widths) < 2 or not all(1 <= width <= WIDEST for width in settings.widths):
        why = f"a U-Net needs two resolutions or more, of up to {WIDEST} channels."
        raise Misfit(f"widths {settings.widths}", why, "Write e.g. 32, 64, 128.")
    if settings.norm == "group" and any(width % GROUPS for width in settings.widths):
        raise Misfit(f"widths {settings.widths}", f"GroupNorm makes {GROUPS} groups.", f"Use multiples of {GROUPS}.")


def _reach(pixel: int, levels: int) -> int:
    """Walk from one output pixel back to its first input pixel by the longest way, through the bottom.

    Seen over all pixels of a stride, the last input pixel is the mirror image.
    """
    first = pixel
    for _ in range(levels):
        first = (first - REACH) // 2  # decoder convolutions, then the upsampling
    first -= REACH
    for _ in range(levels):
        first = 2 * first - REACH  # pooling, then the encoder convolutions
    return pixel - first


class UNet(Network):
    """All periods at once, as channels: it knows a period by its place, not by its date."""

    settings: UNetSettings

    def __init__(self, settings: UNetSettings) -> None:
        super().__init__()
        self.settings = settings
        widths, norm = settings.widths, settings.norm
        self.down = nn.ModuleList(
            _double(a, b, norm) for a, b in pairwise((settings.periods * settings.bands, *widths))
        )
        self.up = nn.ModuleList(nn.ConvTranspose2d(b, a, 2, stride=2) for a, b in reversed(list(pairwise(widths))))
        self.merge = nn.ModuleList(_double(2 * a, a, norm) for a in reversed(widths[:-1]))
        # A dilation changes nothing for one pixel, but PyTorch takes another, differently rounding kernel for plain 1x1
        # convolutions when it has a single thread: with it, a map is the same bytes for any number of threads.
        self.head = nn.Conv2d(widths[0], settings.classes, 1, dilation=2)
        self.apply(_initialise)

    @property
    def last_bias(self) -> Tensor:
        assert self.head.bias is not None
        return self.head.bias

    def forward(self, x_BTCYX: Tensor, seen_BTYX: Tensor, when_BT: Tensor) -> Tensor:
        """A pixel's logits are the same bits in every window that holds its halo, if the norm is "batch" and fixed.

        For a single small image PyTorch has convolutions on a CPU that round in another order, so it goes twice.
        """
        x_BCYX = x_BTCYX.flatten(1, 2).contiguous(memory_format=torch.channels_last)  # half the time on a CPU
        if self.training or len(x_BCYX) > 1 or not self._is_small(x_BCYX):
            return self._logits(x_BCYX)
        return self._logits(torch.cat([x_BCYX, x_BCYX]))[:1]

    def _is_small(self, x_BCYX: Tensor) -> bool:
        pixels_at_bottom = x_BCYX.shape[-2] * x_BCYX.shape[-1] // self.settings.stride**2
        return pixels_at_bottom * min(self.settings.widths[-2:]) <= SMALL

    def _logits(self, x_BCYX: Tensor) -> Tensor:
        skips = [self.down[0](x_BCYX)]
        for block in self.down[1:]:
            skips.append(block(nn.functional.max_pool2d(skips[-1], 2)))
        x = skips.pop()
        for up, merge in zip(self.up, self.merge, strict=True):
            x = merge(torch.cat([skips.pop(), up(x)], dim=1))
        logits: Tensor = self.head(x)
        return logits


def _double(inputs: int, outputs: int, norm: str) -> nn.Sequential:
    return nn.Sequential(*_single(inputs, outputs, norm), *_single(outputs, outputs, norm))


def _single(inputs: int, outputs: int, norm: str) -> list[nn.Module]:
    convolution = nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)
    layer = nn.GroupNorm(GROUPS, outputs) if norm == "group" else nn.BatchNorm2d(outputs)
    return [convolution, layer, nn.ReLU(inplace=True)]


def _initialise(layer: nn.Module) -> None:
    """He et al. 2015 for what is followed by a ReLU; norms start as the identity, which is their default."""
    if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
        nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)
