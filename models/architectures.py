"""The networks and forests by name: what a card's `architecture` means."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from models.batch_loss import BatchLoss, SegmentationLoss
from models.card import Card
from models.depthcropseg import DepthCropSeg, DepthCropSegSettings
from models.depthseg import DepthSeg, DepthSegSettings
from models.errors import Misfit
from models.forest_settings import ContextForestSettings, ForestSettings
from models.network import Network, NetworkSettings
from models.presto import Presto
from models.presto_settings import PrestoSettings
from models.structure_loss import PromptedLoss
from models.swift import Swift, SwiftSettings
from models.tsvit import TSViT, TSViTSettings
from models.unet import UNet, UNetSettings
from models.utae import UTAE, UTAESettings
from models.vista import Vista
from models.vista_settings import VistaSettings


@dataclass(frozen=True)
class Architecture:
    """The settings that a card holds, the network that they build, and what training makes small.

    `loss` is called with LossSettings and the weights of the classes, and gives a BatchLoss; `has_target` says that it
    takes a structural target besides. `encoder` is where in the network official weights belong, if they do; `months`
    says that periods must lie in the calendar.
    """

    settings: type[Any]
    network: type[Any]
    loss: Callable[..., BatchLoss] = SegmentationLoss
    has_target: bool = False
    encoder: str = ""
    months: bool = False


NETWORKS: dict[str, Architecture] = {
    "unet": Architecture(UNetSettings, UNet),
    "utae": Architecture(UTAESettings, UTAE),
    "tsvit": Architecture(TSViTSettings, TSViT),
    "vista": Architecture(VistaSettings, Vista),
    "swift": Architecture(SwiftSettings, Swift),
    "depthseg": Architecture(DepthSegSettings, DepthSeg, PromptedLoss, has_target=True, encoder="encoder"),
    "depthcropseg": Architecture(DepthCropSegSettings, DepthCropSeg, encoder="pyramid.encoder"),
    "presto": Architecture(PrestoSettings, Presto, encoder="encoder", months=True),
}


FORESTS: dict[str, type[ForestSettings]] = {
    "forest-spectral": ForestSettings,
    "forest-context": ContextForestSettings,
}
"""What a card of a forest holds; its trees are fitted, so there is no network to build."""

SETTINGS: dict[str, type[NetworkSettings]] = {name: row.settings for name, row in NETWORKS.items()} | FORESTS


def settings_of(card: Card) -> NetworkSettings:
    """The settings in a card, checked against what else the card says."""
    if card.architecture not in SETTINGS:
        known = ", ".join(SETTINGS)
        raise Misfit(f"checkpoint {card.name} of architecture {card.architecture!r}", f"{known} are known.", "Update.")
    settings = SETTINGS[card.architecture].of(card.settings)
    says = {"bands": len(card.bands), "periods": len(card.period_index), "classes": len(card.classes)}
    builds = {"bands": settings.bands, "periods": settings.periods, "classes": settings.classes}
    if says != builds:
        raise Misfit(f"card {card.name} of {says}", f"its network is built for {builds}.", "Train again.")
    return settings


def build(card: Card) -> Network:
    """The network of a card, before it has been given its weights: it knows how its bands were normalised."""
    settings = settings_of(card)
    if card.architecture not in NETWORKS:
        raise Misfit(f"card {card.name}", "a forest is fitted to pixels at once.", "Use models.forest_fitting.")
    network: Network = NETWORKS[card.architecture].network(settings)
    network.accept(card.normalisation)
    return network
