"""A varied patch as a network is shown it, written where it is needed: one period at a time, which stays in the cache.

The same as `normalise(augment(..))`, in less than half of its time.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.augmentation import DARKEST, Variation
from models.normalisation import BRIGHTEST, NO_DATA, Normalisation

# Axis legend: T period, C band, Y row, X column.


def show(
    x_TCYX: NDArray[np.uint16], variation: Variation, normalisation: Normalisation, out_TCYX: Tensor, seen_TYX: Tensor
) -> None:
    """Fill `out` with the patch, and `seen` with where a period of it has data."""
    mean_C11, std_C11 = (_column(np.asarray(values)) for values in (normalisation.mean, normalisation.std))
    for period, (x_CYX, out_CYX) in enumerate(zip(x_TCYX, out_TCYX, strict=True)):
        if period in variation.lost:
            out_CYX.zero_(), seen_TYX[period].zero_()
            continue
        out_CYX.copy_(_turned(torch.from_numpy(x_CYX), variation))
        seen_YX = torch.from_numpy(np.bitwise_or.reduce(x_CYX, axis=0) != NO_DATA)
        seen_TYX[period] = _turned(seen_YX, variation)
        empty_CYX = None if x_CYX.min() > NO_DATA else out_CYX == NO_DATA
        out_CYX.mul_(_column(variation.gain_TC[period])).add_(_column(variation.offset_TC[period]))
        out_CYX.clamp_(DARKEST, BRIGHTEST).sub_(mean_C11).div_(std_C11)
        if empty_CYX is not None:
            out_CYX.masked_fill_(empty_CYX, 0.0)


def _turned(x: Tensor, variation: Variation) -> Tensor:
    """As `Variation.turned`; PyTorch moves bits but does not turn uint16."""
    bits = x.view(torch.int16) if x.dtype == torch.uint16 else x
    bits = torch.rot90(bits, variation.quarters, (-2, -1)) if variation.quarters else bits
    bits = bits.flip(-1) if variation.mirrored else bits
    return bits.view(x.dtype)


def _column(values_C: NDArray[np.floating]) -> Tensor:
    return torch.from_numpy(values_C.astype(np.float32))[:, None, None]
