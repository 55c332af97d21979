"""The season's time axis: half-open periods of days."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta


@dataclass(frozen=True, order=True)
class Period:
    """Days from `start` up to but not including `end`, UTC; of thermal time also none (`end` is `start` then)."""

    start: date
    end: date

    def __str__(self) -> str:
        return f"{self.start}/{self.last or 'none'}"

    @property
    def last(self) -> date | None:
        """The last day, if there are any."""
        return self.end - timedelta(days=1) if self.end > self.start else None

    @property
    def middle(self) -> float:
        """Days from the first of January of the year in which it starts."""
        return (self.start - date(self.start.year, 1, 1)).days + (self.end - self.start).days / 2

    def holds(self, moment: datetime) -> bool:
        return _midnight(self.start) <= moment < _midnight(self.end)


def split_season(start: date, last: date, rule: str | int) -> tuple[Period, ...]:
    """Cut the days `start`..`last` (both included) into calendar months, dekads, or a number of equal periods."""
    end = last + timedelta(days=1)
    if isinstance(rule, int):
        cuts = [start + (end - start) * i // rule for i in range(1, rule)]
    else:
        days = {"month": (1,), "dekad": (1, 11, 21)}[rule]
        span = (start + timedelta(days=i) for i in range(1, (end - start).days))
        cuts = [day for day in span if day.day in days]
    edges = [start, *cuts, end]
    return tuple(Period(a, b) for a, b in zip(edges, edges[1:], strict=False))


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)
