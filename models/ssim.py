"""Structural similarity (Wang et al. 2004, doi 10.1109/TIP.2003.819861) of two maps whose values lie in 0 to 1."""

import torch
from torch import Tensor
from torch.nn import functional

from models.errors import Misfit

WINDOW = 11  # pixels on a side, of a Gaussian
SIGMA = 1.5  # pixels
C1, C2 = 0.01**2, 0.03**2  # for a data range of 1

# Axis legend: B patch, Y row, X column.


def ssim(x_B1YX: Tensor, y_B1YX: Tensor) -> Tensor:
    """The mean over all pixels whose window lies inside."""
    return ssim_map(x_B1YX, y_B1YX).mean()


def ssim_loss(x_B1YX: Tensor, y_B1YX: Tensor) -> Tensor:
    """0 where both are the same, up to 2 where one is the other's negative."""
    return 1 - ssim(x_B1YX, y_B1YX)


def ssim_map(x_B1YX: Tensor, y_B1YX: Tensor) -> Tensor:
    """(B, 1, Y - 10, X - 10), in float32 whatever the surroundings compute in."""
    if x_B1YX.shape != y_B1YX.shape or x_B1YX.ndim != 4 or x_B1YX.shape[1] != 1 or min(x_B1YX.shape[-2:]) < WINDOW:
        given = f"maps of {tuple(x_B1YX.shape)} and {tuple(y_B1YX.shape)}"
        raise Misfit(given, f"(B, 1, Y, X) of {WINDOW} pixels or more is needed twice.", "Use larger patches.")
    with torch.autocast(x_B1YX.device.type, enabled=False):
        (x, middle_x), (y, middle_y) = _centred(x_B1YX.float()), _centred(y_B1YX.float())
        mean_x, mean_y = _blurred(x), _blurred(y)
        var_x, var_y = _blurred(x * x) - mean_x**2, _blurred(y * y) - mean_y**2
        covariance = _blurred(x * y) - mean_x * mean_y
        return similarity(mean_x + middle_x, mean_y + middle_y, var_x, var_y, covariance)


def similarity(mean_x: Tensor, mean_y: Tensor, var_x: Tensor, var_y: Tensor, covariance: Tensor) -> Tensor:
    """Of means, times that of contrast and structure."""
    means = (2 * mean_x * mean_y + C1) / (mean_x**2 + mean_y**2 + C1)
    return means * (2 * covariance + C2) / (var_x + var_y + C2)


def _centred(x_B1YX: Tensor) -> tuple[Tensor, Tensor]:
    """Each image without its mean, and the mean: squares of small numbers cancel with less left over in float32."""
    middle = x_B1YX.mean(dim=(1, 2, 3), keepdim=True)
    return x_B1YX - middle, middle


def _blurred(x_B1YX: Tensor) -> Tensor:
    offsets = torch.arange(WINDOW, dtype=torch.float32, device=x_B1YX.device) - WINDOW // 2
    weights = torch.exp(-(offsets**2) / (2 * SIGMA**2))
    weights = weights / weights.sum()
    rows = functional.conv2d(x_B1YX, weights[None, None, :, None])
    return functional.conv2d(rows, weights[None, None, None, :])
