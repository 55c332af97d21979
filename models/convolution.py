"""The convolution that decoders are made of: followed by BatchNorm and ReLU."""

from torch import nn


def convolution(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
    """3x3. An odd side of 2n + 1 becomes n + 1 at stride 2."""
    kernel = nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=False)
    return nn.Sequential(kernel, nn.BatchNorm2d(outputs), nn.ReLU())
