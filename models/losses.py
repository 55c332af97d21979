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
    logits, truth = logits_BKYX.float(), truth_BYX.long()
    weights = torch.ones(logits.shape[1], device=logits.device) if weights_K is None else weights_K.float()
    total = functional.cross_entropy(logits, truth, weights, ignore_index=IGNORE, reduction="sum")
    labelled = truth != IGNORE
    weight = torch.where(labelled, weights[torch.where(labelled, truth, 0)], 0.0).sum()
    return total / weight.clamp(min=TINY)


def focal_loss(logits_BKYX: Tensor, truth_BYX: Tensor, gamma: float = 2.0) -> Tensor:
    """Mean of (1 - p)^gamma * -log p of the true class (Lin et al. 2017): what is known already counts little."""
    truth = truth_BYX.long()
    labelled = truth != IGNORE
    log_p_BKYX = logits_BKYX.float().log_softmax(dim=1)
    log_p = log_p_BKYX.gather(1, torch.where(labelled, truth, 0)[:, None])[:, 0]
    loss = -((1 - log_p.exp()).clamp(min=TINY) ** gamma) * log_p
    return torch.where(labelled, loss, 0.0).sum() / labelled.sum().clamp(min=1)


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


def inverse_sqrt(n: NDArray[np.float64], beta: float = 0.0) -> NDArray[np.float64]:
    return 1 / np.sqrt(np.maximum(n, 1))


def effective_number(n: NDArray[np.float64], beta: float = 0.99999) -> NDArray[np.float64]:
    """(1 - beta) / (1 - beta^n), Cui et al. 2019: 1 / n for small n, level where more pixels teach nothing new."""
    weights: NDArray[np.float64] = (1 - beta) / -np.expm1(np.maximum(n, 1) * np.log(beta))
    return weights


RULES = {"inverse_sqrt": inverse_sqrt, "effective_number": effective_number}


def _known(rule: str) -> str:
    if rule not in RULES:
        raise Misfit(f"class weights by {rule!r}", "there is no such rule.", f"Write one of {', '.join(RULES)}.")
    return rule
