"""The season cut into periods: by the calendar, and by accumulated degree-days read from a file of temperatures."""

from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from catalogs.errors import BadInput
from catalogs.periods import Period, split_season
from catalogs.temperatures import DailyTemperatures, degree_days, interval_cuts, read_temperatures, thermal_periods

START = date(2021, 3, 1)
SUMS = np.array([0.0, 100, 250, 400, 800, 1000, 1300, 1600])
"""A published example of thermal sampling: with four intervals the edges are 0, 400, 800, 1200, 1600."""


def days_on(count: int) -> date:
    return START + timedelta(days=count)


def daily(growth: list[float]) -> DailyTemperatures:
    """A season whose days have these degree-days."""
    return DailyTemperatures(Path("t.csv"), {days_on(i): (2 * each - 3, 3.0) for i, each in enumerate(growth)})


def written(folder: Path, text: str) -> Path:
    path = folder / "temperatures.csv"
    path.write_text(text)
    return path


def rows(*temperatures: tuple[float, float]) -> str:
    return "".join(f"{days_on(i)},{low},{high}\n" for i, (low, high) in enumerate(temperatures))


def test_degree_days_are_the_mean_above_zero():
    assert degree_days(np.array([-2.0, 10, -20, -5]), np.array([8.0, 36, -3, 5])).tolist() == [3, 23, 0, 0]


def test_the_worked_example():
    assert interval_cuts(SUMS, 4) == [0, 3, 4, 6, 8]
    assert interval_cuts(SUMS, 4, (0, 1600)) == [0, 3, 4, 6, 8]


def test_the_worked_example_in_dates():
    periods = thermal_periods(START, days_on(7), 4, daily([0, 10, 15, 15, 40, 20, 30, 30]))
    assert [str(p) for p in periods] == [
        "2021-03-01/2021-03-03", "2021-03-04/2021-03-04", "2021-03-05/2021-03-06", "2021-03-07/2021-03-08",
    ]  # fmt: skip


def test_days_outside_the_bounds_belong_to_no_period():
    assert interval_cuts(SUMS, 2, (200, 1000)) == [2, 4, 6]  # 1000 itself is inside
    assert interval_cuts(SUMS, 2, (200, 999)) == [2, 4, 5]
    assert interval_cuts(SUMS, 3, (0, 4800)) == [0, 7, 8, 8]
    periods = thermal_periods(START, days_on(3), 2, daily([5, 5, 5, 5]), (6, 16))
    assert periods == (Period(days_on(1), days_on(2)), Period(days_on(2), days_on(3)))


def test_a_sum_that_meets_an_edge_is_not_lost_to_rounding():
    sums = np.cumsum(np.full(100, 0.1))
    assert interval_cuts(sums, 10, (0.0, 10.0)) == [0, *range(9, 99, 10), 100]


def test_an_interval_that_no_day_falls_into_is_an_empty_period():
    periods = thermal_periods(START, days_on(2), 4, daily([0, 9, 9]))
    assert [period.last for period in periods] == [START, None, days_on(1), days_on(2)]
    assert str(periods[1]) == "2021-03-02/none"
    assert not any(periods[1].holds(datetime(2021, 3, 2, hour, tzinfo=UTC)) for hour in range(24))


@given(st.lists(st.floats(-20, 25), min_size=2, max_size=120), st.integers(1, 73))
def test_thermal_periods_part_the_season(means, count):
    temperatures = DailyTemperatures(Path("t.csv"), {days_on(i): (m - 5, m + 5) for i, m in enumerate(means)})
    last = days_on(len(means) - 1)
    sums = np.cumsum(np.maximum(means, 0)).round(6)
    if sums[0] == sums[-1]:
        with pytest.raises(BadInput, match="no degree-days after its first day"):
            thermal_periods(START, last, count, temperatures)
        return
    periods = thermal_periods(START, last, count, temperatures)
    assert len(periods) == count and list(periods) == sorted(periods)
    assert (periods[0].start, periods[-1].end) == (START, last + timedelta(days=1))
    assert all(a.end == b.start for a, b in zip(periods, periods[1:], strict=False))
    step = (sums[-1] - sums[0]) / count
    for i, period in enumerate(periods):
        inside = [sums[(day - START).days] - sums[0] for day in (period.start, period.last) if period.last]
        assert all(i * step - 1e-5 <= each <= (i + 1) * step + 1e-5 for each in inside)


@given(st.integers(0, 300), st.sampled_from(["month", "dekad", 1, 7]))
def test_calendar_periods_part_the_season(length, rule):
    days = days_on(10 + length)
    periods = split_season(START, days, rule)
    assert (periods[0].start, periods[-1].last) == (START, days)
    assert all(a.end == b.start and a.last for a, b in zip(periods, periods[1:], strict=False))
    assert rule != "month" or all(p.start.day == 1 for p in periods)
    assert rule != "dekad" or all(p.start.day in (1, 11, 21) for p in periods)


def test_a_file_of_temperatures(tmp_path):
    text = "\ufefftmax, tmin ,station,date\n8.5,-2,Ghent,2021-03-02\n\n36,10,Ghent,2021-03-01\n"
    found = read_temperatures(written(tmp_path, text))
    assert found.days == {date(2021, 3, 1): (10, 36), date(2021, 3, 2): (-2, 8.5)}
    lowest, highest = found.between(date(2021, 3, 1), date(2021, 3, 2))
    assert lowest.tolist() == [10, -2] and highest.tolist() == [36, 8.5]


HEADER = "date,tmin,tmax\n"


@pytest.mark.parametrize("text, where, why", [
    ("", "line 1", "no column date and no tmin and no tmax (it has none)"),
    ("date;tmin;tmax\n", "line 1", "it has 'date;tmin;tmax'"),
    ("date,tmin,tmean\n2021-03-01,1,2\n", "line 1", "no column tmax"),
    (HEADER + "2021-03-01,1,2\n03/02/2021,1,2\n", "line 3", "'03/02/2021' is not a date"),
    (HEADER + "2021-02-29,1,2\n", "line 2", "'2021-02-29' is not a date"),
    (HEADER + "2021-03-01,1,2\n2021-03-02,-,2\n", "line 3", "tmin '-' is not a number"),
    (HEADER + "2021-03-01,1,\n", "line 2", "tmax '' is not a number"),
    (HEADER + "2021-03-01,1\n", "line 2", "tmax '' is not a number"),
    (HEADER + "2021-03-01,nan,2\n", "line 2", "tmin 'nan' is not a number"),
    (HEADER + "2021-03-01,1,5,2,5\n", "line 2", "more values than there are columns"),
    (HEADER + "2021-03-01,9,2\n", "line 2", "tmin (9) is above tmax (2)"),
    (HEADER + "2021-03-01,275.1,283\n", "line 2", "in Kelvin"),
    (HEADER + "2021-03-01,-9999,-9999\n", "line 2", "no code for missing values"),
    (HEADER + "2021-03-01,1,85\n", "line 2", "not Fahrenheit"),
    (HEADER + "2021-03-01,1,2\n2021-03-01,1,2\n", "line 3", "2021-03-01 a second time"),
])  # fmt: skip
def test_bad_rows_are_named(tmp_path, text, where, why):
    with pytest.raises(BadInput) as refused:
        read_temperatures(written(tmp_path, text))
    assert refused.value.given.endswith(where) and why in str(refused.value)


def test_files_that_are_no_text_are_refused(tmp_path):
    binary = tmp_path / "t.csv"
    binary.write_bytes(b"date,tmin,tmax\n\xff\xfe\x00")
    for path, why in [(binary, "not a text of rows"), (tmp_path / "none.csv", "No such file"), (tmp_path, "directory")]:
        with pytest.raises(BadInput, match=why):
            read_temperatures(path)


def test_days_missing_within_the_season_are_named(tmp_path):
    found = read_temperatures(written(tmp_path, HEADER + rows((1, 2), (1, 2)) + f"{days_on(4)},1,2\n"))
    assert len(found.between(START, days_on(1))[0]) == 2
    with pytest.raises(BadInput, match="no row for 2021-03-03, and 2 of the season's 5 days are missing"):
        thermal_periods(START, days_on(4), 2, found)


def test_bounds_that_the_season_does_not_reach_are_refused():
    with pytest.raises(BadInput, match=r"between 50 and 90 degree-days \(its sum is 20\).*\[0, 20\]"):
        thermal_periods(START, days_on(3), 2, daily([5, 5, 5, 5]), (50, 90))


def test_a_period_holds_its_first_midnight_and_not_the_next_periods():
    moments = [datetime(2021, 3, day, tzinfo=UTC) for day in (1, 3)]
    assert [Period(START, days_on(2)).holds(moment) for moment in moments] == [True, False]
