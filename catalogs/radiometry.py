"""Which count stands for zero reflectance: the +1000 that some Sentinel-2 products hold and others do not."""

from collections.abc import Mapping
from typing import Any

BOA_ADD_OFFSET = 1000
"""Counts added to every pixel by processing baseline 04.00 and later (BOA_ADD_OFFSET, 25 January 2022)."""


def earth_search_offset(properties: Mapping[str, Any]) -> int:
    """Counts to subtract from an Earth Search L2A item's pixels.

    Its `raster:bands` list an offset of -0.1 whether or not the pixels still hold it, so they decide nothing:
    `earthsearch:boa_offset_applied` does, and where that is false or absent, the baseline.
    """
    if properties.get("earthsearch:boa_offset_applied", False):
        return 0
    return BOA_ADD_OFFSET if baseline_of(properties) >= (4, 0) else 0


def baseline_of(properties: Mapping[str, Any]) -> tuple[int, ...]:
    written = str(properties.get("s2:processing_baseline") or properties.get("processing:version") or "0")
    digits = written.lstrip("N").split(".")
    return tuple(int(part) for part in digits) if all(part.isdigit() for part in digits) else (0,)
