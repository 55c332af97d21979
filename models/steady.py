"""Layers whose rounding on a CPU does not depend on the size, the place or the company of a window.

PyTorch picks among kernels by shape and by threads, and they round differently. On channels-last maps these round
alike, as tests show: 1x1 convolutions with a dilation (which changes nothing for one pixel), a small single image as
one of two, transposed 4x4 convolutions as plain ones, `exp`, `erf` and `tanh` but neither `sigmoid` nor `gelu`, and
sums of one summand at a time.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from models.flow import lowered, room_for

SMALL = 20_480  # values; the threshold of PyTorch's choice between oneDNN and its own convolutions on a CPU


class Convolution(nn.Conv2d):
    """A convolution that keeps the size of a map at stride 1; an even kernel keeps half of it at stride 2."""

    def __init__(self, inputs: int, outputs: int, kernel: int, **options: Any) -> None:
        super().__init__(inputs, outputs, kernel, padding=(kernel - 1) // 2, **options)

    def _conv_forward(self, input: Tensor, weight: Tensor, bias: Tensor | None, padded: bool = True) -> Tensor:
        if self.kernel_size == (1, 1):
            return pointwise(input, weight, bias)
        alone = is_alone(input)
        given = torch.cat([input, input]) if alone else input
        maps = self._convolved(given, weight, bias) if padded else self._inner_rows(given, weight, bias)
        return maps[:1] if alone else maps

    _convolved = nn.Conv2d._conv_forward

    def _inner_rows(self, input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """Of which all that they see is there."""
        assert self.stride == self.dilation == (1, 1) and self.groups == 1
        return nn.functional.conv2d(input, weight, bias, padding=(0, self.kernel_size[1] // 2))


class Layer(nn.Module):
    """A convolution, BatchNorm and ReLU. At inference the norm is folded into the weights: one pass over a map less."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1, last: bool = False) -> None:
        super().__init__()
        self.convolution = Convolution(inputs, outputs, kernel, stride=stride, bias=False)
        self.norm, self.last = nn.BatchNorm2d(outputs), last

    def forward(self, x_BCYX: Tensor, padded: bool = True, above: int = 0) -> Tensor:
        if self.training:
            assert padded and not above, "while it learns, a layer sees whole windows"
            x_BCYX = self.norm(self.convolution(x_BCYX))
        else:
            x_BCYX = self.convolution._conv_forward(x_BCYX, *folded(self.convolution.weight, self.norm), padded)
        if self.last:
            return lowered(x_BCYX, above)
        if not above:
            return nn.functional.relu_(x_BCYX)
        found = room_for(x_BCYX, above)
        torch.clamp_min(x_BCYX, 0, out=found[:, :, above:])
        return found


def folded(weight_OIYX: Tensor, norm: _BatchNorm) -> tuple[Tensor, Tensor]:
    """Weight and bias of a convolution and the fixed norm behind it."""
    scale, shift = fixed(norm)
    return weight_OIYX * scale[:, None, None, None], shift


def fixed(norm: _BatchNorm) -> tuple[Tensor, Tensor]:
    """What a norm multiplies with, and adds, where its statistics are fixed."""
    assert norm.running_mean is not None and norm.running_var is not None
    scale = norm.weight / (norm.running_var + norm.eps).sqrt()
    return scale, norm.bias - norm.running_mean * scale


def is_alone(x_BCYX: Tensor) -> bool:
    """Whether PyTorch would take its own convolution on a CPU; in training nobody compares windows."""
    return len(x_BCYX) == 1 and x_BCYX.numel() <= SMALL and x_BCYX.is_cpu and not x_BCYX.requires_grad


def pointwise(x_BCYX: Tensor, weight_OC11: Tensor, bias_O: Tensor | None = None) -> Tensor:
    """A 1x1 convolution."""
    if is_alone(x_BCYX):
        return pointwise(torch.cat([x_BCYX, x_BCYX]), weight_OC11, bias_O)[:1]
    return nn.functional.conv2d(x_BCYX, weight_OC11, bias_O, dilation=2 if x_BCYX.is_cpu else 1)


class Doubling(nn.ConvTranspose2d):
    """A transposed 4x4 convolution of stride 2 and padding 1: each of the four pixels that come of one is a 2x2 one."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, outputs, 4, stride=2, padding=1)

    def forward(self, input: Tensor, output_size: list[int] | None = None) -> Tensor:
        if is_alone(input):
            return self.forward(torch.cat([input, input]))[:1]
        assert self.bias is not None
        quarters = nn.functional.conv2d(input, _quarters(self.weight), self.bias.repeat(4), padding=1)
        return _interleaved(quarters.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


def _quarters(weight_IOYX: Tensor) -> Tensor:
    """Taps 3 and 1 lie on the pixel before and the pixel itself, taps 2 and 0 on the pixel itself and the next."""
    taps = ([3, 1], [2, 0])
    parts = [weight_IOYX[:, :, rows][..., columns] for rows in taps for columns in taps]
    return torch.cat(parts, dim=1).transpose(0, 1).contiguous(memory_format=torch.channels_last)


def _interleaved(quarters_BYXC: Tensor) -> Tensor:
    height, width = (side - 1 for side in quarters_BYXC.shape[1:3])
    parts = torch.unflatten(quarters_BYXC, -1, (4, -1)).unbind(-2)
    rows = [torch.stack([parts[2 * p + q][:, p : p + height, q : q + width] for q in (0, 1)], dim=3) for p in (0, 1)]
    return torch.stack(rows, dim=2).flatten(3, 4).flatten(1, 2)


def magnified(x_BCYX: Tensor, factor: int) -> Tensor:
    """Bilinear; the centres of the pixels keep their place."""
    if factor == 1:
        return x_BCYX
    x_BCYX = x_BCYX.contiguous(memory_format=torch.channels_last)
    return nn.functional.interpolate(x_BCYX, scale_factor=factor, mode="bilinear", align_corners=False)


def sigmoid(x: Tensor) -> Tensor:
    return torch.tanh(x / 2) / 2 + 0.5


class Gelu(nn.Module):
    """As torch.nn.GELU, whose last few values of a thread's share are rounded otherwise."""

    def forward(self, x: Tensor) -> Tensor:
        return x * (torch.erf(x * 0.5**0.5) + 1) / 2


def total(parts: Tensor, dim: int) -> Tensor:
    """The sum over an axis, one summand at a time."""
    first, *others = parts.unbind(dim)
    for part in others:
        first = first + part
    return first


def softmax(scores: Tensor, dim: int) -> Tensor:
    powers = (scores - scores.amax(dim, keepdim=True)).exp()
    return powers / total(powers, dim).unsqueeze(dim)
