"""The networks by name: what a card's `architecture` means."""

from dataclasses import dataclass
from typing import Any

from models.card import Card
from models.depthcropseg import DepthCropSeg, DepthCropSegSettings
from models.depthseg import DepthSeg, DepthSegSettings
from models.errors import Misfit
from models.network import Network, NetworkSettings
from models.unet import UNet, UNetSettings


@dataclass(frozen=True)
class Architecture:
    """The settings that a card holds, and the network that they build."""

    settings: type[Any]
    network: type[Any]


NETWORKS: dict[str, Architecture] = {
    "unet": Architecture(UNetSettings, UNet),
    "depthseg": Architecture(DepthSegSettings, DepthSeg),
    "depthcropseg": Architecture(DepthCropSegSettings, DepthCropSeg),
}


def settings_of(card: Card) -> NetworkSettings:
    """The settings in a card, checked against what else the card says."""
    if card.architecture not in NETWORKS:
        known = ", ".join(NETWORKS)
        raise Misfit(f"checkpoint {card.name} of architecture {card.architecture!r}", f"{known} are known.", "Update.")
    settings: NetworkSettings = NETWORKS[card.architecture].settings.of(card.settings)
    says = {"bands": len(card.bands), "periods": len(card.period_index), "classes": len(card.classes)}
    builds = {"bands": settings.bands, "periods": settings.periods, "classes": settings.classes}
    if says != builds:
        raise Misfit(f"card {card.name} of {says}", f"its network is built for {builds}.", "Train again.")
    return settings


def build(card: Card) -> Network:
    """The network of a card, before it has been given its weights."""
    settings = settings_of(card)
    network: Network = NETWORKS[card.architecture].network(settings)
    return network
