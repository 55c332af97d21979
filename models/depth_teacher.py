"""The teacher of DepthSeg: Depth Anything V2 looks at a patch in its natural colours and says what stands out."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from models.depth_decoder import DepthDecoder
from models.encoder import Encoder
from models.encoder_sizes import PATCH, size_named
from models.errors import Misfit
from models.normalisation import NO_DATA
from models.official_names import fill_depth, size_in
from models.picture import enlarged, resized

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Of red, green and blue between 0 and 1, as DINOv2 was trained."""

BRIGHT = 3000.0
"""Stored counts that are shown as white: fields and bare soil then fill the range of a photograph."""

# Axis legend: B patch, T period, C band, Y row, X column.


class DepthTeacher(nn.Module):
    """Natural colours (B, 3, Y, X) between 0 and 1 to relative inverse depth (B, 1, Y, X); near and tall is high."""

    def __init__(self, size: str, token: int = PATCH) -> None:
        super().__init__()
        self.token = token
        self.encoder = Encoder(size_named(size))
        self.decoder = DepthDecoder(size_named(size))
        self.eval().requires_grad_(False)

    @torch.no_grad()
    def forward(self, colours_B3YX: Tensor) -> Tensor:
        mean, std = (colours_B3YX.new_tensor(values)[:, None, None] for values in (IMAGENET_MEAN, IMAGENET_STD))
        picture_B3YX = enlarged((colours_B3YX - mean) / std, self.token)
        depth_B1YX: Tensor = self.decoder(self.encoder(picture_B3YX))
        return resized(depth_B1YX, *colours_B3YX.shape[-2:])


def teacher_from(state: Mapping[str, Tensor], token: int = PATCH) -> DepthTeacher:
    """From official weights of Depth Anything V2, under the authors' names or Hugging Face's; its size is theirs.

    A smaller `token` enlarges the picture first, as it does for a network.
    """
    teacher = DepthTeacher(size_in(state), token)
    fill_depth(teacher.encoder, teacher.decoder, state)
    return teacher


def natural_colours(
    x_BTCYX: Tensor, red_green_blue: tuple[int, int, int] = (2, 1, 0), bright: float = BRIGHT
) -> Tensor:
    """From stored counts: the mean over the periods with data, between 0 and 1; black where there are none."""
    if x_BTCYX.ndim != 5 or max(red_green_blue) >= x_BTCYX.shape[2]:
        given = f"counts of shape {tuple(x_BTCYX.shape)}"
        raise Misfit(given, f"(patch, period, band, y, x) with bands {red_green_blue} is needed.", "Give a season.")
    x = x_BTCYX[:, :, list(red_green_blue)].float()
    seen = (x != NO_DATA).sum(dim=1).clamp(min=1)
    return (x.sum(dim=1) / seen / bright).clamp(0.0, 1.0)
