"""Which of the good training patches are used: rare classes likelier, common ones capped, repeatable by seed."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from catalogs.patches import Candidate

LEAST_KEPT = 0.25
"""Share of the patches that capping keeps, though a class then has more than its share: where nearly all ground is of
one class, no choice makes it rare."""

Counts = NDArray[np.float64]
"""Pixels (patch, class)."""


def choose_patches(
    candidates: Sequence[Candidate], most: int | None, cap: float | None, seed: int
) -> tuple[list[Candidate], dict[str, int]]:
    """Those chosen, in the order given, and how many were left out for which reason."""
    counts = np.array([candidate.counts for candidate in candidates], dtype=float)
    everything = np.arange(len(candidates))
    least = int(np.ceil(LEAST_KEPT * min(len(candidates), most or len(candidates))))
    kept = _capped(counts, everything, cap, least)
    drawn = _drawn(counts, kept, most, seed)
    chosen = _capped(counts, drawn, cap, least)
    over = len(everything) - len(kept) + len(drawn) - len(chosen)
    return [candidates[i] for i in chosen], {"over_cap": over, "not_drawn": len(kept) - len(drawn)}


def _drawn(counts: Counts, members: NDArray[np.intp], most: int | None, seed: int) -> NDArray[np.intp]:
    """At most `most` of them, drawn without replacement; patches with rare classes are likelier to be drawn.

    A patch weighs the mean over its labelled pixels of 1 / sqrt(share of the pixel's class).
    """
    if most is None or len(members) <= most:
        return members
    here = counts[members]
    share = here.sum(axis=0) / max(here.sum(), 1)
    rarity = np.divide(1, np.sqrt(share), out=np.zeros_like(share), where=share > 0)
    weight = (here @ rarity) / np.maximum(here.sum(axis=1), 1)
    # Gumbel's trick: the largest keys are a weighted draw without replacement
    keys = np.log(np.maximum(weight, 1e-12)) + np.random.default_rng(seed).gumbel(size=len(weight))
    return np.sort(members[np.argsort(keys)[-most:]])


def _capped(counts: Counts, members: NDArray[np.intp], cap: float | None, least: int) -> NDArray[np.intp]:
    """Without the patches that hold most of a class which would have more than its share, as few as will do."""
    if cap is None or not len(members):
        return members
    while True:
        here = counts[members]
        excess = here - cap * here.sum(axis=1, keepdims=True)  # pixels of a class beyond what a patch may have
        worst = int(excess.sum(axis=0).argmax())
        gone = _fewest(excess[:, worst], len(members) - least)
        if not len(gone):
            return members
        members = np.delete(members, gone)


def _fewest(excess: NDArray[np.float64], most: int) -> NDArray[np.intp]:
    """The fewest patches, at most so many, without which there is no excess, or as little as can be."""
    order = np.argsort(-excess, kind="stable")
    left = excess.sum() - np.r_[0.0, np.cumsum(excess[order])]
    enough = np.flatnonzero(left <= 1e-6)
    needed = int(enough[0]) if len(enough) else len(order)
    helping = int((excess > 0).sum())
    return order[: max(min(needed, helping, most), 0)]
