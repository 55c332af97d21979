"""Presto (Tseng and others 2023, arXiv 2304.14065) on Sentinel-2 alone: a pixel's series, and a layer for classes."""

from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from models.network import Network
from models.normalisation import Normalisation
from models.presto_encoder import PrestoEncoder
from models.presto_settings import BANDS, NIR, ON_A_GPU, PIXELS_AT_ONCE, RED, PrestoSettings
from models.timecode import months_of

STORED = 10_000
"""Cubes store reflectance times this, and normalisations count in it."""

# Axis legend: B patch, N pixels that are looked at together, P all pixels of a patch, T period, C band or channel,
# K class, Y row, X column.


class Presto(Network):
    """Bands are brought back to the reflectance that the published encoder sees, whatever they were normalised with.

    Pixels are looked at a fixed number at a time: memory does not grow with the window, and an answer is the same bits
    in every window. While the encoder trains, its layers are computed again for the way back instead of kept.
    """

    settings: PrestoSettings
    mean: Tensor
    spread: Tensor

    def __init__(self, settings: PrestoSettings) -> None:
        super().__init__()
        self.settings = settings
        self.encoder = PrestoEncoder(settings)
        self.head = nn.Linear(settings.width, settings.classes)
        self.register_buffer("mean", torch.full((BANDS,), 0.2), persistent=False)  # the card has those that count
        self.register_buffer("spread", torch.full((BANDS,), 0.1), persistent=False)

    @property
    def last_bias(self) -> Tensor:
        return self.head.bias

    @torch.no_grad()
    def accept(self, normalisation: Normalisation) -> None:
        self.mean.copy_(torch.tensor(normalisation.mean) / STORED)
        self.spread.copy_(torch.tensor(normalisation.std) / STORED)

    def forward(self, x_BTCYX: Tensor, seen_BTYX: Tensor, when_BT: Tensor) -> Tensor:
        patches = zip(x_BTCYX.flatten(-2), seen_BTYX.flatten(-2), months_of(when_BT), strict=True)
        logits_BKP = torch.stack([self._patch(*patch) for patch in patches])
        return logits_BKP.reshape(*logits_BKP.shape[:2], *x_BTCYX.shape[-2:])

    def _patch(self, x_TCP: Tensor, seen_TP: Tensor, month_T: Tensor) -> Tensor:
        parts, pixels = _parts(x_TCP, seen_TP), x_TCP.shape[-1]
        if torch.is_grad_enabled():
            answer = self._logits if self.settings.frozen else self._recomputed
            return torch.cat([answer(*part, month_T) for part in parts])[:pixels].T
        logits_PK = x_TCP.new_empty(pixels, self.settings.classes, dtype=torch.float32)
        for number, part in enumerate(parts):  # each into its place: kept answers would lie between what is freed
            here = logits_PK[number * len(part[1].T) :][: len(part[1].T)]
            here[...] = self._logits(*part, month_T)[: len(here)]
        return logits_PK.T

    def _recomputed(self, *given: Tensor) -> Tensor:
        logits_NK: Tensor = checkpoint(self._logits, *given, use_reentrant=False)
        return logits_NK

    def _logits(self, x_TCN: Tensor, seen_TN: Tensor, month_T: Tensor) -> Tensor:
        channels_NTC = with_ndvi(self._reflectance((x_TCN * seen_TN[:, None]).permute(2, 0, 1)))
        features_ND = self.encoder(channels_NTC.to(x_TCN.dtype), seen_TN.T, month_T)
        logits_NK: Tensor = self.head(features_ND)
        return logits_NK

    def _reflectance(self, x_NTC: Tensor) -> Tensor:
        return x_NTC.float() * self.spread.float() + self.mean.float()


def with_ndvi(reflectance_NTC: Tensor) -> Tensor:
    """NDVI as one more channel, 0 where both bands are. Noise that is added in training may make bands negative."""
    red_NT, nir_NT = reflectance_NTC[..., RED], reflectance_NTC[..., NIR]
    ndvi_NT = ((nir_NT - red_NT) / (nir_NT + red_NT).clamp(min=1e-6)).clamp(-1, 1)
    return torch.cat([reflectance_NTC, ndvi_NT[..., None]], dim=-1)


def _parts(x_TCP: Tensor, seen_TP: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """The last one gets company that nobody saw."""
    at_once = PIXELS_AT_ONCE if x_TCP.is_cpu else ON_A_GPU
    for x_TCN, seen_TN in zip(torch.split(x_TCP, at_once, -1), torch.split(seen_TP, at_once, -1), strict=True):
        lacking = at_once - x_TCN.shape[-1]
        yield nn.functional.pad(x_TCN, (0, lacking)), nn.functional.pad(seen_TN, (0, lacking))
