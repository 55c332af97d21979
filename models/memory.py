"""When memory has run out, on a CPU or a GPU, and how to give back what can be given back."""

import torch

SIGNS = ("can't allocate memory", "out of memory", "not enough memory")
"""Of an allocation that failed, in errors of PyTorch on a CPU."""


def is_out_of_memory(error: BaseException) -> bool:
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or any(sign in str(error) for sign in SIGNS)


def give_back() -> None:
    """What PyTorch holds of a GPU for later use."""
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
