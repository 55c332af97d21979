"""A network after VistaFormer: gates against cloud, mixing in space and in time, at three scales."""

from itertools import pairwise

import torch
from torch import Tensor, nn

from models.crops import answered_by_squares
from models.network import Network
from models.steady import Convolution, Gelu, magnified
from models.vista_blocks import Collapse, Embedding, Stage
from models.vista_settings import STAGES, VistaSettings

# Axis legend: B patch, T period, C channel, K class, Y row, X column.


class Vista(Network):
    """It knows a period by its place, not by its date."""

    settings: VistaSettings

    def __init__(self, settings: VistaSettings) -> None:
        super().__init__()
        self.settings = settings
        widths, width = settings.widths, settings.head_width
        steps = enumerate(pairwise((settings.bands, *widths)))
        self.embeddings = nn.ModuleList(Embedding(a, b, min(stage + 1, 2), stage == 0) for stage, (a, b) in steps)
        self.stages = nn.ModuleList(Stage(settings, stage) for stage in range(STAGES))
        self.collapses = nn.ModuleList(Collapse(w, width, settings.periods_at(i)) for i, w in enumerate(widths))
        self.merge = nn.Sequential(
            Convolution(STAGES * width, width, 1),
            nn.BatchNorm2d(width),
            Gelu() if settings.mixing == "attention" else nn.ReLU(),
            nn.Dropout(settings.dropout),
        )
        self.head = Convolution(width, settings.classes, 1)

    @property
    def last_bias(self) -> Tensor:
        assert self.head.bias is not None
        return self.head.bias

    def forward(self, x_BTCYX: Tensor, seen_BTYX: Tensor, when_BT: Tensor) -> Tensor:
        if self.settings.mixing == "attention":
            return answered_by_squares(self._logits, x_BTCYX, seen_BTYX, when_BT, self.settings.crop)
        return self._logits(x_BTCYX, seen_BTYX, when_BT)

    def _logits(self, x_BTCYX: Tensor, seen_BTYX: Tensor, when_BT: Tensor) -> Tensor:
        x = x_BTCYX * seen_BTYX[:, :, None]
        share = nn.functional.avg_pool2d(seen_BTYX.to(x.dtype), 2) if self.settings.mask else None
        maps = []
        for stage, (embed, mix, collapse) in enumerate(zip(self.embeddings, self.stages, self.collapses, strict=True)):
            x = mix(embed(x, share if stage == 0 else None))
            maps.append(magnified(collapse(x), 2 << stage))
        logits: Tensor = self.head(self.merge(torch.cat(maps, dim=1)))
        return logits
