"""How far a score may be off: intervals from drawing blocks of space anew, for one map and for the difference of two.

Pixels of one field are alike, and so are fields of one valley; blocks are what a new sample of ground would differ in.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.errors import Misfit
from models.metrics import OVERALL, Confusion, score

Values = NDArray[np.float64]
Scorer = Callable[[Confusion], Mapping[str, float]]

CHUNK = 64  # draws whose weights are held at a time

# Axis legend: D draw, B block, K class.


@dataclass(frozen=True)
class BootstrapSettings:
    """How often blocks are drawn, how sure an interval is, and how few blocks say nothing."""

    draws: int = 1000
    level: float = 0.95
    seed: int = 0
    least_blocks: int = 2
    least_defined: float = 0.5
    """Share of draws in which a score must be defined (a rare class may be in no block drawn)."""

    def __post_init__(self) -> None:
        if self.draws < 1 or not 0 < self.level < 1 or self.least_blocks < 2 or self.seed < 0:
            raise Misfit(f"{self}", "draws start at 1, blocks at 2, and a level lies between 0 and 1.", "Correct it.")


@dataclass(frozen=True)
class Interval:
    """A score of all blocks and the percentiles of its draws; NaN where blocks are too few or it is rarely defined."""

    value: float
    low: float
    high: float
    blocks: int

    @property
    def is_defined(self) -> bool:
        return bool(np.isfinite(self.low) and np.isfinite(self.high))

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON; what is undefined becomes null."""
        ends = {"value": self.value, "low": self.low, "high": self.high}
        return {name: value if np.isfinite(value) else None for name, value in ends.items()} | {"blocks": self.blocks}


def overall_scores(counted: Confusion) -> dict[str, float]:
    found = score(counted)
    return {name: getattr(found, name) for name in OVERALL}


def intervals(
    blocks: Sequence[Confusion], settings: BootstrapSettings | None = None, scorer: Scorer = overall_scores
) -> dict[str, Interval]:
    """Of every score that `scorer` reads from a confusion matrix. Blocks without a labelled pixel are no blocks."""
    settings = settings or BootstrapSettings()
    stack = _stacked([block for block in blocks if _labelled(block)])
    drawn = [scorer(one) for one in _drawn(stack, settings)]
    return _summary(scorer(_total(stack)), drawn, len(stack), settings)


def paired_differences(
    ours: Sequence[Confusion],
    theirs: Sequence[Confusion],
    settings: BootstrapSettings | None = None,
    scorer: Scorer = overall_scores,
) -> dict[str, Interval]:
    """Our score less theirs: the same draws of the same blocks for both, so that what both find hard cancels out."""
    settings = settings or BootstrapSettings()
    _check_pairs(ours, theirs)
    kept = [i for i, block in enumerate(ours) if _labelled(block)]
    stacks = [_stacked([side[i] for i in kept]) for side in (ours, theirs)]
    pairs = zip(*(_drawn(stack, settings) for stack in stacks), strict=True)
    drawn = [_difference(scorer(one), scorer(other)) for one, other in pairs]
    value = _difference(*(scorer(_total(stack)) for stack in stacks))
    return _summary(value, drawn, len(kept), settings)


def _labelled(block: Confusion) -> bool:
    return bool(block.matrix.any() or block.unmapped.any())


def _stacked(blocks: Sequence[Confusion]) -> Values:
    """(B, K + 1, K): the matrix of each block, and below it what was left unmapped."""
    if not blocks:
        raise Misfit("no blocks", "none has a labelled pixel.", "Count the map against some labels.")
    return np.stack([np.vstack([block.matrix, block.unmapped]) for block in blocks]).astype(np.float64)


def _drawn(stack: Values, settings: BootstrapSettings) -> Iterator[Confusion]:
    """Blocks drawn with replacement are weights of a multinomial: a draw is one product of matrices."""
    if len(stack) < settings.least_blocks:
        return
    random = np.random.default_rng(settings.seed)
    equal = np.full(len(stack), 1 / len(stack))
    for start in range(0, settings.draws, CHUNK):
        weights_DB = random.multinomial(len(stack), equal, size=min(CHUNK, settings.draws - start))
        summed = weights_DB.astype(np.float64) @ stack.reshape(len(stack), -1)
        yield from (_confusion(one) for one in summed.reshape(-1, *stack.shape[1:]))


def _total(stack: Values) -> Confusion:
    return _confusion(stack.sum(axis=0))


def _confusion(summed: Values) -> Confusion:
    """Counts stay whole below 2^53."""
    counts = summed.astype(np.int64)
    return Confusion(counts[:-1], counts[-1])


def _difference(one: Mapping[str, float], other: Mapping[str, float]) -> dict[str, float]:
    return {name: one[name] - other[name] for name in one}


def _summary(
    value: Mapping[str, float], drawn: Sequence[Mapping[str, float]], blocks: int, settings: BootstrapSettings
) -> dict[str, Interval]:
    return {
        name: Interval(float(at), *_ends(np.array([one[name] for one in drawn]), settings), blocks)
        for name, at in value.items()
    }


def _ends(values_D: Values, settings: BootstrapSettings) -> tuple[float, float]:
    known = values_D[np.isfinite(values_D)]
    if not len(values_D) or len(known) < settings.least_defined * len(values_D):
        return float("nan"), float("nan")
    outside = (1 - settings.level) / 2
    low, high = np.quantile(known, [outside, 1 - outside])
    return float(low), float(high)


def _check_pairs(ours: Sequence[Confusion], theirs: Sequence[Confusion]) -> None:
    if len(ours) != len(theirs):
        given = f"{len(ours)} and {len(theirs)} blocks"
        raise Misfit(given, "the same blocks are needed of both.", "Count both maps alike.")
    for i, (one, other) in enumerate(zip(ours, theirs, strict=True)):
        truth = [block.matrix.sum(axis=1) + block.unmapped for block in (one, other)]
        if not np.array_equal(*truth):
            given = f"block {i} with {truth[0].sum()} and {truth[1].sum()} labelled pixels"
            raise Misfit(given, "the truth of both must be the same.", "Count both maps on the same labels.")
