"""Asking PyTorch for the same numbers every time: no reduced precision behind our back, no choice of kernel by luck."""

import os
import platform
from pathlib import Path

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
    kind = torch.cuda.get_device_name() if on_gpu else f"{CPU} {_cpu()}"
    return f"{kind}, torch {torch.__version__}"


def _cpu() -> str:
    """With its maker: MKL has other kernels for others, whatever instructions they share."""
    known = Path("/proc/cpuinfo")
    lines = known.read_text().splitlines() if known.exists() else []
    makers = [line.partition(":")[2].strip() for line in lines if line.startswith("vendor_id")]
    return f"{makers[0] if makers else platform.machine()} with {torch.backends.cpu.get_cpu_capability()}"
