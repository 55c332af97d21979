"""What training makes small: class-weighted cross-entropy plus Dice, or focal loss, over labelled pixels only."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from models.errors import Misfit
from models.overlap_losses import dice_loss

IGNORE = 255
TINY = 1e-12  # keeps 0 / 0 at 0, far below any weight

# Axis legend: B patch, K class, Y row, X column.


def segmentation_loss(
    logits_BKYX: Tensor, truth_BYX: Tensor, weights_K: Tensor | None = None, dice_weight: float = 1.0
) -> Tensor:
    """Cross-entropy over all classes plus Dice over the crops; zero with a graph where nothing is labelled.

    Background stays out of Dice because ground outside a parcel is not known to be without crops.
    """
    entropy = cross_entropy(logits_BKYX, truth_BYX, weights_K)
    return entropy + dice_weight * dice_loss(logits_BKYX, truth_BYX, background=False)


def cross_entropy(logits_BKYX: Tensor, truth_BYX: Tensor, weights_K: Tensor | None = None) -> Tensor:
    """PyTorch's weighted mean, sum of w * -log p over sum of w, but 0 instead of NaN for no labelled pixel."""
    total, weight = entropy_sums(logits_BKYX, truth_BYX, weights_K)
    return total / weight.clamp(min=TINY)


def entropy_sums(
    logits_BKYX: Tensor, truth_BYX: Tensor, weights_K: Tensor | None = None, gamma: float = 0.0, smoothing: float = 0.0
) -> tuple[Tensor, Tensor]:
    """The two sums of the mean above. `gamma` > 0 makes it focal: (1 - p)^gamma less of pixels that are known well.

    `smoothing` takes that part of each label and gives it to all classes evenly.
    """
    logits, truth = logits_BKYX.float(), truth_BYX.long()
    weights = torch.ones(logits.shape[1], device=logits.device) if weights_K is None else weights_K.float()
    labelled = truth != IGNORE
    weight_BYX = torch.where(labelled, weights[torch.where(labelled, truth, 0)], 0.0)
    if not gamma:
        total = functional.cross_entropy(
            logits, truth, weights, ignore_index=IGNORE, reduction="sum", label_smoothing=smoothing
        )
        return total, weight_BYX.sum()
    entropy_BYX = functional.cross_entropy(logits, truth, ignore_index=IGNORE, reduction="none")
    focus_BYX = (1 - (-entropy_BYX).exp()).clamp(min=TINY) ** gamma  # the slope at 0 of a power below 1 is infinite
    if smoothing:
        entropy_BYX = functional.cross_entropy(
            logits, truth, ignore_index=IGNORE, reduction="none", label_smoothing=smoothing
        )
    return (weight_BYX * focus_BYX * entropy_BYX).sum(), weight_BYX.sum()


def focal_loss(logits_BKYX: Tensor, truth_BYX: Tensor, gamma: float = 2.0) -> Tensor:
    """Mean of (1 - p)^gamma * -log p of the true class (Lin et al. 2017): what is known already counts little."""
    total, labelled = entropy_sums(logits_BKYX, truth_BYX, gamma=gamma)
    return total / labelled.clamp(min=1)


def class_weights(
    counts: Sequence[int] | NDArray[np.int64], rule: str = "inverse_sqrt", beta: float = 0.99999
) -> Tensor:
    """Heavier for rarer classes: mean 1 over the classes that occur, then clipped to [0.2, 5].

    A class without a pixel weighs 1: it never enters the loss as truth.
    """
    n = np.asarray(counts, dtype=np.float64)
    if n.ndim != 1 or (n < 0).any() or not n.any():
        raise Misfit(f"class counts {list(counts)}", "some class must have pixels.", "Count the labels of training.")
    raw = RULES[_known(rule)](n, beta)
    seen = n > 0
    weights = np.where(seen, raw / raw[seen].mean(), 1.0)
    return torch.from_numpy(np.clip(weights, 0.2, 5.0)).float()


def even(n: NDArray[np.float64], beta: float = 0.0) -> NDArray[np.float64]:
    return np.ones_like(n)


def inverse_sqrt(n: NDArray[np.float64], beta: float = 0.0) -> NDArray[np.float64]:
    return 1 / np.sqrt(np.maximum(n, 1))


def effective_number(n: NDArray[np.float64], beta: float = 0.99999) -> NDArray[np.float64]:
    """(1 - beta) / (1 - beta^n), Cui et al. 2019: 1 / n for small n, level where more pixels teach nothing new."""
    weights: NDArray[np.float64] = (1 - beta) / -np.expm1(np.maximum(n, 1) * np.log(beta))
    return weights


RULES = {"even": even, "inverse_sqrt": inverse_sqrt, "effective_number": effective_number}


def _known(rule: str) -> str:
    if rule not in RULES:
        raise Misfit(f"class weights by {rule!r}", "there is no such rule.", f"Write one of {', '.join(RULES)}.")
    return rule
