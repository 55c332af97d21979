"""The shape of Presto, and which bands of a cube are its groups of channels."""

from dataclasses import dataclass

from models.errors import Misfit
from models.network import NetworkSettings

GROUPS: dict[str, tuple[int, ...]] = {
    "rgb": (0, 1, 2),
    "red_edge": (3, 4, 5),
    "nir": (6,),
    "narrow_nir": (7,),
    "swir": (8, 9),
    "ndvi": (10,),
}
"""Channels of each: the bands of a cube in wavelength order (B02 .. B12), and NDVI behind them."""

BANDS = 10
RED, NIR = 2, 6

PIXELS_AT_ONCE = 64
"""On a CPU: twelve periods of them are a few megabytes at the widest place, which stay in its cache."""

ON_A_GPU = 2048


@dataclass(frozen=True)
class PrestoSettings(NetworkSettings):
    """`width`, `depth`, `heads` and `expansion` (of the small network in each layer) are published as 128, 2, 8, 4.

    `location` is the region's latitude and longitude, one token for all its pixels; None leaves that token out.
    `frozen` trains the classes' layer alone, which only official weights make sense of.
    """

    kind = "Presto"

    width: int = 128
    depth: int = 2
    heads: int = 8
    expansion: int = 4
    location: tuple[float, float] | None = None
    frozen: bool = False

    def __post_init__(self) -> None:
        if self.location is not None:
            object.__setattr__(self, "location", tuple(self.location))
        super().__post_init__()
        _check(self)

    @property
    def stride(self) -> int:
        """Each pixel is looked at on its own."""
        return 1

    @property
    def tokens(self) -> int:
        """Of a pixel: one for each group and period, and the place."""
        return len(GROUPS) * self.periods + (self.location is not None)

    def mapping_bytes(self, pixels: int) -> int:
        """Besides what all networks hold, tokens of the pixels that are looked at together, several times over."""
        tokens = PIXELS_AT_ONCE * self.tokens * self.width
        return super().mapping_bytes(pixels) + 4 * tokens * (8 + 5 * self.expansion)


def _check(settings: PrestoSettings) -> None:
    if settings.bands != BANDS:
        why = f"its groups of channels are made of {BANDS}, B02 to B12."
        raise Misfit(f"{settings.bands} bands", why, "Ingest all of them, or take another architecture.")
    if settings.width < 8 or settings.width % 8:
        why = "a quarter of it says the month in pairs of waves, and half of it the place in the season."
        raise Misfit(f"width {settings.width}", why, "Write a multiple of 8, e.g. 128.")
    if min(settings.heads, settings.depth, settings.expansion) < 1 or settings.width % settings.heads:
        given = f"{settings.heads} heads, depth {settings.depth}, expansion {settings.expansion}"
        raise Misfit(given, "heads share the width, and each is at least 1.", "Write e.g. 8, 2 and 4.")
    if settings.location is not None and not _is_on_earth(settings.location):
        raise Misfit(f"location {settings.location}", "it is no latitude and longitude.", "Write e.g. 48.2, 16.4.")


def _is_on_earth(location: tuple[float, ...]) -> bool:
    return len(location) == 2 and abs(location[0]) <= 90 and abs(location[1]) <= 180
