"""The passes of the two satellites over the made-up country: which scenes exist, and how each was processed."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from math import cos, pi

import numpy as np
from shapely.geometry import Polygon, box

from catalogs.synthetic.chance import Array, stream
from catalogs.synthetic.frames import ZONES, frame_of
from catalogs.synthetic.outline import ZONE_BORDER, square
from catalogs.synthetic.projections import NATIONAL_CRS, project, utm
from catalogs.synthetic.settings import CountrySettings

FIRST_DAY, LAST_DAY = 65, 299
"""days of the year: 6 March, 26 October"""
SWATH_TILT = 0.22
"""the swath's edge moves east by this much for each metre north (descending orbit)"""
LEAST_DATA = 0.02
"""a scene with a smaller share of valid pixels is not delivered"""


@dataclass(frozen=True)
class Processing:
    baseline: str
    boa_offset_applied: bool

    @property
    def added(self) -> int:
        """DN = reflectance * 10000 + this (the offset of baseline 04.00, unless the provider took it out again)."""
        return 0 if self.boa_offset_applied or self.baseline < "04.00" else 1000


PROCESSINGS = (
    Processing("05.00", True),
    Processing("02.14", False),
    Processing("05.00", True),
    Processing("05.00", False),
)
REPROCESSED = Processing("05.10", False)


@dataclass(frozen=True)
class SceneJob:
    """All that tells one scene from another; small enough to send anywhere."""

    zone: int
    sensed: datetime
    platform: str
    orbit: int
    processing: Processing
    generated: datetime
    clouds: float
    haze: float
    swath: tuple[int, float] | None
    """(1, x): data east of a line through x (national CRS) at mid-height; (-1, x): west of it"""
    sequence: int = 0
    sun_azimuth: float = 158.0
    """degrees"""

    @property
    def scene_id(self) -> str:
        return f"S{self.platform[-2:].upper()}_{ZONES[self.zone]}_{self.sensed:%Y%m%d}_{self.sequence}_L2A"

    @property
    def day_of_year(self) -> int:
        return self.sensed.timetuple().tm_yday

    @property
    def absolute_orbit(self) -> int:
        """Turns since launch, 14.3 a day."""
        launched = datetime(2015, 6, 23, tzinfo=UTC)
        return int((self.sensed - launched) / timedelta(days=1) * 14.3)

    @property
    def datatake(self) -> str:
        """The same for both scenes of a pass and for a scene that was processed twice."""
        return f"GS{self.platform[-2:].upper()}_{self.datatake_start:%Y%m%dT%H%M%S}_{self.absolute_orbit:06d}"

    @property
    def datatake_start(self) -> datetime:
        return self.sensed.replace(second=0)

    @property
    def sun_elevation(self) -> float:
        """degrees, at half past ten: six below noon"""
        declination = -23.44 * cos(2 * pi * (self.day_of_year + 10) / 365)
        return 90 - ZONE_BORDER[1] + declination - 6


def plan_passes(settings: CountrySettings) -> tuple[SceneJob, ...]:
    """All scenes of the season in order of time, the reprocessed one behind its twin."""
    jobs = [job for number in range(settings.dates) for job in _pass(settings, number)]
    twin = min(jobs, key=lambda job: (job.processing.baseline, job.swath is not None, job.clouds))
    jobs.insert(jobs.index(twin) + 1, _reprocess(twin))
    return tuple(jobs)


def swath_edge(settings: CountrySettings, x: float, y: Array) -> Array:
    """Where the swath's edge is at these heights: x in the national CRS."""
    _, bottom, _, top = square(settings)
    return x + SWATH_TILT * (y - (bottom + top) / 2)


def swath(settings: CountrySettings, job: SceneJob) -> Polygon:
    """The ground that the satellite saw on this pass, in the national CRS."""
    left, bottom, right, top = square(settings)
    far = settings.side
    if job.swath is None:
        return box(left - far, bottom - far, right + far, top + far)
    side, x = job.swath
    y = np.array([bottom - far, top + far])
    low, high = swath_edge(settings, x, y)
    beyond = (left + right) / 2 + side * 3 * far
    return Polygon([(low, y[0]), (high, y[1]), (beyond, y[1]), (beyond, y[0])])


def footprint(settings: CountrySettings, job: SceneJob) -> Polygon:
    """The part of the scene with data, in its UTM zone."""
    seen = project(swath(settings, job), NATIONAL_CRS, utm(job.zone))
    part = box(*frame_of(settings, job.zone).bounds).intersection(seen)
    return part if isinstance(part, Polygon) else Polygon()


def _pass(settings: CountrySettings, number: int) -> list[SceneJob]:
    rng = stream(settings.seed, "pass", number)
    sensed = _day(settings, number) + timedelta(hours=10, minutes=int(rng.integers(10, 30)), seconds=8)
    processing = PROCESSINGS[number % len(PROCESSINGS)]
    whole = SceneJob(
        zone=32,
        sensed=sensed,
        platform=f"sentinel-2{'ab'[number % 2]}",
        orbit=(22, 65, 122)[number % 3],
        processing=processing,
        generated=_processed(sensed, processing),
        clouds=_cloud_cover(settings, number),
        haze=float(rng.uniform(0.02, 0.08) * (rng.random() < 0.4)),
        swath=_draw_edge(settings, number, rng),
    )
    dropped = {5: 33, 13: 32}.get(number % 16)
    scenes = [whole, replace(whole, zone=33, sensed=sensed + timedelta(seconds=7))]
    return [scene for scene in scenes if scene.zone != dropped and _has_data(settings, scene)]


def _day(settings: CountrySettings, number: int) -> datetime:
    spacing = (LAST_DAY - FIRST_DAY) / settings.dates
    jitter = stream(settings.seed, "day", number).uniform(0.2, 0.8)
    return datetime(settings.year, 1, 1, tzinfo=UTC) + timedelta(days=int(FIRST_DAY + (number + jitter) * spacing) - 1)


def _cloud_cover(settings: CountrySettings, number: int) -> float:
    """A few days almost clear, a few almost covered, `settings.clouds` on average.

    Of three days in a row one is from the clearest third and one from the cloudiest: no spring is lost in clouds.
    """
    rng = stream(settings.seed, "clouds")
    groups = -(-settings.dates // 3)
    thirds = rng.permuted(np.tile(np.arange(3), (groups, 1)), axis=1)
    places = rng.permuted(np.tile(np.arange(groups), (3, 1)), axis=1)
    group, third = number // 3, thirds[number // 3, number % 3]
    rank = (third * groups + places[third, group] + 0.5) / (3 * groups)
    return float(np.clip(rank ** (1 / max(settings.clouds, 1e-6) - 1), 0, 0.97))


def _draw_edge(settings: CountrySettings, number: int, rng: np.random.Generator) -> tuple[int, float] | None:
    """Every sixth pass sees only a part of the country."""
    left, _, right, _ = square(settings)
    side = 1 if rng.random() < 0.5 else -1
    share = rng.uniform(0.15, 0.60)
    at = left + share * (right - left) if side > 0 else right - share * (right - left)
    return (side, float(at)) if number % 6 == 3 else None


def _has_data(settings: CountrySettings, job: SceneJob) -> bool:
    if job.swath is None:
        return True
    return bool(footprint(settings, job).area >= LEAST_DATA * box(*frame_of(settings, job.zone).bounds).area)


def _processed(sensed: datetime, processing: Processing) -> datetime:
    """Originals within a day, Collection 1 years later."""
    return sensed + (timedelta(hours=7) if processing.baseline < "05.00" else timedelta(days=700, hours=9))


def _reprocess(job: SceneJob) -> SceneJob:
    return replace(job, sequence=1, processing=REPROCESSED, generated=job.generated + timedelta(days=900, hours=3))
