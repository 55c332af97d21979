"""The networks by name: what a card's `architecture` means."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from models.batch_loss import BatchLoss, SegmentationLoss
from models.card import Card
from models.errors import Misfit
from models.network import Network, NetworkSettings
from models.unet import UNet, UNetSettings


@dataclass(frozen=True)
class Architecture:
    """The settings that a card holds, the network that they build, and what training makes small.

    `loss` is called with LossSettings and the weights of the classes, and gives a BatchLoss.
    """

    settings: type[Any]
    network: type[Any]
    loss: Callable[..., BatchLoss] = SegmentationLoss


NETWORKS: dict[str, Architecture] = {
    "unet": Architecture(UNetSettings, UNet),
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
