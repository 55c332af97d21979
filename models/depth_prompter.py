"""The depth prompter of DepthSeg (arXiv 2506.14382): what the depth decoder knows, offered to the semantic decoder."""

from torch import Tensor, nn

from models.convolution import convolution
from models.encoder_sizes import EncoderSize


class DepthPrompter(nn.Module):
    """Three fused scales of the depth decoder (8, 4, 2 times the token grid) to four prompts (4, 2, 1, 1/2 times).

    The paper counts one shallow block and four deep ones with skips, and gives no widths. Here prompts have the widths
    of the scales that they meet in the semantic decoder.
    """

    def __init__(self, size: EncoderSize) -> None:
        super().__init__()
        one, two, three, four = size.channels
        self.shallow = nn.Sequential(convolution(size.features, one, stride=2), convolution(one, one))
        self.skips = nn.ModuleList(nn.Conv2d(size.features, width, 1) for width in (one, two))
        self.deep = nn.ModuleList((Deep(one, one, 1), Deep(one, two, 2), Deep(two, three, 2), Deep(three, four, 2)))

    def forward(self, paths: list[Tensor]) -> list[Tensor]:
        first = self.deep[0](self.shallow(paths[0]) + self.skips[0](paths[1]))
        second = self.deep[1](first) + self.skips[1](paths[2])
        third = self.deep[2](second)
        return [first, second, third, self.deep[3](third)]


class Deep(nn.Module):
    """A residual block (He et al. 2015)."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        last = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.body = nn.Sequential(convolution(inputs, outputs, stride), last, nn.BatchNorm2d(outputs))
        same = inputs == outputs and stride == 1
        self.short = nn.Identity() if same else nn.Conv2d(inputs, outputs, 1)
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        """The way around is a 1x1 convolution with a stride, taken in two steps: on a CPU with AVX-512, the gradient of
        a single one writes beyond its memory for some widths (oneDNN in torch 2.13, channels last)."""
        summed: Tensor = self.body(x) + self.short(x[..., :: self.stride, :: self.stride])
        return summed.relu()
