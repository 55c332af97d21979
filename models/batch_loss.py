"""The loss of a whole step, from sums over its patches: the same however the patches are shared out."""

from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from models.losses import TINY, entropy_sums
from models.overlap_losses import dice_of, dice_sums

# Axis legend: B patch, T period, C band, K class, Y row, X column.

Shown = tuple[Tensor, Tensor, Tensor]
"""What a network is called with: pixels (B, T, C, Y, X), where they were seen (B, T, Y, X), and when (B, T)."""


@dataclass(frozen=True)
class LossSettings:
    """How mistakes count."""

    dice_weight: float = 1.0
    focal_gamma: float = 0.0
    label_smoothing: float = 0.0


class BatchLoss(Protocol):
    """A loss that is a function of sums over patches.

    A step's patches lie on several workers, or come one part after the other. Means over each of them would not be the
    mean over all: the weighted cross-entropy divides by the weights of all labelled pixels, and Dice by sums of
    probabilities. So each part gives its sums, these are added, and only then the loss is taken.
    """

    def sums(self, answer: Any, truth_BYX: Tensor, shown: Shown, target_B1YX: Tensor | None = None) -> Tensor:
        """A flat vector of what a network answered to `shown` while it trained.

        `target` is the structure of the ground, for networks that learn it besides; NaN where it is not known.
        """
        ...

    def of(self, sums: Tensor) -> Tensor:
        """The loss of added sums."""
        ...


@dataclass(frozen=True, eq=False)
class SegmentationLoss:
    """Class-weighted cross-entropy over all classes, plus Dice over the crops."""

    settings: LossSettings
    weights_K: Tensor

    def sums(self, answer: Tensor, truth_BYX: Tensor, shown: Shown, target_B1YX: Tensor | None = None) -> Tensor:
        settings = self.settings
        entropy = entropy_sums(answer, truth_BYX, self.weights_K, settings.focal_gamma, settings.label_smoothing)
        parts = [torch.stack(entropy)]
        if settings.dice_weight:
            parts.append(dice_sums(answer, truth_BYX).flatten())
        return torch.cat(parts)

    def of(self, sums: Tensor) -> Tensor:
        entropy, weight = sums[:2]
        loss: Tensor = entropy / weight.clamp(min=TINY)
        if self.settings.dice_weight:
            loss = loss + self.settings.dice_weight * dice_of(sums[2:].view(3, -1), background=False)
        return loss


def of_all(loss: BatchLoss, own: Tensor, total: Tensor) -> Tensor:
    """The loss of the whole step; its gradient is this part's share of the step's, and the shares add up to it.

    `own` are the sums of this part, with a graph; `total` those of all parts, its own among them, without.
    """
    return loss.of(total + (own - own.detach()))
