"""The date of a period as numbers that a network can add: waves of many lengths, or a row of a table."""

import torch
from torch import Tensor

DAYS = 366  # of the table: one for each day that a year can have


def sinusoids(when_BT: Tensor, width: int, period: float) -> Tensor:
    """(B, T, width): sine and cosine in turn, with wavelengths from 2 pi to 2 pi x period, in the units of `when`.

    1000 suits days (U-TAE, arXiv 2107.07933), 10000 suits degree-days (Thermal Positional Encoding, Nyborg 2022).
    """
    index = torch.arange(width, device=when_BT.device)
    angles = when_BT.float()[..., None] / period ** ((index // 2) * 2 / width)
    return torch.where(index % 2 == 0, angles.sin(), angles.cos())


def day_rows(when_BT: Tensor) -> Tensor:
    """The row of each period in a table of days; a season may begin in one year and end in the next."""
    return when_BT.round().long().remainder(DAYS)
