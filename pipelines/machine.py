"""What this machine has, and what processes of ours take of it before they have done anything."""

import os

READER_BYTES = 330 * 1024**2
"""What a worker process that reads needs before it has read anything (measured: Python, Dask, GDAL, Zarr)."""

MAPPER_BYTES = 450 * 1024**2
"""The same of one that maps, which loads torch too."""


def machine_memory() -> int:
    """Bytes of memory that this machine, or the container we are in, may use."""
    physical = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    try:
        with open("/sys/fs/cgroup/memory.max", encoding="ascii") as file:
            limit = file.read().strip()
    except OSError:  # no container, or none that tells its limit: what the machine has is all that is known
        return physical
    return physical if limit == "max" else min(physical, int(limit))
