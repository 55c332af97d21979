"""How many tiles a worker of `map` has in hand, and how many flow past it at once."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from models.network import NetworkSettings

LEASES = 4
"""For each actor, at least, where there are enough items."""

TILES_IN_HAND = 2
"""Leases of an actor that maps on one core: while the network sees one, the last is written and the next is read."""

ANSWERS = 1 << 26
"""Bytes, at most, of what is answered for tiles that flow together."""

Shape = tuple[int, int]
"""Rows and columns of tiles."""


def groups_in_hand(gpus: float) -> int:
    """For a GPU some are read, by all of an actor's cores, while one is at the network and others are written."""
    return 4 if gpus else TILES_IN_HAND


def together(settings: "NetworkSettings", gpus: float, side: int, from_afar: bool, probabilities: bool) -> Shape:
    """Tiles that a worker sees at once, so that the ground around them is read and seen once."""
    if gpus and settings.uses_gpu:
        return 2, 2
    return (1, 1) if gpus or from_afar else flowing_together(settings, side, probabilities)


def flowing_together(settings: "NetworkSettings", side: int, probabilities: bool) -> Shape:
    """Of tiles of so many pixels on a side that flow past a CPU together: as many as are as wide as is best, and twice
    as high. They take little more memory than one does, but for their answers."""
    shape = max(2 * settings.flow // side, 1), max(settings.flow // side, 1)
    while shape != (1, 1) and shape[0] * shape[1] * settings.answer_bytes(side**2, probabilities) > ANSWERS:
        shape = halved(shape)
    return shape


def halved(shape: Shape) -> Shape:
    """Never wider than high: what flows takes memory by its width."""
    rows, cols = shape
    return (rows, cols // 2) if cols >= rows else (rows // 2, cols)
