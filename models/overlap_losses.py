"""Losses that compare areas rather than pixels: Dice, its squared variant and Tversky, over labelled pixels only."""

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

IGNORE = 255
BACKGROUND = 0
TINY = 1e-12  # keeps 0 / 0 at 0, far below any sum of probabilities

# Axis legend: B patch, K class, Y row, X column.


def dice_loss(logits_BKYX: Tensor, truth_BYX: Tensor, eps: float = 1.0, background: bool = True) -> Tensor:
    """1 - (2 sum(p g) + eps) / (sum(p) + sum(g) + eps), sums over batch and space, mean over classes in the truth."""
    return dice_of(dice_sums(logits_BKYX, truth_BYX), eps, background)


def dice_sums(logits_BKYX: Tensor, truth_BYX: Tensor) -> Tensor:
    """(3, K): what Dice is a function of, and what adds up over the parts of a batch."""
    soft = _overlap(logits_BKYX, truth_BYX)
    return torch.stack([soft.both_K, soft.p_K, soft.g_K])


def dice_of(sums_3K: Tensor, eps: float = 1.0, background: bool = True) -> Tensor:
    both_K, p_K, g_K = sums_3K
    loss_K = 1 - (2 * both_K + eps) / (p_K + g_K + eps).clamp(min=TINY)
    return _mean_over_present(loss_K, g_K, background)


def squared_dice_loss(logits_BKYX: Tensor, truth_BYX: Tensor, eps: float = 1.0, background: bool = True) -> Tensor:
    """Milletari's V-Net variant: sums of squares, sum(p^2) + sum(g^2), below the line; no other number than Dice's."""
    soft = _overlap(logits_BKYX, truth_BYX)
    loss_K = 1 - (2 * soft.both_K + eps) / (soft.p_squared_K + soft.g_K + eps).clamp(min=TINY)
    return _mean_over_present(loss_K, soft.g_K, background)


def tversky_loss(
    logits_BKYX: Tensor,
    truth_BYX: Tensor,
    false_positives: float = 0.3,
    false_negatives: float = 0.7,
    eps: float = 1.0,
    background: bool = True,
) -> Tensor:
    """1 - (TP + eps) / (TP + 0.3 FP + 0.7 FN + eps): missing a crop costs more than inventing it; 0.5 and 0.5 is Dice
    with half its eps."""
    soft = _overlap(logits_BKYX, truth_BYX)
    wrong_K = false_positives * (soft.p_K - soft.both_K) + false_negatives * (soft.g_K - soft.both_K)
    loss_K = 1 - (soft.both_K + eps) / (soft.both_K + wrong_K + eps).clamp(min=TINY)
    return _mean_over_present(loss_K, soft.g_K, background)


@dataclass(frozen=True, eq=False)
class _Overlap:
    """Sums of each class over the labelled pixels: of probability p, truth g (0 or 1), and of both."""

    p_BKYX: Tensor
    g_BKYX: Tensor

    @cached_property
    def p_K(self) -> Tensor:
        return _summed(self.p_BKYX)

    @cached_property
    def p_squared_K(self) -> Tensor:
        return _summed(self.p_BKYX * self.p_BKYX)

    @cached_property
    def g_K(self) -> Tensor:
        return _summed(self.g_BKYX)

    @cached_property
    def both_K(self) -> Tensor:
        return _summed(self.p_BKYX * self.g_BKYX)


def _mean_over_present(loss_K: Tensor, g_K: Tensor, background: bool) -> Tensor:
    """0 with a graph where no class is in the truth."""
    present_K = (g_K > 0).float()
    if not background:
        present_K[BACKGROUND] = 0.0
    return (loss_K * present_K).sum() / present_K.sum().clamp(min=1.0)


def _overlap(logits_BKYX: Tensor, truth_BYX: Tensor) -> _Overlap:
    truth = truth_BYX.long()
    labelled_BKYX = (truth != IGNORE)[:, None]
    p_BKYX = torch.where(labelled_BKYX, logits_BKYX.float().softmax(dim=1), 0.0)
    g_BKYX = _one_hot(truth, classes=logits_BKYX.shape[1])
    return _Overlap(p_BKYX, g_BKYX)


def _summed(x_BKYX: Tensor) -> Tensor:
    return x_BKYX.sum(dim=(0, 2, 3))


def _one_hot(truth_BYX: Tensor, classes: int) -> Tensor:
    """An ignored pixel belongs to no class."""
    index = torch.arange(classes, device=truth_BYX.device)[None, :, None, None]
    return (truth_BYX[:, None] == index).float()
