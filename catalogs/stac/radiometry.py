"""Which count stands for zero reflectance: the +1000 that some Sentinel-2 products hold and others do not."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from catalogs.stac.items import Item, Unusable, baseline_of, told

BOA_ADD_OFFSET = 1000
"""Counts added to every pixel by processing baseline 04.00 and later (BOA_ADD_OFFSET, 25 January 2022)."""

SCALE = 1e-4
"""Reflectance of one count, in all products of Sentinel-2."""

FLAGS = ("earthsearch:boa_offset_applied", "sentinel:boa_offset_applied")
"""Of Earth Search v1 and v0: whether the offset is already gone from the pixels."""


@dataclass(frozen=True)
class Offset:
    """Counts to subtract from the pixels of a scene, and what says so."""

    counts: int
    reason: str


def offset_by_flag(item: Item, assets: Iterable[str]) -> Offset:
    """Earth Search's L2A: its assets list -0.1 whether or not the pixels still hold it, so only the flag decides."""
    listed_offsets(item, assets)
    name = next((name for name in FLAGS if told(item, name) is not None), None)
    if name and str(told(item, name)).lower() == "true":
        return Offset(0, f"{name} is true")
    decided = offset_by_baseline(item, assets)
    return Offset(decided.counts, f"{name} is false, {decided.reason}") if name else decided


def offset_by_assets(item: Item, assets: Iterable[str]) -> Offset:
    """Collection 1 and the Copernicus Data Space list what their pixels hold."""
    offsets = listed_offsets(item, assets)
    if offsets == {None}:
        decided = offset_by_baseline(item, assets)
        return Offset(decided.counts, f"{decided.reason}, and its assets list no offset")
    if len(offsets) > 1:
        raise Unusable(f"has bands with different offsets ({', '.join(sorted(map(str, offsets)))})")
    offset = offsets.pop() or 0.0
    counts = round(-offset / SCALE)
    if abs(counts + offset / SCALE) > 0.01 or not 0 <= counts < 10_000:
        raise Unusable(f"has an offset that cannot be ({offset})")
    return Offset(counts, f"raster:offset {offset:g} of its assets")


def offset_by_baseline(item: Item, assets: Iterable[str]) -> Offset:
    """The Planetary Computer lists no offset: its pixels are as ESA's processor wrote them."""
    listed_offsets(item, assets)
    baseline = baseline_of(item)
    if not baseline:
        raise Unusable("names no processing baseline, so nothing tells its offset")
    written = ".".join(f"{part:02d}" for part in baseline)
    if baseline >= (4, 0):
        return Offset(BOA_ADD_OFFSET, f"baseline {written}, from 04.00 on")
    return Offset(0, f"baseline {written}, before 04.00")


def listed_offsets(item: Item, assets: Iterable[str]) -> set[float | None]:
    """Offsets that the bands list, None for one that lists none; their scale must be Sentinel-2's."""
    found: set[float | None] = set()
    for name in assets:
        scale, offset = _scale_and_offset(item["assets"][name])
        if scale is not None and abs(float(scale) - SCALE) > SCALE / 1e6:
            raise Unusable(f"has counts of another size (scale {scale} of {name}, not 0.0001)")
        found.add(None if offset is None else float(offset))
    return found


def _scale_and_offset(asset: Mapping[str, Any]) -> tuple[Any, Any]:
    """Of the asset or its only band, as `raster:scale` (raster extension 2) or in `raster:bands` (1)."""
    places = [
        (asset, "raster:scale", "raster:offset"),
        ((asset.get("bands") or [{}])[0], "raster:scale", "raster:offset"),
        ((asset.get("raster:bands") or [{}])[0], "scale", "offset"),
    ]
    pairs = [(fields.get(scale), fields.get(offset)) for fields, scale, offset in places]
    return next((pair for pair in pairs if pair != (None, None)), (None, None))
