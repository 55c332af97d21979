"""TSViT (after arXiv 2301.04944): one token for each class asks a pixel's periods, then the pixels around."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from models.crops import answered_by_squares
from models.errors import Misfit
from models.network import Network, NetworkSettings
from models.timecode import DAYS, day_rows, sinusoids
from models.transformer import Transformer

TIME_CODES = ("day-table", "sinusoid")

# Axis legend: B square, P patch of the square, T period, C channel, K class.


@dataclass(frozen=True)
class TSViTSettings(NetworkSettings):
    """A window is cut into squares of `crop` pixels from its corner, and each square into patches of `patch` pixels.

    `depth` counts the layers over time, and again those over space. `time_code` is "day-table", a learned row for each
    day of the year as published, or "sinusoid", whose longest wave is `time_period`: 1000 for days, 10000 for
    degree-days. Published are crop 24, width 128, depth 4, heads 4, and width 64 for the small one.
    """

    kind = "TSViT"

    crop: int = 16
    patch: int = 2
    width: int = 128
    depth: int = 4
    heads: int = 4
    time_code: str = "day-table"
    time_period: float = 1000.0
    dropout: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        _check(self)

    @property
    def stride(self) -> int:
        return self.crop


def _check(settings: TSViTSettings) -> None:
    if settings.time_code not in TIME_CODES:
        raise Misfit(f"time_code {settings.time_code!r}", "no such one is built.", f"Write {' or '.join(TIME_CODES)}.")
    if settings.patch < 1 or settings.crop < 1 or settings.crop % settings.patch:
        given = f"crop {settings.crop} and patch {settings.patch}"
        raise Misfit(given, "a crop is made of whole patches.", "Write e.g. 16 and 2.")
    if min(settings.heads, settings.depth) < 1 or settings.width < 2 or settings.width % settings.heads:
        given = f"width {settings.width}, {settings.heads} heads, depth {settings.depth}"
        raise Misfit(given, "heads share the width, and a layer is needed.", "Write e.g. 128, 4 and 4.")
    if not 0 <= settings.dropout < 1 or settings.time_period <= 1:
        given = f"dropout {settings.dropout} and time_period {settings.time_period}"
        raise Misfit(given, "the one is a share below 1, the other a time above 1.", "Write e.g. 0.1 and 1000.")


class TSViT(Network):
    """A period counts for a patch if any of its pixels was seen then. Where none was, the class tokens are alone."""

    settings: TSViTSettings
    prior: Tensor

    def __init__(self, settings: TSViTSettings) -> None:
        super().__init__()
        self.settings = settings
        width, pixels = settings.width, settings.patch**2
        self.inward = nn.Linear(settings.bands * pixels, width)
        self.date = nn.Linear(DAYS if settings.time_code == "day-table" else width, width)
        self.classes = nn.Parameter(torch.randn(settings.classes, width))
        self.place = nn.Parameter(torch.randn((settings.crop // settings.patch) ** 2, width))
        self.over_time = Transformer(width, settings.heads, settings.depth, settings.dropout)
        self.over_space = Transformer(width, settings.heads, settings.depth, settings.dropout)
        self.head = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, pixels))
        self.register_buffer("prior", torch.zeros(settings.classes))

    @property
    def last_bias(self) -> Tensor:
        """All classes share the head, so their frequencies are kept beside it; they are not trained."""
        return self.prior

    def forward(self, x_BTCYX: Tensor, seen_BTYX: Tensor, when_BT: Tensor) -> Tensor:
        return answered_by_squares(self._logits, x_BTCYX, seen_BTYX, when_BT, self.settings.crop)

    def _logits(self, x_BTCYX: Tensor, seen_BTYX: Tensor, when_BT: Tensor) -> Tensor:
        tokens, counts = self._tokens(x_BTCYX * seen_BTYX[:, :, None], seen_BTYX, when_BT)
        patches = self._over_space(self._over_time(tokens, counts))
        side, patch = self.settings.crop // self.settings.patch, self.settings.patch
        logits_BKYX = torch.unflatten(torch.unflatten(patches, -1, (patch, patch)), 2, (side, side))
        return logits_BKYX.transpose(3, 4).flatten(4, 5).flatten(2, 3) + self.prior[:, None, None]

    def _tokens(self, x_BTCYX: Tensor, seen_BTYX: Tensor, when_BT: Tensor) -> tuple[Tensor, Tensor]:
        """(B, P, T, C), and which of them count (B, P, T)."""
        values = self.inward(_patches(x_BTCYX, self.settings.patch))
        counts = _patches(seen_BTYX[:, :, None], self.settings.patch).any(dim=-1)
        return values + self.date(self._code(when_BT).to(values.dtype))[:, None], counts

    def _code(self, when_BT: Tensor) -> Tensor:
        if self.settings.time_code == "day-table":
            return nn.functional.one_hot(day_rows(when_BT), DAYS)
        return sinusoids(when_BT, self.settings.width, self.settings.time_period)

    def _over_time(self, tokens_BPTC: Tensor, counts_BPT: Tensor) -> Tensor:
        """(B, K, P, C): what each class found in the periods of each patch."""
        sequences, counts = tokens_BPTC.flatten(0, 1), counts_BPT.flatten(0, 1)
        classes = self.classes.expand(len(sequences), -1, -1)
        counts = torch.cat([counts.new_ones(classes.shape[:2]), counts], dim=1)
        found = self.over_time(torch.cat([classes, sequences], dim=1), counts)[:, : self.settings.classes]
        return torch.unflatten(found, 0, tokens_BPTC.shape[:2]).transpose(1, 2)

    def _over_space(self, found_BKPC: Tensor) -> Tensor:
        """(B, K, P, pixels of a patch): each class on its own looks at all patches of the square."""
        patches = self.over_space(found_BKPC.flatten(0, 1) + self.place)
        logits: Tensor = self.head(patches)
        return torch.unflatten(logits, 0, found_BKPC.shape[:2])


def _patches(x_BTCYX: Tensor, side: int) -> Tensor:
    """(B, P, T, values of a patch): its pixels in rows, each with its bands."""
    batch, periods, bands, height, width = x_BTCYX.shape
    cells = x_BTCYX.reshape(batch, periods, bands, height // side, side, width // side, side)
    return cells.permute(0, 3, 5, 1, 4, 6, 2).reshape(batch, -1, periods, side * side * bands)
