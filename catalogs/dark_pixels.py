"""Whether a scene's counts still hold the offset of 1000, told by its darkest ground in several bands at once."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from catalogs.stac.radiometry import BOA_ADD_OFFSET

JUDGED = ("B02", "B03", "B04", "B11", "B12")
"""Bands in which something on land is nearly black: vegetation and shadow in the visible, water in the infrared."""

VISIBLE = ("B02", "B04")
"""Dark over vegetation too; green less so."""

CLEAR = (2, 4, 5, 6)
"""Scene classes that are judged: dark ground, vegetation, bare soil, water. The offset does not change them."""

LAND = (2, 4, 5)
"""Sun glint makes water as bright and as grey as an offset does, so water alone never shows that there is one."""

FEWEST = 500
"""Clear pixels without which nothing is decided."""

FEWEST_LAND = 3000
"""Clear pixels of land without which no offset is seen: a small place may lie under one even haze."""

FEWEST_UNCLASSIFIED = 10_000
"""The same where no scene classification tells ground from thin cloud."""

FEWEST_SHARE = 0.05
"""Of the pixels with data: less that is clear is the rim of clouds."""

WIDE = 50_000
"""Clear pixels among which some ground would be dark through any haze that is not a cloud."""

WHITE = 800
"""Counts by which red outshines short-wave infrared in cloud and snow only; a difference knows no offset."""

BELOW_ZERO = 700
"""With the offset in, a reflectance of -0.03: hardly a pixel of a product has that."""

INFRARED_BELOW_ZERO = 850
"""With the offset in, -0.015: the air is nearly clear in the infrared, so its correction cannot go so far."""

DARKEST = 900
"""With the offset in, -0.01: the lowest that correction of the atmosphere usually leaves."""

DARK = 1400
"""The darkest hundredth of vegetation and shadow lies below this in the visible, with the offset in."""

HAZY = 2000
"""The same through haze."""

REDDER = 250
"""Counts by which the darkest ground may be brighter in red than in blue; bare rock and sand are redder."""

INFRARED = 1000
"""Counts by which it may be brighter in B12 than in blue; a desert is brighter."""

Verdict = Literal["holds", "removed", "undecided"]
Answer = Literal["confirms", "contradicts", "undecided"]
Dark = Mapping[str, tuple[int, int, int]]
"""Band -> counts of which 0.1, 1 and 5 % of the clear pixels are darker."""


@dataclass(frozen=True)
class Evidence:
    """What the pixels say, and the figures that it rests on."""

    verdict: Verdict
    why: str
    with_data: int = 0
    clear: int = 0
    dark: Dark = field(default_factory=dict)

    @property
    def record(self) -> dict[str, Any]:
        """As JSON keeps it."""
        return {**asdict(self), "dark": {band: list(counts) for band, counts in self.dark.items()}}

    @staticmethod
    def from_record(record: Mapping[str, Any]) -> "Evidence":
        dark = {band: (counts[0], counts[1], counts[2]) for band, counts in record["dark"].items()}
        return Evidence(**{**record, "dark": dark})

    def __str__(self) -> str:
        shown = ", ".join(f"{band} {counts[1]}" for band, counts in self.dark.items())
        return f"{self.why}; darkest 1 % of {self.clear} clear pixels: {shown or 'none'}"


def confirm(offset: int, evidence: Evidence) -> Answer:
    """How the pixels stand to what the metadata say (counts to subtract)."""
    if evidence.verdict == "undecided":
        return "undecided"
    return "confirms" if offset == offset_seen(evidence) else "contradicts"


def offset_seen(evidence: Evidence) -> int:
    """Counts to subtract as a decided verdict has it."""
    return BOA_ADD_OFFSET if evidence.verdict == "holds" else 0


def judge(samples: Mapping[str, NDArray[Any]]) -> Evidence:
    """Counts of several bands (0 = no data) and, if there is one, the scene classification as "SCL".

    Bands may differ in resolution; all are thinned to the coarsest by leaving out pixels.
    """
    layers = _on_one_grid(samples)
    bands = {band: layers[band].astype(np.int32) for band in JUDGED if band in layers}
    if len(bands) < 3 or not {"B02", "B04"} <= bands.keys():
        return Evidence("undecided", "too few bands were given")
    with_data = np.any([counts != 0 for counts in bands.values()], axis=0)
    clear = with_data & ~_white(bands)
    if "SCL" in layers:
        clear &= np.isin(layers["SCL"], CLEAR)
    found = int(clear.sum())
    if found < max(FEWEST, FEWEST_SHARE * with_data.sum()):
        return Evidence("undecided", "too few clear pixels", int(with_data.sum()), found)
    dark = {band: _quantiles(counts[clear]) for band, counts in bands.items()}
    land = int((clear & np.isin(layers["SCL"], LAND)).sum()) if "SCL" in layers else None
    shares = {band: float(np.mean(counts[clear] < DARKEST)) for band, counts in bands.items()}
    verdict, why = _decide(dark, max(shares.values()), found, land)
    return Evidence(verdict, why, int(with_data.sum()), found, dark)


def _decide(dark: Dark, below: float, clear: int, land: int | None) -> tuple[Verdict, str]:
    """`below` is the greatest share of ground under DARKEST in any band; `land` is None without a classification."""
    if _is_removed(dark):
        return "removed", "ground is so dark in several bands that it would be below zero with the offset in"
    if below > 0.001:
        return "undecided", f"some ground is darker than {DARKEST} counts, but not in enough bands"
    brightest = max(dark[band][1] for band in VISIBLE if band in dark)
    if brightest > (HAZY if clear >= WIDE else DARK):
        return "undecided", "there is no dark ground"
    if _is_desert(dark):
        return "undecided", "the darkest ground has the colour of bare rock or sand"
    if clear < FEWEST_UNCLASSIFIED if land is None else land < FEWEST_LAND:
        return "undecided", "too little clear land"
    return "holds", f"no ground is darker than {DARKEST} counts in any band, not even the darkest and greyest"


def _is_removed(dark: Dark) -> bool:
    if sum(twentieth < BELOW_ZERO for _, _, twentieth in dark.values()) >= 3:
        return True
    visible = any(dark[band][1] < INFRARED_BELOW_ZERO for band in VISIBLE if band in dark)
    return visible and any(dark[band][2] < INFRARED_BELOW_ZERO for band in ("B11", "B12") if band in dark)


def _is_desert(dark: Dark) -> bool:
    blue = dark["B02"][1]
    return dark["B04"][1] - blue > REDDER or ("B12" in dark and dark["B12"][1] - blue > INFRARED)


def _white(bands: Mapping[str, NDArray[np.int32]]) -> NDArray[np.bool_]:
    if "B12" not in bands:
        return np.zeros(bands["B04"].shape, np.bool_)
    white: NDArray[np.bool_] = bands["B04"] - bands["B12"] > WHITE
    return white


def _quantiles(counts: NDArray[np.int32]) -> tuple[int, int, int]:
    thousandth, hundredth, twentieth = np.quantile(counts, (0.001, 0.01, 0.05), method="lower")
    return int(thousandth), int(hundredth), int(twentieth)


def _on_one_grid(samples: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    wanted = [name for name in (*JUDGED, "SCL") if name in samples]
    height, width = _coarsest(samples[name].shape for name in wanted)
    return {name: _thinned(samples[name], height, width) for name in wanted}


def _coarsest(shapes: Iterable[tuple[int, ...]]) -> tuple[int, int]:
    return min(((shape[0], shape[1]) for shape in shapes), default=(0, 0))


def _thinned(pixels: NDArray[Any], height: int, width: int) -> NDArray[Any]:
    rows = np.arange(height) * pixels.shape[0] // height if height else np.arange(0)
    columns = np.arange(width) * pixels.shape[1] // width if width else np.arange(0)
    thinned: NDArray[Any] = pixels[np.ix_(rows, columns)]
    return thinned
