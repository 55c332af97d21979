"""The sizes of DINOv2's vision transformer, and the widths of what is built upon each."""

from dataclasses import dataclass

from models.errors import Misfit

PATCH = 14
"""Pixels on a side of what becomes one token."""

NATIVE = 37
"""Tokens on a side that the table of positions is learned for: 518 pixels."""


@dataclass(frozen=True)
class EncoderSize:
    """`taps` are the blocks whose tokens are used. `features` and `channels` (of the four scales) are those of the
    depth decoder of Depth Anything V2 on the same encoder; `decoder` is the width of the semantic decoder."""

    dim: int
    blocks: int
    heads: int
    taps: tuple[int, int, int, int]
    features: int
    channels: tuple[int, int, int, int]
    decoder: int
    value_share: float
    """Of the width that deformable attention keeps of its values (ViT-Adapter, arXiv 2205.08534)."""


SIZES: dict[str, EncoderSize] = {
    "tiny": EncoderSize(32, 4, 2, (0, 1, 2, 3), 16, (8, 12, 16, 24), 16, 1.0),
    "s": EncoderSize(384, 12, 6, (2, 5, 8, 11), 64, (48, 96, 192, 384), 128, 1.0),
    "b": EncoderSize(768, 12, 12, (2, 5, 8, 11), 128, (96, 192, 384, 768), 256, 0.5),
    "l": EncoderSize(1024, 24, 16, (4, 11, 17, 23), 256, (256, 512, 1024, 1024), 256, 0.5),
}
"""`tiny` has no official weights: it is for trying things out."""


def size_named(name: str) -> EncoderSize:
    if name not in SIZES:
        raise Misfit(f"encoder size {name!r}", "there is no such size.", f"Write one of {', '.join(SIZES)}.")
    return SIZES[name]
