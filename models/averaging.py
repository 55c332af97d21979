"""A slow average of a network's weights over the steps of training, which often maps better than the last of them."""

from copy import deepcopy

import torch
from torch import nn


class Averaged:
    """Follows a network. Buffers, such as the statistics of norms, are those of the network."""

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.network = deepcopy(network).requires_grad_(False)
        self.decay = decay

    @torch.no_grad()
    def follow(self, network: nn.Module, step: int) -> None:
        """After step 0, 1, ..: the first weights are forgotten sooner than `decay` would."""
        decay = min(self.decay, (1 + step) / (10 + step))
        pairs = list(zip(self.network.parameters(), network.parameters(), strict=True))
        torch._foreach_lerp_([slow for slow, _ in pairs], [fast.detach() for _, fast in pairs], 1 - decay)
        for slow, fast in zip(self.network.buffers(), network.buffers(), strict=True):
            slow.copy_(fast)
