"""What a made-up country is told before it is made."""

from dataclasses import dataclass

from catalogs.errors import BadInput

LIMITS: dict[str, tuple[float, float]] = {
    "seed": (0, 2**63 - 1),
    "size": (64, 10_000),  # pixels; beyond, one scene per zone would be larger than a real one (10,980)
    "year": (2017, 2100),  # both Sentinel-2 satellites fly since 2017
    "dates": (1, 116),  # two days apart at the least, March to October
    "clouds": (0.0, 0.9),
    "season_shift": (0.0, 60.0),
}


@dataclass(frozen=True)
class CountrySettings:
    """Equal settings make equal countries, byte for byte."""

    seed: int = 1
    size: int = 1280
    """pixels of 10 m on a side"""
    year: int = 2021
    dates: int = 24
    """days with a satellite pass, March to October; each gives up to two scenes"""
    clouds: float = 0.30
    """mean cloud cover of the season, 0 to 1"""
    season_shift: float = 12.0
    """days by which spring comes later in the coldest corner than in the warmest"""

    def __post_init__(self) -> None:
        for name, (low, high) in LIMITS.items():
            value = getattr(self, name)
            if not low <= value <= high:
                raise BadInput(
                    f"synthetic country: {name} = {value!r}",
                    f"is outside {low:g} to {high:g}.",
                    f"Choose a {name} within these limits.",
                )

    @property
    def side(self) -> float:
        """metres"""
        return 10.0 * self.size
