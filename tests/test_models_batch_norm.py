"""The norm that several workers share is PyTorch's own where there is one, in any layout and precision."""

import pytest
import torch

from models.batch_norm import share_statistics

NEEDS_GPU = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no NVIDIA GPU here")


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=NEEDS_GPU)])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("kind", [torch.float32, torch.bfloat16])
def test_the_norm_that_workers_share_is_the_ordinary_one(
    layout: torch.memory_format, kind: torch.dtype, device: str
) -> None:
    torch.manual_seed(0)
    shared = share_statistics(torch.nn.Sequential(torch.nn.BatchNorm2d(8)), lambda sums: sums).to(device)
    plain = torch.nn.BatchNorm2d(8).to(device)
    x, dy = (torch.randn(4, 8, 16, 16).add_(1).to(device, kind, memory_format=layout) for _ in range(2))
    found = []
    for layer in (shared, plain):
        mine = x.clone().requires_grad_()
        y = layer(mine)
        y.backward(dy)
        found.append((y, mine.grad, *(parameter.grad for parameter in layer.parameters())))
    near = 1e-4 if kind == torch.float32 else 2e-2
    for ours, theirs in zip(*found, strict=True):
        torch.testing.assert_close(ours.float(), theirs.float(), atol=near * theirs.abs().max().item(), rtol=near)
