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
        y, mean, variance, count = _Normalised.apply(x, weight, bias, self.eps, self.total)  # type: ignore[no-untyped-call]
        if self.track_running_stats:
            self._follow(mean, variance * (count / (count - 1).clamp(min=1)))
        return y  # type: ignore[no-any-return]

    @torch.no_grad()
    def _follow(self, mean: Tensor, variance: Tensor) -> None:
        assert self.running_mean is not None and self.running_var is not None and self.num_batches_tracked is not None
        self.num_batches_tracked.add_(1)
        share = 1.0 / float(self.num_batches_tracked) if self.momentum is None else self.momentum
        self.running_mean.lerp_(mean, share)
        self.running_var.lerp_(variance, share)


class _Normalised(torch.autograd.Function):
    """What a worker's pixels become, and what they owe: each worker's loss depends on the pixels of all."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, eps: float, total: Total) -> tuple[Tensor, ...]:
        mean, variance, count = _statistics(x, total)
        scale = torch.rsqrt(variance + eps)
        ctx.save_for_backward(x, weight, mean, scale, count)
        ctx.total = total
        y = torch.nn.functional.batch_norm(x, mean, variance, weight, bias, training=False, eps=eps)
        ctx.mark_non_differentiable(mean, variance, count)
        return y, mean, variance, count

    @staticmethod
    def backward(ctx: Any, dy: Tensor, *_: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, mean, scale, count = ctx.saved_tensors
        axes, shape = _axes(x), _shape(x)
        centred = (x.float() - mean.view(shape)) * scale.view(shape)
        to_bias = dy.float().sum(axes)
        to_weight = (dy.float() * centred).sum(axes)
        shared = ctx.total(torch.stack([to_bias, to_weight])) / count
        dx = dy.float() - shared[0].view(shape) - centred * shared[1].view(shape)
        dx = dx * (weight.float() * scale).view(shape)
        return dx.to(x.dtype), to_weight.to(weight.dtype), to_bias.to(weight.dtype), None, None


def _statistics(x: Tensor, total: Total) -> tuple[Tensor, Tensor, Tensor]:
    """Mean, biased variance and count over all workers. Twice around, as differences of large squares lose digits."""
    axes, count = _axes(x), x.numel() // x.shape[1]
    own = torch.cat([x.float().sum(axes), x.new_full((1,), count, dtype=torch.float32)])
    sums = total(own)
    number = sums[-1]
    mean = sums[:-1] / number
    variance, own_mean = torch.var_mean(x.float(), axes, correction=0)
    squares = total(count * (variance + (own_mean - mean).square()))
    return mean, squares / number, number


def _axes(x: Tensor) -> list[int]:
    return [axis for axis in range(x.ndim) if axis != 1]


def _shape(x: Tensor) -> list[int]:
    return [1, -1, *[1] * (x.ndim - 2)]
