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


class Making(Protocol):
    """A layer that keeps the size of maps, or halves it. What it makes lies below so many rows that nobody has filled.
    One that sees a row above and below of each loses those two, if it is not to put zeros beyond them."""

    def __call__(self, x_BCYX: Tensor, padded: bool = True, above: int = 0) -> Tensor: ...


class Maps(Protocol):
    """Layers keep the width of maps, or halve it, or double it, as they do the height."""

    def through(self, layer: Look) -> Self:
        """A layer that makes each row of one."""
        ...

    def wide(self, layer: Making) -> Self:
        """A layer that looks around."""
        ...

    def halved(self, layer: Making) -> Self:
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


Next = Callable[[int], Tensor | None]
"""The next slab, of any number of rows, below so many that nobody has filled; None when all have come. Who asks puts
rows there that it has kept: to lay both into new memory would be a pass over all of the slab."""


@dataclass(frozen=True, eq=False)
class Flow:
    """In slabs. The rows of a step are one row at the lowest resolution: layers that look around give whole steps, so
    that there are two rows for each that is halved."""

    following: Next
    height: int
    step: int

    @staticmethod
    def of(slabs: Iterable[Tensor], height: int, step: int, free: int = 0) -> "Flow":
        """Of slabs that have so many rows nobody has filled."""
        return Flow(_coming(iter(slabs), free), height, step)

    @staticmethod
    def most_kept(step: int) -> int:
        """Rows that a layer which looks around keeps of those that it has seen: a source had best have them free."""
        return step + 1

    def __iter__(self) -> Iterator[Tensor]:
        return iter(lambda: self.following(0), None)

    def through(self, layer: Look) -> "Flow":
        return Flow(_each(_above(layer), self.following), self.height, self.step)

    def wide(self, layer: Making) -> "Flow":
        return Flow(_seen(layer, self.following, self.step), self.height, self.step)

    def halved(self, layer: Making) -> "Flow":
        return Flow(_each(layer, self.following), self.height // 2, self.step // 2)

    def doubled(self, layer: Look) -> "Flow":
        return Flow(_each(_above(layer), self.following), self.height * 2, self.step * 2)

    def cut(self, pixels: int) -> "Flow":
        rows = slice(pixels, self.height - pixels)
        return Flow(_some(self.following, rows, pixels), rows.stop - rows.start, self.step) if pixels else self

    def twice(self) -> tuple["Flow", "Flow"]:
        passed = deque[Tensor]()
        first, second = _noted(self.following, passed), _noted_before(passed)
        return Flow(first, self.height, self.step), Flow(second, self.height, self.step)

    def plus(self, other: "Flow") -> "Flow":
        return Flow(_sums(self.following, other.following), self.height, self.step)


def room_for(like: Tensor, above: int) -> Tensor:
    """Maps of the same size and so many rows more, of which nothing is filled; channels lie last."""
    batch, channels, height, width = like.shape
    return torch.empty((batch, channels, above + height, width), dtype=like.dtype, memory_format=torch.channels_last)


def lowered(x: Tensor, above: int) -> Tensor:
    """The same, below rows that nobody has filled."""
    if not above:
        return x
    found = room_for(x, above)
    found[:, :, above:] = x
    return found


def _coming(slabs: Iterator[Tensor], free: int) -> Next:
    def following(above: int) -> Tensor | None:
        slab = next(slabs, None)
        if slab is None:
            return None
        return slab[:, :, free - above :] if above <= free else lowered(slab[:, :, free:], above)

    return following


def _above(layer: Look) -> Making:
    return lambda slab, padded=True, above=0: lowered(layer(slab), above)


def _each(layer: Making, before: Next) -> Next:
    def following(above: int) -> Tensor | None:
        slab = before(0)
        return None if slab is None else layer(slab, above=above)

    return following


def _seen(layer: Making, before: Next, step: int) -> Next:
    """Rows are kept until the one below has come, and those that it still needs beyond that."""
    kept: Tensor | None = None

    def following(above: int) -> Tensor | None:
        nonlocal kept
        free = 1 if kept is None else kept.shape[2]
        while (x := before(free)) is not None:
            x[:, :, :free] = 0 if kept is None else kept  # beyond the window there is nothing
            ready = (x.shape[2] - 2) // step * step
            kept = x[:, :, ready:].clone()
            if ready:
                return layer(x[:, :, : ready + 2], padded=False, above=above)
            free = kept.shape[2]
        last, kept = kept, None
        return None if last is None else layer(_joined(last, _nothing(last)), padded=False, above=above)

    return following


def _nothing(like: Tensor) -> Tensor:
    """A row of what lies beyond the window."""
    return torch.zeros_like(like[:, :, :1])


def _joined(above: Tensor, below: Tensor) -> Tensor:
    """Channels stay last."""
    return torch.cat([above.permute(0, 2, 3, 1), below.permute(0, 2, 3, 1)], dim=1).permute(0, 3, 1, 2)


def _noted(before: Next, passed: deque[Tensor]) -> Next:
    def following(above: int) -> Tensor | None:
        slab = before(above)
        if slab is not None:
            passed.append(slab[:, :, above:])
        return slab

    return following


def _noted_before(passed: deque[Tensor]) -> Next:
    return lambda above: lowered(passed.popleft(), above) if passed else None


def _some(before: Next, rows: slice, beside: int) -> Next:
    """Without the columns beside them, too."""
    top = 0

    def following(above: int) -> Tensor | None:
        nonlocal top
        while (slab := before(0)) is not None:
            part = slab[:, :, max(rows.start - top, 0) : max(rows.stop - top, 0), beside : slab.shape[3] - beside]
            top += slab.shape[2]
            if part.shape[2]:
                return lowered(part, above)
            del slab, part
        return None

    return following


def _sums(before: Next, others: Next) -> Next:
    """Into the first, in whose slabs they come, if no room is asked for above them."""
    other: Tensor | None = None

    def following(above: int) -> Tensor | None:
        nonlocal other
        slab = before(0)
        if slab is None:
            return None
        found = room_for(slab, above) if above else slab
        sums, done = found[:, :, above:], 0
        while done < slab.shape[2]:
            other = other if other is not None and other.shape[2] else others(0)
            assert other is not None, "fewer rows came of the second"
            rows = min(slab.shape[2] - done, other.shape[2])
            these = slice(done, done + rows)
            torch.add(slab[:, :, these], other[:, :, :rows], out=sums[:, :, these])
            other, done = other[:, :, rows:], done + rows
        return found

    return following
