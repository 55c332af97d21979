"""The optimiser of training: AdamW, with weight decay for kernels only."""

import torch
from torch import nn


def optimizer_of(network: nn.Module, rate: float, decay: float, betas: tuple[float, float]) -> torch.optim.AdamW:
    """Norms and biases do not decay, and what is frozen is not touched."""
    learned = [p for p in network.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in learned if p.ndim > 1], "weight_decay": decay},
        {"params": [p for p in learned if p.ndim <= 1], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW([group for group in groups if group["params"]], lr=rate, betas=betas)


def set_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    for group in optimizer.param_groups:
        group["lr"] = rate
