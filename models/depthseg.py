"""DepthSeg (arXiv 2506.14382): a frozen DINOv2, a decoder for structure, and one for classes that is prompted by it."""

from dataclasses import dataclass

from torch import Tensor

from models.depth_decoder import DepthDecoder
from models.depth_prompter import DepthPrompter
from models.encoder import Encoder
from models.errors import Misfit
from models.network import Network
from models.picture import PictureSettings, SeasonPicture, enlarged, resized, season_of
from models.scale_adapter import ScaleAdapter
from models.semantic_decoder import SemanticDecoder


@dataclass(frozen=True)
class DepthSegSettings(PictureSettings):
    """`adapter` and `prompter` are the paper's ablation; `residual` is another reading of its adapter.

    With `detach_depth` the classes teach the depth decoder nothing, only its own target does.
    """

    kind = "DepthSeg"

    adapter: bool = True
    prompter: bool = True
    residual: bool = False
    detach_depth: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.residual and not self.adapter:
            raise Misfit("residual without adapter", "there is nothing that it could change.", "Turn one of them over.")
        if self.detach_depth and not self.prompter:
            raise Misfit("detach_depth without prompter", "depth reaches no classes.", "Turn one of them over.")

    @property
    def token_floats(self) -> int:
        """Six maps of the depth decoder with 64 cells for a token, four of the classes' with 16, and the tokens."""
        size = self.encoder_size
        return 6 * 64 * size.features + 4 * 16 * size.decoder + 12 * size.dim


class DepthSeg(Network):
    """Knows a period by its place, not by its date. While it trains, it gives logits and structure (B, 1, Y, X)."""

    settings: DepthSegSettings

    def __init__(self, settings: DepthSegSettings) -> None:
        super().__init__()
        self.settings = settings
        size = settings.encoder_size
        self.picture = SeasonPicture(settings)
        self.encoder = Encoder(size)
        self.adapter = ScaleAdapter(size.dim, settings.residual) if settings.adapter else None
        self.depth = DepthDecoder(size)
        self.prompter = DepthPrompter(size) if settings.prompter else None
        self.decoder = SemanticDecoder(size, settings.classes, settings.prompter)

    @property
    def last_bias(self) -> Tensor:
        assert self.decoder.classes.bias is not None
        return self.decoder.classes.bias

    def forward(self, x_BTCYX: Tensor, seen_BTYX: Tensor, when_BT: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        side = x_BTCYX.shape[-2:]
        picture_B3YX = self.picture(season_of(x_BTCYX, seen_BTYX))
        maps = self.encoder(enlarged(picture_B3YX, self.settings.token))
        if self.adapter is not None:
            maps = self.adapter(maps)
        paths = self.depth.paths(maps) if self.training or self.prompter is not None else []
        logits_BKYX = resized(self.decoder(maps, self._prompts(paths)), *side)
        if not self.training:
            return logits_BKYX
        return logits_BKYX, resized(self.depth.depth(paths[0]), *side)

    def _prompts(self, paths: list[Tensor]) -> list[Tensor] | None:
        if self.prompter is None:
            return None
        if self.settings.detach_depth:
            paths = [path.detach() for path in paths]
        prompts: list[Tensor] = self.prompter(paths)
        return prompts
