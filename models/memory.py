"""When memory has run out, on a CPU or a GPU, and how to give back what can be given back."""

import re

import torch

SIGNS = re.compile(
    "can't allocate memory|out of memory|not enough memory|could not create a (memory|primitive)(?! descriptor)"
)
"""Of an allocation that failed, in errors of PyTorch on a CPU; the last is oneDNN's, which had no room for its code."""


def is_out_of_memory(error: BaseException) -> bool:
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or SIGNS.search(str(error)) is not None


def give_back() -> None:
    """What PyTorch holds of a GPU for later use."""
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
