"""Official weights of Presto under its authors' names, renamed for our encoder; what does not fit is refused."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from models.errors import Misfit
from models.presto_encoder import PrestoEncoder
from models.presto_settings import PrestoSettings
from models.renaming import Rules, fill, renamed

HEADS = 8
"""Of all published weights. No shape tells them, so a network of other heads would take the weights and be wrong."""

# The authors' names of our groups, and the row that each has in their table of channel codes.
OFFICIAL = {
    "rgb": ("S2_RGB", 1),
    "red_edge": ("S2_Red_Edge", 2),
    "nir": ("S2_NIR_10m", 3),
    "narrow_nir": ("S2_NIR_20m", 4),
    "swir": ("S2_SWIR", 5),
    "ndvi": ("NDVI", 8),
}

ROWS = 10
"""Of that table: nine groups of channels, and the classes of Dynamic World."""

ENCODER: Rules = (
    *((rf"eo_patch_embed\.{theirs}\.(weight|bias)", rf"inward.{ours}.\1") for ours, (theirs, _) in OFFICIAL.items()),
    (r"channel_embed\.weight", "channels"),
    (r"month_embed\.weight", "months"),
    (r"pos_embed", "positions"),
    (r"blocks\.(\d+)\.norm1\.(weight|bias)", r"layers.\1.before_attention.\2"),
    (r"blocks\.(\d+)\.norm2\.(weight|bias)", r"layers.\1.before_network.\2"),
    (r"blocks\.(\d+)\.attn\.qkv\.(weight|bias)", r"layers.\1.attention.ask.\2"),
    (r"blocks\.(\d+)\.attn\.proj\.(weight|bias)", r"layers.\1.attention.outward.0.\2"),
    (r"blocks\.(\d+)\.mlp\.fc1\.(weight|bias)", r"layers.\1.network.0.\2"),
    (r"blocks\.(\d+)\.mlp\.fc2\.(weight|bias)", r"layers.\1.network.3.\2"),
    (r"norm\.(weight|bias)", r"norm.\1"),
    # Radar, weather, terrain and Dynamic World: no network here is shown them.
    (r"eo_patch_embed\.(S1|ERA5|SRTM)\.(weight|bias)", None),
    (r"dw_embed\.weight", None),
)

LOCATION = r"latlon_embed\.(weight|bias)"

AROUND: Rules = (
    (r"decoder\.(decoder_embed|decoder_norm|dw_decoder_pred)\.(weight|bias)", None),
    (r"decoder\.(decoder_blocks|eo_decoder_pred)\..+", None),
    (r"decoder\.(mask_token|pos_embed|(month_embed|channel_embeddings)\.weight)", None),
    (r"head\.(linear\.)?(weight|bias)", None),  # of other classes than ours
)
"""What stands around the encoder in a file: the decoder of the authors' own training, or what a task needed."""


@dataclass(frozen=True)
class Naming:
    """`mark` is a name that only this naming has; names of the encoder begin with `encoder`."""

    mark: str
    encoder: str


NAMINGS: dict[str, Naming] = {
    "Presto of its authors": Naming("encoder.channel_embed.weight", "encoder."),
    "Presto's encoder alone": Naming("channel_embed.weight", ""),
}


def fill_presto(encoder: PrestoEncoder, state: Mapping[str, Tensor]) -> None:
    """From the published Presto, or from one that was trained further under its names."""
    if encoder.settings.heads != HEADS:
        why = f"they were trained with {HEADS} heads, and the network has {encoder.settings.heads}."
        raise Misfit("weights of Presto", why, f"Leave heads at {HEADS}.")
    prefix, rules = naming_of(state).encoder, _rules(encoder)
    places = {name: renamed(name, _prefixed(prefix, rules), name) for name in state}
    fill(encoder, {ours: _cut(encoder, ours, state[name]) for name, ours in places.items() if ours is not None})


def _rules(encoder: PrestoEncoder) -> Rules:
    """A network without a location has no place for what the location becomes."""
    return *ENCODER, (LOCATION, None if encoder.location is None else r"location.\1")


def _prefixed(prefix: str, rules: Rules) -> Rules:
    return *((re.escape(prefix) + pattern, ours) for pattern, ours in rules), *AROUND


def _cut(encoder: PrestoEncoder, place: str, value: Tensor) -> Tensor:
    """Of tables, the rows that the network has a use for."""
    if place == "channels":
        _check_shape(place, value, (ROWS, encoder.settings.width // 4))
        return value[[row for _, row in OFFICIAL.values()]]
    if place == "positions":
        return _positions(value, encoder.settings)
    return value


def _positions(value_1TD: Tensor, settings: PrestoSettings) -> Tensor:
    """As many as there are periods; more than the weights were made for have no code."""
    known = value_1TD.shape[1] if value_1TD.ndim == 3 else 0
    _check_shape("positions", value_1TD, (1, known, settings.width // 2))
    if known < settings.periods:
        given, why = f"{settings.periods} periods", f"these weights of Presto were made for {known} at most."
        raise Misfit(given, why, "Write e.g. [imagery] periods = 'month', or give no [model] encoder.")
    return value_1TD[0, : settings.periods]


def _check_shape(place: str, value: Tensor, needed: tuple[int, ...]) -> None:
    if tuple(value.shape) != needed:
        why = f"they must be {needed} for the network."
        raise Misfit(f"{place} of {tuple(value.shape)}", why, "Give weights of the width that the settings name.")


def naming_of(state: Mapping[str, Tensor]) -> Naming:
    for naming in NAMINGS.values():
        if naming.mark in state:
            return naming
    first = ", ".join(sorted(state)[:3]) or "nothing"
    raise Misfit(f"weights of {first} ..", f"they are none of {'; '.join(NAMINGS)}.", "Give a file of one of these.")
