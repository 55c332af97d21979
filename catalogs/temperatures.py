"""Thermal time: daily temperatures to sums of degree-days, and the season cut where these sums are."""

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from math import isfinite
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from catalogs.errors import BadInput
from catalogs.periods import Period

COLUMNS = ("date", "tmin", "tmax")
BASE = 0.0
"""Degrees Celsius at which growth starts, as in the T3S method of thermal sampling."""

COLDEST, WARMEST = -70.0, 60.0
"""What a day can have on Earth; Kelvin, Fahrenheit in summer, tenths of degrees and -9999 lie outside."""

DECIMALS = 6
"""Sums and edges are rounded to this, or a sum that meets an edge would fall below it by a rounding error."""

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class DailyTemperatures:
    """The lowest and highest temperature of days, degrees Celsius."""

    path: Path
    days: Mapping[date, tuple[float, float]]

    def between(self, start: date, last: date) -> tuple[Floats, Floats]:
        """tmin and tmax of the days `start`..`last`, none of which may be missing."""
        season = _days(start, last)
        missing = [day for day in season if day not in self.days]
        if missing:
            raise BadInput(
                f"temperature file {self.path}",
                f"It has no row for {missing[0]}, and {len(missing)} of the season's {len(season)} days are missing.",
                f"Add them: it needs one row for each day from {start} to {last}.",
            )
        lowest, highest = np.array([self.days[day] for day in season], np.float64).T
        return lowest, highest


def read_temperatures(path: Path | str) -> DailyTemperatures:
    """A CSV file with the columns date, tmin and tmax (others are passed over), in any order of rows."""
    path = Path(path)
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = csv.DictReader(file, skipinitialspace=True)
            rows.fieldnames = [name.strip() for name in rows.fieldnames or ()]
            _check_columns(path, rows.fieldnames)
            return DailyTemperatures(path, _read_days(path, rows))
    except OSError as error:
        why = f"It cannot be read ({error.strerror})."
        raise BadInput(f"temperature file {path}", why, "Check the path in the project file.") from error
    except (UnicodeDecodeError, csv.Error) as error:
        remedy = "Save it as CSV with commas, in UTF-8."
        raise BadInput(f"temperature file {path}", f"It is not a text of rows ({error}).", remedy) from error


def degree_days(tmin: Floats, tmax: Floats) -> Floats:
    """Growing degree-days of each day: how far the mean of its extremes is above the base, or 0."""
    return np.maximum(0.0, (tmin + tmax) / 2 - BASE)


def thermal_periods(
    start: date, last: date, count: int, temperatures: DailyTemperatures, bounds: tuple[float, float] | None = None
) -> tuple[Period, ...]:
    """The days `start`..`last` (both included) cut into `count` equal intervals of accumulated degree-days.

    A day belongs to the interval that holds the sum from `start` up to and with this day. Intervals hold their lower
    edge, the last one its upper edge too. Without `bounds` they reach from the first day's sum to the last day's; with
    them, days whose sum lies outside belong to no period. An interval that no day falls into is an empty period.
    """
    season, sums = _days(start, last), accumulated(start, last, temperatures)
    cuts = [season[i] if i < len(season) else last + timedelta(days=1) for i in interval_cuts(sums, count, bounds)]
    if cuts[0] == cuts[-1]:
        raise _nothing_grows(temperatures.path, float(sums[-1]), bounds)
    return tuple(Period(a, b) for a, b in zip(cuts, cuts[1:], strict=False))


def accumulated(start: date, last: date, temperatures: DailyTemperatures) -> Floats:
    """The sum of degree-days from `start` up to and with each day."""
    return np.cumsum(degree_days(*temperatures.between(start, last)))


def thermal_middles(low: float, high: float, count: int) -> tuple[float, ...]:
    """The middle of each of `count` equal intervals, degree-days."""
    width = (high - low) / count
    return tuple(low + (i + 0.5) * width for i in range(count))


def interval_cuts(sums: Floats, count: int, bounds: tuple[float, float] | None = None) -> list[int]:
    """Growing sums to `count` + 1 places among them: interval i holds those from cuts[i] up to before cuts[i + 1]."""
    sums = sums.round(DECIMALS)
    low, high = bounds or (sums[0], sums[-1])
    if low >= high:
        return [0] * (count + 1)
    edges = np.linspace(low, high, count + 1).round(DECIMALS)
    first = np.searchsorted(sums, edges[:-1], side="left")
    return [*map(int, first), int(np.searchsorted(sums, edges[-1], side="right"))]


def _check_columns(path: Path, names: Sequence[str]) -> None:
    missing = [name for name in COLUMNS if name not in names]
    if missing:
        shown = ", ".join(repr(name) for name in names[:8]) or "none"
        raise BadInput(
            f"temperature file {path}, line 1",
            f"It has no column {' and no '.join(missing)} (it has {shown}).",
            "Begin it with the line date,tmin,tmax and separate values by commas.",
        )


def _read_days(path: Path, rows: "csv.DictReader[str]") -> dict[date, tuple[float, float]]:
    days: dict[date, tuple[float, float]] = {}
    for row in rows:
        given = f"temperature file {path}, line {rows.line_num}"
        day = _read_date(given, row["date"])
        if day in days:
            raise BadInput(given, f"It has {day} a second time.", "Keep one row for each day.")
        days[day] = _read_extremes(given, row)
    return days


def _read_date(given: str, text: str | None) -> date:
    try:
        return date.fromisoformat((text or "").strip())
    except ValueError as error:
        raise BadInput(given, f"{text or ''!r} is not a date.", "Write year-month-day, as in 2021-05-03.") from error


def _read_extremes(given: str, row: Mapping[str | None, str | list[str] | None]) -> tuple[float, float]:
    if None in row:
        raise BadInput(given, "It has more values than there are columns.", "Write decimals with a point, as in 3.5.")
    tmin, tmax = (_read_degrees(given, name, str(row[name] or "")) for name in COLUMNS[1:])
    if tmin > tmax:
        raise BadInput(given, f"tmin ({tmin:g}) is above tmax ({tmax:g}).", "Check whether the columns are swapped.")
    return tmin, tmax


def _read_degrees(given: str, name: str, text: str) -> float:
    try:
        degrees = float(text)
    except ValueError:
        degrees = float("nan")
    if not isfinite(degrees):
        remedy = "Write degrees Celsius with a decimal point, and fill gaps, for example from the days around them."
        raise BadInput(given, f"{name} {text!r} is not a number.", remedy)
    if not COLDEST <= degrees <= WARMEST:
        raise BadInput(given, f"{name} {degrees:g} is not a temperature in degrees Celsius.", _other_unit(degrees))
    return degrees


def _other_unit(degrees: float) -> str:
    if 200 <= degrees <= 335:
        return "Subtract 273.15 if the file is in Kelvin."
    return "Write degrees Celsius, not Fahrenheit and not tenths, and no code for missing values."


def _nothing_grows(path: Path, total: float, bounds: tuple[float, float] | None) -> BadInput:
    given = f"temperature file {path}"
    if bounds is None:
        why = f"The season adds no degree-days after its first day (its sum is {total:g})."
        return BadInput(given, why, "Check the temperatures, or write time = 'calendar'.")
    why = f"No day of the season lies between {bounds[0]:g} and {bounds[1]:g} degree-days (its sum is {total:g})."
    return BadInput(given, why, f"Write for example: degree_days = [0, {max(total, 1):.0f}].")


def _days(start: date, last: date) -> list[date]:
    return [start + timedelta(days=i) for i in range((last - start).days + 1)]
