"""The ways of a decoder from a coarse map to the next finer one, by name."""

from collections.abc import Callable

from torch import Tensor, nn
from torch.nn import functional

from models.dysample import DySample
from models.errors import Misfit
from models.fade import Fade
from models.picture import resized


class Guided(nn.Module):
    """FADE, which weighs the fine map against the coarse one by itself."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.fade = Fade(width)

    def forward(self, fine: Tensor, coarse: Tensor) -> Tensor:
        """An odd side is padded by its last row or column."""
        rows, columns = fine.shape[-2:]
        missing = (0, 2 * coarse.shape[-1] - columns, 0, 2 * coarse.shape[-2] - rows)
        made: Tensor = self.fade(functional.pad(fine, missing, mode="replicate"), coarse)
        return made[..., :rows, :columns]


class Sampled(nn.Module):
    """DySample, added to the fine map."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.sample = DySample(width)

    def forward(self, fine: Tensor, coarse: Tensor) -> Tensor:
        made: Tensor = self.sample(coarse)
        return fine + made[..., : fine.shape[-2], : fine.shape[-1]]


class Plain(nn.Module):
    """Bilinear, added to the fine map: what the other two are measured against."""

    def __init__(self, width: int) -> None:
        super().__init__()

    def forward(self, fine: Tensor, coarse: Tensor) -> Tensor:
        return fine + resized(coarse, *fine.shape[-2:])


UPSAMPLERS: dict[str, Callable[[int], nn.Module]] = {"fade": Guided, "dysample": Sampled, "bilinear": Plain}


def check_upsampler(name: str) -> None:
    if name not in UPSAMPLERS:
        raise Misfit(f"upsampler {name!r}", "no such one is built.", f"Write one of {', '.join(UPSAMPLERS)}.")
