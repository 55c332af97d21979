"""The date of a period as numbers that a network can add: waves of many lengths, or a row of a table."""

import torch
from torch import Tensor

DAYS = 366  # of the table: one for each day that a year can have

MONTH_STARTS = (0.0, 31.0, 59.0, 90.0, 120.0, 151.0, 181.0, 212.0, 243.0, 273.0, 304.0, 334.0)
"""Days since the first of January on which months begin; in a leap year from March on a day too early."""


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


def months_of(when_BT: Tensor) -> Tensor:
    """The calendar month of each period, January being 0; a season may begin in one year and end in the next."""
    starts = torch.tensor(MONTH_STARTS, device=when_BT.device)
    return torch.bucketize(when_BT.float().remainder(365), starts, right=True) - 1
