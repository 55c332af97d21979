"""How much of its device a training uses, and of its memory."""

import resource
import time
from contextlib import suppress
from dataclasses import dataclass, field

import torch


@dataclass
class DeviceMeter:
    """Looks at the time between two readings on a CPU, and at the driver's own count on a GPU."""

    device: torch.device
    wall: float = field(default_factory=time.monotonic)
    cpu: float = field(default_factory=time.process_time)

    def read(self) -> dict[str, float]:
        """`device_use` from 0 to 1, where it can be known, and `memory_mb`, the most so far."""
        if self.device.type == "cuda":
            found = {"memory_mb": torch.cuda.max_memory_allocated(self.device) / 1e6}
            with suppress(ModuleNotFoundError, RuntimeError):  # the count needs NVIDIA's management library
                found["device_use"] = torch.cuda.utilization(self.device) / 100
            return found
        wall, cpu = time.monotonic(), time.process_time()
        use = (cpu - self.cpu) / max(wall - self.wall, 1e-6) / torch.get_num_threads()
        self.wall, self.cpu = wall, cpu
        return {"memory_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3, "device_use": min(use, 1.0)}
