"""Maps of a window, whole or flowing by from above to below: a network asks the same of both.

Of what flows only some rows are in memory at any time, and every row goes through every layer once.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol, Self, TypeVar

import torch
from torch import Tensor

Look = Callable[[Tensor], Tensor]
"""Of a layer, from maps to maps (B, C, Y, X)."""


class Wide(Protocol):
    """A layer that sees one row above and below of each, and keeps the size of maps; or loses those two rows, if it is
    not to put zeros beyond them."""

    def __call__(self, x_BCYX: Tensor, padded: bool = True) -> Tensor: ...


class Maps(Protocol):
    """Layers keep the width of maps, or halve it, or double it, as they do the height."""

    def through(self, layer: Look) -> Self:
        """A layer that makes each row of one."""
        ...

    def wide(self, layer: Wide) -> Self:
        """A layer that looks around."""
        ...

    def halved(self, layer: Look) -> Self:
        """Each row of the answer is made of two."""
        ...

    def doubled(self, layer: Look) -> Self:
        """Each row makes two of the answer."""
        ...

    def cut(self, pixels: int) -> Self:
        """Without so many along each edge."""
        ...

    def twice(self) -> tuple[Self, Self]:
        """For two that look at them, the second at nothing that the first has not come to."""
        ...

    def plus(self, other: Self) -> Self:
        """The sum of both, of which the first is used for nothing else."""
        ...


AnyMaps = TypeVar("AnyMaps", bound=Maps)


@dataclass(frozen=True, eq=False)
class Whole:
    x: Tensor

    def through(self, layer: Look) -> "Whole":
        return Whole(layer(self.x))

    wide = halved = doubled = through

    def cut(self, pixels: int) -> "Whole":
        height, width = self.x.shape[-2:]
        return Whole(self.x[..., pixels : height - pixels, pixels : width - pixels]) if pixels else self

    def twice(self) -> tuple["Whole", "Whole"]:
        return self, self

    def plus(self, other: "Whole") -> "Whole":
        return Whole(self.x + other.x)


@dataclass(frozen=True, eq=False)
class Flow:
    """In slabs of any number of rows, in turn. Those of a step are one row at the lowest resolution: layers that look
    around give whole steps, so that there are two rows for each that is halved."""

    slabs: Iterator[Tensor]
    height: int
    step: int

    def through(self, layer: Look) -> "Flow":
        return Flow(map(layer, self.slabs), self.height, self.step)

    def wide(self, layer: Wide) -> "Flow":
        return Flow(_seen(layer, self.slabs, self.step), self.height, self.step)

    def halved(self, layer: Look) -> "Flow":
        return Flow(map(layer, self.slabs), self.height // 2, self.step // 2)

    def doubled(self, layer: Look) -> "Flow":
        return Flow(map(layer, self.slabs), self.height * 2, self.step * 2)

    def cut(self, pixels: int) -> "Flow":
        rows = slice(pixels, self.height - pixels)
        return Flow(_some(self.slabs, rows, pixels), rows.stop - rows.start, self.step) if pixels else self

    def twice(self) -> tuple["Flow", "Flow"]:
        passed = deque[Tensor]()
        first, second = _noted(self.slabs, passed), handed_on(passed)
        return Flow(first, self.height, self.step), Flow(second, self.height, self.step)

    def plus(self, other: "Flow") -> "Flow":
        return Flow(_sums(self.slabs, other.slabs), self.height, self.step)


def _seen(layer: Wide, slabs: Iterable[Tensor], step: int) -> Iterator[Tensor]:
    """Rows are kept until the one below has come, and those that it still needs beyond that."""
    kept = None
    for slab in slabs:
        x = _joined(_nothing(slab) if kept is None else kept, slab)
        ready = (x.shape[2] - 2) // step * step
        kept, seen = x[:, :, ready:].clone(), deque([layer(x[:, :, : ready + 2], padded=False)] if ready else [])
        del slab, x
        yield from handed_on(seen)
    if kept is not None:
        yield layer(_joined(kept, _nothing(kept)), padded=False)


def handed_on(slabs: deque[Tensor]) -> Iterator[Tensor]:
    """While others look at a slab, nobody here keeps it alive."""
    while slabs:
        yield slabs.popleft()


def _nothing(like: Tensor) -> Tensor:
    """A row of what lies beyond the window."""
    return torch.zeros_like(like[:, :, :1])


def _joined(above: Tensor, below: Tensor) -> Tensor:
    """Channels stay last."""
    return torch.cat([above.permute(0, 2, 3, 1), below.permute(0, 2, 3, 1)], dim=1).permute(0, 3, 1, 2)


def _noted(slabs: Iterable[Tensor], passed: deque[Tensor]) -> Iterator[Tensor]:
    for slab in slabs:
        passed.append(slab)
        del slab
        yield passed[-1]


def _some(slabs: Iterable[Tensor], rows: slice, beside: int) -> Iterator[Tensor]:
    """Without the columns beside them, too."""
    top = 0
    for slab in slabs:
        part = slab[:, :, max(rows.start - top, 0) : max(rows.stop - top, 0), beside : slab.shape[3] - beside]
        parts = deque([part] if part.shape[2] else [])
        top += slab.shape[2]
        del slab, part
        yield from handed_on(parts)


def _sums(slabs: Iterable[Tensor], others: Iterator[Tensor]) -> Iterator[Tensor]:
    """Into the first, in whose slabs they come."""
    other = None
    for slab in slabs:
        done = 0
        while done < slab.shape[2]:
            other = other if other is not None and other.shape[2] else next(others)
            rows = min(slab.shape[2] - done, other.shape[2])
            slab[:, :, done : done + rows] += other[:, :, :rows]
            other, done = other[:, :, rows:], done + rows
        sums = deque([slab])
        del slab
        yield from handed_on(sums)
