"""ViT-Adapter (arXiv 2205.08534): a plain vision transformer becomes a pyramid, by trading with a spatial prior."""

import torch
from torch import Tensor, nn

from models.deformable import centres
from models.encoder import Encoder, grid_of, map_of
from models.encoder_sizes import EncoderSize
from models.interaction import Extractor, Ground, Injector, as_maps
from models.picture import resized
from models.spatial_prior import SpatialPrior

GROUPS = 4
"""Of the transformer's blocks: before each the maps speak to the tokens, after each the tokens to the maps."""

# Axis legend: B patch, N token (class token first), M token of the three maps, D feature, C channel, Y row, X column.


class VitAdapter(nn.Module):
    """A picture for the encoder and pixels for the prior, of the same ground, to a pyramid of width D.

    Its maps have 4, 2, 1 and one half cells on the side of a token, whatever number of tokens that makes: the paper's
    strides of 4 to 32 belong to tokens of 16 pixels.
    """

    def __init__(
        self, size: EncoderSize, channels: int, stem_stride: int = 4, drop_path: float = 0.0, frozen: bool = False
    ) -> None:
        super().__init__()
        self.encoder = Encoder(size, frozen)
        self.encoder.backbone.layernorm.requires_grad_(False)  # the tokens are taken as the blocks leave them
        self.prior = SpatialPrior(channels, size.dim, stem_stride)
        self.injectors = nn.ModuleList(Injector(size) for _ in range(GROUPS))
        self.extractors = nn.ModuleList(Extractor(size, drop_path) for _ in range(GROUPS))
        self.last = nn.ModuleList(Extractor(size, drop_path) for _ in range(2))
        self.finest = nn.ConvTranspose2d(size.dim, size.dim, 2, stride=2)
        self.norms = nn.ModuleList(nn.BatchNorm2d(size.dim) for _ in range(4))
        for part in (self.prior, self.extractors, self.last, self.finest):
            part.apply(_initialise)

    def forward(self, picture_B3YX: Tensor, pixels_BCYX: Tensor) -> list[Tensor]:
        grid = grid_of(picture_B3YX)
        finest, maps_BMD, grids = self.prior(pixels_BCYX, grid)
        ground = Ground([grid], grids, centres([grid], finest), centres(grids, finest))
        tokens_BND, seen = self.encoder.tokens(picture_B3YX), []
        per_group = len(self.encoder.blocks) // GROUPS
        for group in range(GROUPS):
            tokens_BND = _but_class(self.injectors[group], tokens_BND, maps_BMD, ground)
            for block in self.encoder.blocks[group * per_group : (group + 1) * per_group]:
                tokens_BND = block(tokens_BND)
            for extractor in (self.extractors[group], *(self.last if group == GROUPS - 1 else ())):
                maps_BMD = extractor(maps_BMD, tokens_BND[:, 1:], ground)
            seen.append(map_of(tokens_BND, grid))
        return self._pyramid(finest, as_maps(maps_BMD, grids), seen)

    def _pyramid(self, finest: Tensor, maps: list[Tensor], seen: list[Tensor]) -> list[Tensor]:
        levels = [finest + self.finest(maps[0]), *maps]
        summed = [level + resized(tokens, *level.shape[-2:]) for level, tokens in zip(levels, seen, strict=True)]
        return [norm(level) for norm, level in zip(self.norms, summed, strict=True)]


def _but_class(injector: nn.Module, tokens_BND: Tensor, maps_BMD: Tensor, ground: Ground) -> Tensor:
    """The class token has no place on the ground, so it is told nothing."""
    return torch.cat([tokens_BND[:, :1], injector(tokens_BND[:, 1:], maps_BMD, ground)], dim=1)


def _initialise(layer: nn.Module) -> None:
    """Convolutions from N(0, sqrt(2 / fan out)), as the paper's authors do."""
    if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
        outputs = layer.out_channels // layer.groups
        nn.init.normal_(layer.weight, std=(2 / (layer.kernel_size[0] * layer.kernel_size[1] * outputs)) ** 0.5)
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)
