"""Asking PyTorch for the same numbers every time: no reduced precision behind our back, no choice of kernel by luck."""

import os

import torch

CPU = "CPU"


def be_exact() -> None:
    """For this process. On a CPU it changes nothing; on a GPU fp32 is fp32, and kernels are the deterministic ones."""
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # cuBLAS is deterministic only with its own workspace
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.benchmark = False
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]  # time for nothing


def processor(on_gpu: bool) -> str:
    """What numbers may differ with in the last bits: the kind of processor and PyTorch's version."""
    kind = torch.cuda.get_device_name() if on_gpu else f"{CPU} with {torch.backends.cpu.get_cpu_capability()}"
    return f"{kind}, torch {torch.__version__}"
