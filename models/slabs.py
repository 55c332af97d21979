"""What is made of each pixel alone, of a window that comes in blocks: in slabs, which are some whole rows of it."""

from collections import deque
from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from models.window import Blocks, Counts

COLUMNS_AT_ONCE = 256
"""Those of a chunk of the cube: pixels of some of its rows lie beside each other."""

SLAB = 140_000
"""Pixels, about: more leave the processor's cache, and fewer are many small steps."""

OfCounts = Callable[[Counts], tuple[Tensor, Tensor]]
"""Of some pixels (T, B, Y, X) what is made of them (1, C, Y, X), and where any of them is known (Y, X)."""

# Axis legend: T period, B band, C channel, Y row, X column.


def slabs_of(used: Blocks, look: OfCounts, at_once: int, known_YX: Tensor, free: int = 0) -> Iterator[Tensor]:
    """Pixels are made ready as the network comes to them, some at once: they stay in a processor's cache. Where they
    are known is noted. Each slab lies below some rows that nobody has filled."""
    slabs, done = deque[Tensor](), 0
    for (rows, columns), block_TBYX in used.blocks:
        assert columns.start == done, f"columns {done} to {columns.start} did not come"
        height, width = block_TBYX.shape[-2:]
        for down, across in pieces(height, width, at_once):
            maps_BCYX, known_YX[rows, columns][down, across] = look(block_TBYX[..., down, across])
            slabs = slabs or deque(_empty(maps_BCYX, height, used.width, free))
            _lay(maps_BCYX, [slab[:, :, free:] for slab in slabs], down.start, columns.start + across.start)
        done = columns.stop % used.width
        while slabs and not done:
            yield slabs.popleft()  # while others look at it, nobody here keeps it alive


def pieces(height: int, width: int, at_once: int) -> Iterator[tuple[slice, slice]]:
    """Rectangles of nearly as many pixels as are wanted at once."""
    for x in range(0, width, COLUMNS_AT_ONCE):
        across = min(width - x, COLUMNS_AT_ONCE)
        down = max(at_once // across, 1)
        for y in range(0, height, down):
            yield slice(y, min(y + down, height)), slice(x, x + across)


def _empty(like_BCYX: Tensor, height: int, width: int, free: int) -> Iterator[Tensor]:
    """Channels lie last. All rows of a wide window in one would be most of what glibc keeps in a piece."""
    high = -(-height // -(-height * width // SLAB))
    for y in range(0, height, high):
        shape = *like_BCYX.shape[:2], free + min(high, height - y), width
        yield torch.empty(shape, dtype=like_BCYX.dtype, memory_format=torch.channels_last)


def _lay(maps_BCYX: Tensor, slabs: list[Tensor], top: int, left: int) -> None:
    """Each row into the slab that it is of."""
    high, (height, width) = slabs[0].shape[2], maps_BCYX.shape[2:]
    for number in range(top // high, -(-(top + height) // high)):
        above = number * high
        first, end = max(top, above), min(top + height, above + high)
        slabs[number][:, :, first - above : end - above, left : left + width] = maps_BCYX[:, :, first - top : end - top]
