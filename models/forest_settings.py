"""The shape of the two random forests: by spectrum alone, and with the context of each pixel."""

from dataclasses import dataclass
from math import isfinite
from typing import ClassVar

from models.errors import Misfit
from models.network import NetworkSettings

BLOCK = 64 << 20  # bytes of features at a time

WIDEST = 63  # pixels of a window; what lies farther is another field


@dataclass(frozen=True)
class ForestSettings(NetworkSettings):
    """Defaults are sized for maps: 50 trees of depth 12 map two to four times as fast as 100 of depth 20.

    `cycle` is the length of a year in the units of the card's `middles`: days, or degree-days of a usual season.
    A depth of 0 lets trees grow until `leaf` stops them, as the baselines in papers do with 500 trees.
    """

    kind: ClassVar[str] = "forest"

    trees: int = 50
    depth: int = 12
    leaf: int = 5
    harmonics: int = 2
    cycle: float = 365.25
    seed: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not (1 <= self.trees <= 10_000 and 0 <= self.depth <= 1000 and self.leaf >= 1 and self.seed >= 0):
            raise Misfit(f"{self}", "trees run from 1, leaf from 1, depth and seed from 0.", "Correct the numbers.")
        if not (0 <= self.harmonics <= 4 and isfinite(self.cycle) and self.cycle > 0):
            raise Misfit(f"{self}", "0 to 4 harmonics of a cycle above 0 are fitted.", "Correct the numbers.")

    @property
    def sides(self) -> tuple[int, ...]:
        """Of the windows around a pixel, smallest first."""
        return ()

    def mapping_bytes(self, pixels: int) -> int:
        """Features, in blocks, once more as the trees want them; counts as read, of used periods, and with a margin."""
        return 2 * BLOCK + pixels * 3 * 2 * self.bands * self.periods

    @property
    def uses_gpu(self) -> bool:
        return False

    @property
    def stride(self) -> int:
        return 1

    @property
    def halo(self) -> int:
        """How far the widest window reaches, and texture looks at one pixel on each side."""
        return max((side // 2 for side in self.sides), default=0)


@dataclass(frozen=True)
class ContextForestSettings(ForestSettings):
    """Also mean and spread of each band in windows around the pixel, and how NDVI changes there."""

    windows: tuple[int, ...] = (3, 7, 15)

    def __post_init__(self) -> None:
        object.__setattr__(self, "windows", tuple(self.windows))
        super().__post_init__()
        fit = all(side % 2 == 1 and 3 <= side <= WIDEST for side in self.windows)
        if not self.windows or not fit or list(self.windows) != sorted(set(self.windows)):
            why = f"sides are odd, from 3 to {WIDEST} pixels, each wider than the one before."
            raise Misfit(f"windows {self.windows}", why, "Write 3, 7, 15.")

    @property
    def sides(self) -> tuple[int, ...]:
        return self.windows
