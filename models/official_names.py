"""Official weights under their makers' names, renamed for our encoder and depth decoder; what does not fit is refused.

Read are state dicts of DINOv2 and Depth Anything V2 as Meta and the authors named them, and as Hugging Face does.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from torch import Tensor, nn

from models.encoder import Encoder
from models.encoder_sizes import SIZES
from models.errors import Misfit
from models.renaming import Rules, fill, renamed

_LEFT_OUT: Rules = (
    (r"(embeddings\.)?mask_token", None),  # of DINOv2's own training
    (r"scratch\.refinenet4\.resConfUnit1\..+", None),  # the deepest scale has none below it to be added to
    (r"neck\.fusion_stage\.layers\.0\.residual_layer1\..+", None),
)

META_ENCODER: Rules = (
    (r"cls_token", "embeddings.cls_token"),
    (r"pos_embed", "embeddings.position_embeddings"),
    (r"patch_embed\.proj\.(\w+)", r"embeddings.patch_embeddings.projection.\1"),
    (r"blocks\.(\d+)\.(norm[12]\.\w+)", r"encoder.layer.\1.\2"),
    (r"blocks\.(\d+)\.ls([12])\.gamma", r"encoder.layer.\1.layer_scale\2.lambda1"),
    (r"blocks\.(\d+)\.attn\.([qkv])\.(\w+)", r"encoder.layer.\1.attention.\2_proj.\3"),
    (r"blocks\.(\d+)\.attn\.proj\.(\w+)", r"encoder.layer.\1.attention.o_proj.\2"),
    (r"blocks\.(\d+)\.(mlp\.fc[12]\.\w+)", r"encoder.layer.\1.\2"),
    (r"norm\.(\w+)", r"layernorm.\1"),
)

# Files of Hugging Face keep the longer names of attention that its library began with.
HUGGING_FACE_ENCODER: Rules = (
    (r"(encoder\.layer\.\d+\.attention)\.attention\.query\.(\w+)", r"\1.q_proj.\2"),
    (r"(encoder\.layer\.\d+\.attention)\.attention\.key\.(\w+)", r"\1.k_proj.\2"),
    (r"(encoder\.layer\.\d+\.attention)\.attention\.value\.(\w+)", r"\1.v_proj.\2"),
    (r"(encoder\.layer\.\d+\.attention)\.output\.dense\.(\w+)", r"\1.o_proj.\2"),
    (r"((embeddings|encoder|layernorm)\..+)", r"\1"),
)

_HEAD = {"output_conv1": "first", "output_conv2.0": "second", "output_conv2.2": "third"}

AUTHORS_DECODER: Rules = (
    (r"projects\.(\d)\.(\w+)", r"reassemble.projects.\1.\2"),
    (r"resize_layers\.(\d)\.(\w+)", r"reassemble.resizes.\1.\2"),
    *((rf"scratch\.layer{n + 1}_rn\.weight", f"laterals.{n}.weight") for n in range(4)),
    *((rf"scratch\.refinenet{n + 1}\.out_conv\.(\w+)", rf"fusions.{n}.out.\1") for n in range(4)),
    *(
        (rf"scratch\.refinenet{n + 1}\.resConfUnit{unit}\.conv{conv}\.(\w+)", rf"fusions.{n}.{part}.{place}.\1")
        for n in range(4)
        for unit, part in ((1, "lateral"), (2, "trunk"))
        for conv, place in ((1, "first"), (2, "second"))
    ),
    *((rf"scratch\.{re.escape(theirs)}\.(\w+)", rf"{ours}.\1") for theirs, ours in _HEAD.items()),
)

HUGGING_FACE_DECODER: Rules = (
    (r"neck\.reassemble_stage\.layers\.(\d)\.projection\.(\w+)", r"reassemble.projects.\1.\2"),
    (r"neck\.reassemble_stage\.layers\.(\d)\.resize\.(\w+)", r"reassemble.resizes.\1.\2"),
    (r"neck\.convs\.(\d)\.weight", r"laterals.\1.weight"),
    # Hugging Face counts its fusions from the deepest.
    *((rf"neck\.fusion_stage\.layers\.{3 - n}\.projection\.(\w+)", rf"fusions.{n}.out.\1") for n in range(4)),
    *(
        (
            rf"neck\.fusion_stage\.layers\.{3 - n}\.residual_layer{unit}\.convolution{conv}\.(\w+)",
            rf"fusions.{n}.{part}.{place}.\1",
        )
        for n in range(4)
        for unit, part in ((1, "lateral"), (2, "trunk"))
        for conv, place in ((1, "first"), (2, "second"))
    ),
    *((rf"head\.conv{n}\.(\w+)", rf"{ours}.\1") for n, ours in enumerate(("first", "second", "third"), start=1)),
)


@dataclass(frozen=True)
class Naming:
    """`mark` is a name that only this naming has; names of the encoder begin with `encoder`, others with `decoder`."""

    mark: str
    encoder: str
    encoder_rules: Rules
    decoder: str = ""
    decoder_rules: Rules = ()


NAMINGS: dict[str, Naming] = {
    "DINOv2 of Meta": Naming("pos_embed", "", META_ENCODER),
    "DINOv2 of Hugging Face": Naming("embeddings.position_embeddings", "", HUGGING_FACE_ENCODER),
    "Depth Anything V2 of its authors": Naming(
        "pretrained.pos_embed", "pretrained.", META_ENCODER, "depth_head.", AUTHORS_DECODER
    ),
    "Depth Anything V2 of Hugging Face": Naming(
        "backbone.embeddings.position_embeddings", "backbone.", HUGGING_FACE_ENCODER, "", HUGGING_FACE_DECODER
    ),
}


def naming_of(state: Mapping[str, Tensor]) -> Naming:
    for naming in NAMINGS.values():
        if naming.mark in state:
            return naming
    first = ", ".join(sorted(state)[:3]) or "nothing"
    raise Misfit(f"weights of {first} ..", f"they are none of {'; '.join(NAMINGS)}.", "Give a file of one of these.")


def size_in(state: Mapping[str, Tensor]) -> str:
    """The name of the size of the encoder, by the width of its positions."""
    dim = state[naming_of(state).mark].shape[-1]
    for name, size in SIZES.items():
        if size.dim == dim:
            return name
    raise Misfit(f"an encoder of width {dim}", f"sizes {', '.join(SIZES)} are built.", "Give weights of one of them.")


def fill_encoder(encoder: Encoder, state: Mapping[str, Tensor]) -> None:
    """From DINOv2, or from the encoder of Depth Anything."""
    naming, size = naming_of(state), size_in(state)
    if SIZES[size] != encoder.size:
        why = f"the network's encoder is {encoder.size.dim} wide."
        raise Misfit(f"weights of size {size!r}", why, f"Give those of its size, or write size = {size!r}.")
    own = {name: value for name, value in state.items() if not naming.decoder_rules or name.startswith(naming.encoder)}
    fill(encoder, {f"backbone.{name}": value for name, value in _renamed(own, naming.encoder, naming.encoder_rules)})


def fill_depth(encoder: Encoder, decoder: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Both parts of Depth Anything."""
    naming = naming_of(state)
    if not naming.decoder_rules:
        raise Misfit("weights of DINOv2", "they hold an encoder, and no depth.", "Give those of Depth Anything V2.")
    fill_encoder(encoder, state)
    rest = {name: value for name, value in state.items() if not name.startswith(naming.encoder)}
    fill(decoder, dict(_renamed(rest, naming.decoder, naming.decoder_rules)))


def _renamed(state: Mapping[str, Tensor], prefix: str, rules: Rules) -> Iterator[tuple[str, Tensor]]:
    for name, value in _parted(state):
        ours = renamed(name.removeprefix(prefix), (*_LEFT_OUT, *rules), name)
        if ours is not None:
            yield ours, value


def _parted(state: Mapping[str, Tensor]) -> Iterator[tuple[str, Tensor]]:
    """Meta keeps queries, keys and values of a block in one matrix, one above the other."""
    for name, value in state.items():
        if ".attn.qkv." not in name:
            yield name, value
            continue
        for letter, part in zip("qkv", value.chunk(3), strict=True):
            yield name.replace(".qkv.", f".{letter}."), part
