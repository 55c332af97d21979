"""The published U-TAE: its settings, and where each of its weights goes."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from models.errors import Misfit

PUBLISHED: dict[str, Any] = {
    "bands": 10,
    "classes": 20,
    "norm": "group",
    "padding": "reflect",
    "mask": "frame",
    "published_head": True,
}
"""The settings in which our U-TAE computes what the public implementation does (repository VSainteuf/utae-paps)."""

BLOCKS = {
    "in_conv.conv.conv.": "first.",
    "down_blocks.": "down.",
    "up_blocks.": "up.",
    "temporal_encoder.attention_heads.Q": "time.query",
    "temporal_encoder.attention_heads.fc1_k.": "time.keys.",
    "temporal_encoder.inconv.": "time.inward.",
    "temporal_encoder.mlp.": "time.outward.",
    "temporal_encoder.in_norm.": "time.in_norm.",
    "temporal_encoder.out_norm.": "time.out_norm.",
    "out_conv.conv.conv.": "head.",
}

LAYERS = {
    ".down.conv.": ".halve.",
    ".conv1.conv.": ".one.",
    ".conv2.conv.": ".two.",
    ".skip_conv.": ".skip.",
    ".up.": ".doubled.",
}

POINTWISE = ("time.inward.weight", "time.outward.0.weight")
"""Linear layers there, 1x1 convolutions here."""


def from_published(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A state of the public implementation under our names."""
    renamed = {_name(name): value for name, value in state.items()}
    for name in POINTWISE:
        if name in renamed:
            renamed[name] = renamed[name].reshape(*renamed[name].shape[:2], 1, 1)
    return renamed


def _name(published: str) -> str:
    for theirs, ours in BLOCKS.items():
        if published.startswith(theirs):
            return ours + _layer(published.removeprefix(theirs))
    raise Misfit(f"weight {published}", "the published U-TAE has none of this name.", "Give its state dictionary.")


def _layer(rest: str) -> str:
    for theirs, ours in LAYERS.items():
        number, found, behind = rest.partition(theirs)
        if found:
            return number + ours + behind
    return rest
