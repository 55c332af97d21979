"""The smallest networks of every architecture that still have every part, and a cloudy season to give them."""

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from models.architectures import NETWORKS
from models.network import Network, NetworkSettings
from models.presto_settings import PrestoSettings
from models.swift import SwiftSettings
from models.tsvit import TSViTSettings
from models.unet import UNetSettings
from models.utae import UTAESettings
from models.vista_settings import VistaSettings

COMMON: dict[str, Any] = {"bands": 3, "periods": 5, "classes": 4}
"""Five periods are three, then two in the coarser stages of VistaFormer."""

SMALL: dict[str, NetworkSettings] = {
    "unet": UNetSettings(**COMMON, widths=(4, 8)),
    "utae": UTAESettings(**COMMON, widths=(4, 8, 8), decoder_widths=(4, 4, 8), heads=4, model_width=16),
    "tsvit": TSViTSettings(**COMMON, crop=8, width=8, depth=1, heads=2),
    "vista": VistaSettings(**COMMON, widths=(4, 4, 8), heads=(1, 2, 2), depth=1, head_width=4, crop=8),
    "swift": SwiftSettings(**COMMON, moments=2, gate_width=4, widths=(4, 4, 8), depth=1),
    "presto": PrestoSettings(**COMMON | {"bands": 10}, width=16, depth=2, heads=2, expansion=2, location=(48.0, 16.0)),
}


def built(architecture: str, seed: int = 7, **options: Any) -> Network:
    """Untrained, with statistics and scales as after training: none is 0 or 1."""
    torch.manual_seed(seed)
    network: Network = NETWORKS[architecture].network(replace(SMALL[architecture], **options))
    return as_trained(network)


def as_trained(network: Network) -> Network:
    random = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for layer in network.modules():
            for name in ("weight", "bias", "running_mean", "running_var"):
                value = getattr(layer, name, None) if "Norm" in type(layer).__name__ else None
                if isinstance(value, Tensor):
                    value.copy_(0.5 + torch.rand(value.shape, generator=random))
    return network.eval()


def season(
    settings: NetworkSettings, height: int, width: int, patches: int = 1, seed: int = 1
) -> tuple[Tensor, Tensor, Tensor]:
    """Pixels, where they were seen (three in four), and when."""
    random = torch.Generator().manual_seed(seed)
    x = torch.randn(patches, settings.periods, settings.bands, height, width, generator=random)
    seen = torch.rand(patches, settings.periods, height, width, generator=random) < 0.75
    when = torch.linspace(100, 250, settings.periods).repeat(patches, 1)
    return x * seen[:, :, None], seen, when
