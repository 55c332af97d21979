"""DINOv2's vision transformer: a picture in, feature maps of four depths out."""

from typing import Any, Self

import torch
from torch import Tensor, nn

from models.encoder_sizes import NATIVE, PATCH, EncoderSize

# Axis legend: B patch, N token (class token first), D feature, Y row, X column.


class Encoder(nn.Module):
    """A picture (B, 3, Y, X), normalised and with sides that are multiples of 14, to four maps (B, D, Y/14, X/14).

    Frozen, it gives no gradients to its weights and stays as in inference while all around it trains; what comes
    before it may still learn through it.
    """

    def __init__(self, size: EncoderSize, frozen: bool = True) -> None:
        super().__init__()
        self.size = size
        self.frozen = frozen
        self.backbone = _backbone(size)
        if frozen:
            self.requires_grad_(False)
        self.train(self.training)

    def train(self, mode: bool = True) -> Self:
        return super().train(mode and not self.frozen)

    @property
    def blocks(self) -> nn.ModuleList:
        blocks: nn.ModuleList = self.backbone.encoder.layer
        return blocks

    def tokens(self, picture_B3YX: Tensor) -> Tensor:
        """With positions and the class token: what the first block is given."""
        tokens_BND: Tensor = self.backbone.embeddings(picture_B3YX)
        return tokens_BND

    def forward(self, picture_B3YX: Tensor) -> list[Tensor]:
        grid = grid_of(picture_B3YX)
        tokens_BND, maps = self.tokens(picture_B3YX), []
        for index, block in enumerate(self.blocks[: self.size.taps[-1] + 1]):
            tokens_BND = block(tokens_BND)
            if index in self.size.taps:
                maps.append(map_of(self.backbone.layernorm(tokens_BND), grid))
        return maps


def grid_of(picture_B3YX: Tensor) -> tuple[int, int]:
    """Tokens down and across."""
    return picture_B3YX.shape[-2] // PATCH, picture_B3YX.shape[-1] // PATCH


def map_of(tokens_BND: Tensor, grid: tuple[int, int]) -> Tensor:
    """Tokens as a map, without the class token."""
    tokens_BDN = tokens_BND[:, 1:].transpose(1, 2)
    return tokens_BDN.reshape(*tokens_BDN.shape[:2], *grid)


def _backbone(size: EncoderSize) -> Any:
    from transformers import Dinov2Backbone, Dinov2Config  # takes seconds, which other networks need not wait for

    config = Dinov2Config(
        hidden_size=size.dim,
        num_hidden_layers=size.blocks,
        num_attention_heads=size.heads,
        mlp_ratio=4,
        image_size=NATIVE * PATCH,
        patch_size=PATCH,
        layerscale_value=1.0,
        layer_norm_eps=1e-6,
        use_mask_token=False,  # of DINOv2's own training only
    )
    with torch.no_grad():
        return Dinov2Backbone(config)
