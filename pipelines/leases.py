"""How many tiles a worker of `map` has in hand, and how many flow past it at once."""

from collections.abc import Iterable, Iterator
from math import prod
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from models.network import NetworkSettings

TILES_IN_HAND = 2
"""Leases of an actor that maps on one core: while the network sees one, the last is written and the next is read."""

ANSWERS = 1 << 26
"""Bytes, at most, of what is answered for tiles that flow together."""

TALL = 4
"""What flows is so many times as high as it is wide: rows cost no memory, but for what is answered of them."""

EDGE = 3
"""Halos, the width of a strip that costs as much as what is seen and decoded once more along two edges."""

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
    """Of tiles of so many pixels on a side that flow past a CPU together: as many as are as wide as is best. They take
    little more memory than one does, but for their answers."""
    shape = max(TALL * settings.flow // side, 1), max(settings.flow // side, 1)
    each = settings.answer_bytes(side**2, probabilities)
    return next((one for one in smaller(shape) if prod(one) * each <= ANSWERS), (1, 1))


def of_least_cost(shapes: Iterable[Shape], side: int, halo: int, tiles: float) -> Shape:
    """Of tiles with a halo, where each worker has so many."""
    return min(shapes, key=lambda shape: cost(shape, side, halo, tiles))


def cost(shape: Shape, side: int, halo: int, tiles: float, edge: float = EDGE) -> float:
    """Of ground that is seen so many tiles at once, against 1 if it had no edges and nobody waited. The larger what is
    seen together, the less ground is seen more than once; and the longer the others wait for the last, half of one on
    average."""
    return prod(1 + edge * halo / (side * count) for count in shape) * (1 + prod(shape) / (2 * tiles))


def smaller(shape: Shape) -> Iterator[Shape]:
    """It, and half of it, and so on."""
    yield shape
    while shape != (1, 1):
        shape = halved(shape)
        yield shape


def halved(shape: Shape) -> Shape:
    """Never wider than high: what flows takes memory by its width."""
    rows, cols = shape
    return (rows, cols // 2) if cols >= rows else (rows // 2, cols)
