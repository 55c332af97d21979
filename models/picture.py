"""What a network that was made for photographs sees of a season: three channels, enlarged to whole tokens."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.encoder_sizes import PATCH, EncoderSize, size_named
from models.errors import Misfit
from models.network import NetworkSettings

# Axis legend: B patch, T period, C band, S period and band, Y row, X column.

CONTEXT = 8
"""Tokens of ground that are read around a window: attention sees all of it, and its nearest neighbours matter most."""


@dataclass(frozen=True)
class PictureSettings(NetworkSettings):
    """`token` is how many pixels of ground, on a side, become one token.

    14 leaves a picture as it is (512 becomes 518, the paper's size); 4 enlarges it, so that a token of Sentinel-2
    covers 40 m instead of 140. `red_green_blue` are places among the bands: those of a cube are in wavelength order,
    those of a photograph are 0, 1, 2. The channels start as these bands of the period `best_period` (None: the middle
    one) and learn to mix all bands of all periods, unless `learn_picture` is off.
    """

    size: str = "s"
    token: int = 4
    red_green_blue: tuple[int, int, int] = (2, 1, 0)
    best_period: int | None = None
    learn_picture: bool = True

    def __post_init__(self) -> None:
        object.__setattr__(self, "red_green_blue", tuple(self.red_green_blue))
        super().__post_init__()
        _check(self)

    @property
    def encoder_size(self) -> EncoderSize:
        return size_named(self.size)

    @property
    def picture_period(self) -> int:
        return self.periods // 2 if self.best_period is None else self.best_period

    @property
    def stride(self) -> int:
        """So that tokens fall on the same ground in every window."""
        return self.token

    @property
    def halo(self) -> int:
        return CONTEXT * self.token

    @property
    def window(self) -> int:
        """32 tokens on a side, as many as a patch of 128 pixels has where a token is 4: attention has learned these."""
        return 32 * self.token

    @property
    def token_floats(self) -> int:
        """Numbers that the network holds of each token and of the cells within it, about, at its widest place."""
        return 0

    def mapping_bytes(self, pixels: int) -> int:
        """Weights, of which there are three copies while they are read; pixels; and what tokens become."""
        size = self.encoder_size
        weights = 3 * 4 * 16 * size.blocks * size.dim**2  # a block has 12 D^2, and the decoders less than the blocks
        return weights + super().mapping_bytes(pixels) + pixels * 4 * self.token_floats // self.token**2

    @property
    def is_seamless(self) -> bool:
        """No: every token attends to every other one of its window, so a window's shape shows in each answer."""
        return False


def _check(settings: PictureSettings) -> None:
    size_named(settings.size)
    if not 1 <= settings.token <= PATCH:
        why = f"a token is {PATCH} pixels of an enlarged picture."
        raise Misfit(f"token {settings.token}", why, f"Write 1 to {PATCH} pixels.")
    bands = settings.red_green_blue
    if len(bands) != 3 or not all(0 <= band < settings.bands for band in bands):
        raise Misfit(f"red_green_blue {bands}", f"three of {settings.bands} bands are needed.", "Count from 0.")
    if not 0 <= settings.picture_period < settings.periods:
        raise Misfit(f"best_period {settings.best_period}", f"there are {settings.periods}.", "Count from 0.")


class SeasonPicture(nn.Module):
    """A season (B, S, Y, X) to three channels (B, 3, Y, X) by a 1x1 convolution.

    Bands arrive with mean 0 and spread 1 over the training pixels. That is what ImageNet's normalisation gives
    photographs, so the encoder meets the range that it knows and nothing is normalised twice.
    """

    def __init__(self, settings: PictureSettings) -> None:
        super().__init__()
        self.mix = nn.Conv2d(settings.periods * settings.bands, 3, 1)
        with torch.no_grad():
            nn.init.zeros_(self.mix.weight)
            assert self.mix.bias is not None
            nn.init.zeros_(self.mix.bias)
            for channel, band in enumerate(settings.red_green_blue):
                self.mix.weight[channel, settings.picture_period * settings.bands + band] = 1.0
        self.requires_grad_(settings.learn_picture)

    def forward(self, season_BSYX: Tensor) -> Tensor:
        picture_B3YX: Tensor = self.mix(season_BSYX)
        return picture_B3YX


def season_of(x_BTCYX: Tensor, seen_BTYX: Tensor) -> Tensor:
    """Periods as channels; a period that saw nothing of a pixel shows the mean of those that did.

    A frozen encoder has learned from whole pictures: holes, and the edges around them, would be features to it.
    """
    seen = seen_BTYX[:, :, None].to(x_BTCYX.dtype)
    mean = (x_BTCYX * seen).sum(dim=1, keepdim=True) / seen.sum(dim=1, keepdim=True).clamp(min=1)
    return torch.where(seen > 0, x_BTCYX, mean).flatten(1, 2)


def enlarged(picture_B3YX: Tensor, token: int) -> Tensor:
    """To whole tokens: 14 pixels for each `token` pixels of ground, rounded up."""
    return resized(picture_B3YX, *(-(-side // token) * PATCH for side in picture_B3YX.shape[-2:]))


def resized(x_BCYX: Tensor, height: int, width: int) -> Tensor:
    """Bilinear; a map that has the size already is returned as it is."""
    if x_BCYX.shape[-2:] == (height, width):
        return x_BCYX
    return functional.interpolate(x_BCYX, size=(height, width), mode="bilinear", align_corners=False)
