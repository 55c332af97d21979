"""What DepthSeg makes small (arXiv 2506.14382): cross-entropy, and 1 - SSIM between its structure and a target."""

from dataclasses import dataclass

import torch
from torch import Tensor

from models.batch_loss import LossSettings, SegmentationLoss, Shown
from models.errors import Misfit
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


@dataclass(frozen=True, eq=False)
class PromptedLoss:
    """Both losses of a whole step, 1 to 1: a BatchLoss of networks that give logits and structure while they train."""

    settings: LossSettings
    weights_K: Tensor

    def sums(
        self, answer: tuple[Tensor, Tensor], truth_BYX: Tensor, shown: Shown, target_B1YX: Tensor | None = None
    ) -> Tensor:
        if target_B1YX is None:
            raise Misfit("patches without a target", "the network learns structure too.", "Say what it is to learn.")
        logits_BKYX, structure_B1YX = answer
        structure = torch.stack(structure_sums(structure_B1YX, target_B1YX))
        return torch.cat([structure, self._of_classes.sums(logits_BKYX, truth_BYX, shown)])

    def of(self, sums: Tensor) -> Tensor:
        total, counted = sums[:2]
        structure: Tensor = total / counted.clamp(min=1)
        return structure + self._of_classes.of(sums[2:])

    @property
    def _of_classes(self) -> SegmentationLoss:
        return SegmentationLoss(self.settings, self.weights_K)


def structure_loss(structure_B1YX: Tensor, target_B1YX: Tensor) -> Tensor:
    """1 - SSIM of the stretched maps; a pixel whose target is NaN counts for nothing, and 0 where all are."""
    total, counted = structure_sums(structure_B1YX, target_B1YX)
    return total / counted.clamp(min=1)


def structure_sums(structure_B1YX: Tensor, target_B1YX: Tensor) -> tuple[Tensor, Tensor]:
    """The two sums of the mean above: of 1 - SSIM over all pixels that count, and how many these are."""
    known = target_B1YX.isfinite()
    some = known.flatten(1).any(dim=1)
    if not some.any():
        nothing = structure_B1YX.float().sum() * 0.0
        return nothing, nothing.detach()
    structure, target, known = structure_B1YX[some].float(), target_B1YX[some].float(), known[some]
    similar = ssim_map(stretched(structure, known), stretched(target.masked_fill(~known, 0.0), known))
    edge = WINDOW // 2
    counted = known[..., edge:-edge, edge:-edge]
    return ((1 - similar) * counted).sum(), counted.sum().float()


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
