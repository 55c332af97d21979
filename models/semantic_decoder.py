"""The semantic decoder of DepthSeg (arXiv 2506.14382): from a pyramid, and the prompts beside it, to class logits."""

import torch
from torch import Tensor, nn

from models.convolution import convolution
from models.encoder_sizes import EncoderSize
from models.picture import resized
from models.reassemble import Reassemble


class SemanticDecoder(nn.Module):
    """An input layer, three intermediate ones and an output layer, from the coarsest scale to the finest."""

    def __init__(self, size: EncoderSize, classes: int, prompted: bool) -> None:
        super().__init__()
        self.reassemble = Reassemble(size.dim, size.channels)
        width, offered = size.decoder, [(2 if prompted else 1) * channels for channels in size.channels]
        self.input = convolution(offered[3], width)
        self.between = nn.ModuleList(
            nn.Sequential(convolution(width + channels, width), convolution(width, width)) for channels in offered[:3]
        )
        self.output = convolution(width, width // 2)
        self.classes = nn.Conv2d(width // 2, classes, 1)

    def forward(self, maps: list[Tensor], prompts: list[Tensor] | None) -> Tensor:
        """Logits at four times the token grid."""
        levels = self.reassemble(maps)
        if prompts is not None:
            levels = [torch.cat(pair, dim=1) for pair in zip(levels, prompts, strict=True)]
        x = self.input(levels[3])
        for scale in (2, 1, 0):
            level = levels[scale]
            x = self.between[scale](torch.cat([resized(x, *level.shape[-2:]), level], dim=1))
        logits: Tensor = self.classes(self.output(x))
        return logits
