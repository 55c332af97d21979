"""When memory has run out, on a CPU or a GPU; what to keep of it for later, and what to give back."""

import ctypes
import re

import torch

SIGNS = re.compile(
    "can't allocate memory|out of memory|not enough memory|could not create a (memory|primitive)(?! descriptor)"
)
"""Of an allocation that failed, in errors of PyTorch on a CPU; the last is oneDNN's, which had no room for its code."""


def is_out_of_memory(error: BaseException) -> bool:
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or SIGNS.search(str(error)) is not None


M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_MAX = -1, -2, -4
"""Of glibc's mallopt."""


def keep_what_is_freed() -> None:
    """For this process: memory that was freed stays at hand for what comes next.

    The maps of a network come and go by tens of megabytes. glibc would give each back to the system, which then clears
    every page anew: a sixth of the time that the network itself takes.
    """
    if mallopt := getattr(ctypes.CDLL(None), "mallopt", None):  # other systems' libraries have none
        mallopt(M_TRIM_THRESHOLD, 2**31 - 1)
        mallopt(M_MMAP_MAX, 0)
        mallopt(M_TOP_PAD, 1 << 26)


def give_back() -> None:
    """What PyTorch holds of a GPU for later use."""
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
