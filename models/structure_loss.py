"""What DepthSeg makes small (arXiv 2506.14382): cross-entropy, and 1 - SSIM between its structure and a target."""

import torch
from torch import Tensor

from models.losses import cross_entropy
from models.ssim import WINDOW, ssim_map

LOW, HIGH = 0.02, 0.98
"""Percentiles of an image that become 0 and 1: a map of structure has neither a unit nor an origin."""

FLAT = 1e-6  # a smaller spread is no structure

# Axis legend: B patch, K class, Y row, X column.


def prompted_loss(
    answer: tuple[Tensor, Tensor], truth_BYX: Tensor, target_B1YX: Tensor, weights_K: Tensor | None = None
) -> Tensor:
    """Both losses, 1 to 1 as in the paper, of what the network gives while it trains."""
    logits_BKYX, structure_B1YX = answer
    return cross_entropy(logits_BKYX, truth_BYX, weights_K) + structure_loss(structure_B1YX, target_B1YX)


def structure_loss(structure_B1YX: Tensor, target_B1YX: Tensor) -> Tensor:
    """1 - SSIM of the stretched maps; a pixel whose target is NaN counts for nothing, and 0 where all are."""
    known = target_B1YX.isfinite()
    some = known.flatten(1).any(dim=1)
    if not some.any():
        return structure_B1YX.sum() * 0.0
    structure, target, known = structure_B1YX[some].float(), target_B1YX[some].float(), known[some]
    similar = ssim_map(stretched(structure, known), stretched(target.masked_fill(~known, 0.0), known))
    edge = WINDOW // 2
    counted = known[..., edge:-edge, edge:-edge]
    return ((1 - similar) * counted).sum() / counted.sum().clamp(min=1)


def stretched(x_B1YX: Tensor, known_B1YX: Tensor) -> Tensor:
    """Each image from its 2nd to its 98th percentile, of what is known, to 0 to 1; unknown pixels are 0."""
    ends = [_ends(x, known) for x, known in zip(x_B1YX, known_B1YX, strict=True)]
    low, high = (torch.stack(end)[:, None, None, None] for end in zip(*ends, strict=True))
    unit = ((x_B1YX - low) / (high - low).clamp(min=FLAT)).clamp(0.0, 1.0)
    return torch.where(known_B1YX, unit, 0.0)


def _ends(x_1YX: Tensor, known_1YX: Tensor) -> tuple[Tensor, Tensor]:
    """Linear between neighbours, as NumPy's percentiles are."""
    values = x_1YX[known_1YX]
    return values.quantile(LOW), values.quantile(HIGH)
