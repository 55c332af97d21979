"""Batch normalisation over the batch of all workers: the same statistics however many share it, on any backend."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

Total = Callable[[Tensor], Tensor]
"""The sum of a tensor over all workers, in place."""


def share_statistics(network: nn.Module, total: Total) -> nn.Module:
    """Put every BatchNorm below `network` on the statistics of all workers; weights and their names stay as they are.

    PyTorch's own SyncBatchNorm does so on NVIDIA GPUs only.
    """
    for name, child in network.named_children():
        shared = _shared(child, total) if isinstance(child, _BatchNorm) else share_statistics(child, total)
        setattr(network, name, shared)
    return network


def _shared(layer: _BatchNorm, total: Total) -> "SharedBatchNorm":
    shared = SharedBatchNorm(layer.num_features, layer.eps, layer.momentum, layer.affine, layer.track_running_stats)
    shared.total = total
    shared.weight, shared.bias = layer.weight, layer.bias
    shared.running_mean, shared.running_var = layer.running_mean, layer.running_var
    shared.num_batches_tracked = layer.num_batches_tracked
    return shared.train(layer.training)


class SharedBatchNorm(_BatchNorm):
    """For (N, C, ..) of any number of axes, while it trains; with fixed statistics it is the ordinary layer."""

    total: Total

    def _check_input_dim(self, input: Tensor) -> None:
        pass

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return super().forward(x)
        weight = self.weight if self.affine else torch.ones(self.num_features, device=x.device)
        bias = self.bias if self.affine else torch.zeros(self.num_features, device=x.device)
        mean, variance, count = _statistics(x.detach(), self.total)
        if self.track_running_stats:
            self._follow(mean, variance * (count / (count - 1).clamp(min=1)))
        y: Tensor = _Normalised.apply(x, weight, bias, mean, variance, count, self.eps, self.total)  # type: ignore[no-untyped-call]
        return y

    @torch.no_grad()
    def _follow(self, mean: Tensor, variance: Tensor) -> None:
        assert self.running_mean is not None and self.running_var is not None and self.num_batches_tracked is not None
        self.num_batches_tracked.add_(1)
        share = 1.0 / float(self.num_batches_tracked) if self.momentum is None else self.momentum
        self.running_mean.lerp_(mean, share)
        self.running_var.lerp_(variance, share)


class _Normalised(torch.autograd.Function):
    """What a worker's pixels become, and what they owe: each worker's loss depends on the pixels of all.

    PyTorch's fused kernels for fixed statistics pass over the pixels; what the statistics owe is added to theirs.
    """

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, mean: Tensor, variance: Tensor, count: Tensor, eps: float,
        total: Total,
    ) -> Tensor:  # fmt: skip
        ctx.save_for_backward(x, weight, mean, variance, count)
        ctx.eps, ctx.total = eps, total
        return torch.nn.functional.batch_norm(x, mean, variance, weight, bias, training=False, eps=eps)

    @staticmethod
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, mean, variance, count = ctx.saved_tensors
        scale = torch.rsqrt(variance + ctx.eps)
        dx, to_weight, to_bias = torch.ops.aten.native_batch_norm_backward(
            dy, x, weight, mean, variance, mean, scale, False, ctx.eps, [True, True, True]
        )  # fixed statistics are given twice: a CPU looks at the first two, and some kernels of GPUs at the others
        by_bias, by_weight = ctx.total(torch.stack([to_bias, to_weight])) / count
        slope = weight * scale * scale * by_weight
        start = weight * scale * by_bias - slope * mean
        return dx - _line(x, slope, start), to_weight, to_bias, None, None, None, None, None


def _statistics(x: Tensor, total: Total) -> tuple[Tensor, Tensor, Tensor]:
    """Mean, biased variance and count over all workers. In double precision: the squares of what lies far from zero are
    large, and their difference small."""
    count = x.numel() // x.shape[1]
    x = x.float() if x.is_cpu else x  # there statistics would come in as few bits as the pixels have
    own_mean, own_variance = (part.double() for part in torch.batch_norm_update_stats(x, None, None, 0.0))
    sums = total(torch.cat([own_mean, own_variance + own_mean.square(), own_mean.new_ones(1)]) * count)
    mean, squares = (sums[:-1] / sums[-1]).chunk(2)
    return mean.float(), (squares - mean.square()).clamp(min=0).float(), sums[-1].float()


def _line(x: Tensor, slope: Tensor, start: Tensor) -> Tensor:
    """slope * x + start by channel, in one pass."""
    zero, one = torch.zeros_like(slope), torch.ones_like(slope)
    return torch.nn.functional.batch_norm(x, zero, one, slope, start, training=False, eps=0.0)
