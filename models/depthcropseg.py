"""The network of DepthCropSeg++ (arXiv 2601.12366): ViT-Adapter on DINOv2, and a decoder that upsamples by FADE."""

from dataclasses import dataclass

from torch import Tensor, nn

from models.convolution import convolution
from models.errors import Misfit
from models.network import Network
from models.picture import PictureSettings, SeasonPicture, enlarged, resized, season_of
from models.upsampling import UPSAMPLERS, check_upsampler
from models.vit_adapter import VitAdapter

STEM_STRIDES = (1, 4)


@dataclass(frozen=True)
class DepthCropSegSettings(PictureSettings):
    """`stem_stride` 4 with `token` 14 is the published network, for photographs of fields; 1 with 4 keeps the pixels of
    Sentinel-2. `upsampler` is fade (the paper's), dysample (cheaper) or bilinear; `width` is the decoder's.

    The papers train the whole transformer; `frozen` leaves it as it was given, and trains what is around it.
    `drop_path` is the rate at which the adapter's mixing is left out while it trains.
    """

    kind = "DepthCropSeg"

    stem_stride: int = 1
    upsampler: str = "fade"
    width: int = 128
    frozen: bool = False
    drop_path: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        check_upsampler(self.upsampler)
        if self.stem_stride not in STEM_STRIDES:
            raise Misfit(f"stem_stride {self.stem_stride}", "no such stem is built.", "Write 1 or 4.")
        if not 4 <= self.width <= 1024 or self.width % 4:
            raise Misfit(f"width {self.width}", "a decoder has 4 to 1024 channels, in fours.", "Write e.g. 128.")
        if not 0 <= self.drop_path < 1:
            raise Misfit(f"drop_path {self.drop_path}", "it is a share of patches.", "Write 0 to below 1.")

    @property
    def token_floats(self) -> int:
        """Maps with 16 cells for a token: fifteen of the decoder, whose kernels are among them, and four as wide as
        the encoder. The published stem also enlarges all pixels to 16 for each token on a side."""
        enlarged = 2 * 256 * self.bands * self.periods if self.stem_stride > 1 else 0
        return 15 * 16 * self.width + 4 * 16 * self.encoder_size.dim + enlarged


class DepthCropSeg(Network):
    """Knows a period by its place, not by its date. It has no auxiliary target: depth makes its labels, not its answer.

    The transformer sees three channels, the spatial prior all bands of all periods.
    """

    settings: DepthCropSegSettings

    def __init__(self, settings: DepthCropSegSettings) -> None:
        super().__init__()
        self.settings = settings
        size, channels = settings.encoder_size, settings.bands * settings.periods
        self.picture = SeasonPicture(settings)
        self.pyramid = VitAdapter(size, channels, settings.stem_stride, settings.drop_path, settings.frozen)
        self.decoder = PyramidDecoder(size.dim, settings.width, settings.upsampler)
        self.head = nn.Conv2d(settings.width, settings.classes, 1)

    @property
    def last_bias(self) -> Tensor:
        assert self.head.bias is not None
        return self.head.bias

    def forward(self, x_BTCYX: Tensor, seen_BTYX: Tensor, when_BT: Tensor) -> Tensor:
        season_BSYX = season_of(x_BTCYX, seen_BTYX)
        picture_B3YX = enlarged(self.picture(season_BSYX), self.settings.token)
        decoded = self.decoder(self.pyramid(picture_B3YX, season_BSYX))
        return resized(self.head(decoded), *season_BSYX.shape[-2:])


class PyramidDecoder(nn.Module):
    """Four maps of a pyramid to one as fine as the finest, from the coarsest up."""

    def __init__(self, dim: int, width: int, upsampler: str) -> None:
        super().__init__()
        self.laterals = nn.ModuleList(nn.Conv2d(dim, width, 1) for _ in range(4))
        self.ups = nn.ModuleList(UPSAMPLERS[upsampler](width) for _ in range(3))
        self.mixes = nn.ModuleList(convolution(width, width) for _ in range(3))

    def forward(self, pyramid: list[Tensor]) -> Tensor:
        levels = [lateral(x) for lateral, x in zip(self.laterals, pyramid, strict=True)]
        x: Tensor = levels[3]
        for scale in (2, 1, 0):
            x = self.mixes[scale](self.ups[scale](levels[scale], x))
        return x
