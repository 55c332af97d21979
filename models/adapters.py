"""Which parts of networks can begin with official weights, and what knows the names in their files."""

from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor, nn

from models.encoder import Encoder
from models.official_names import fill_encoder
from models.presto_encoder import PrestoEncoder
from models.presto_names import fill_presto

ADAPTERS: dict[type[nn.Module], Callable[[Any, Mapping[str, Tensor]], None]] = {
    Encoder: fill_encoder,
    PrestoEncoder: fill_presto,
}


def fill_official(encoder: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Strictly: what is unknown, missing or of another shape is a Misfit."""
    ADAPTERS[type(encoder)](encoder, state)
