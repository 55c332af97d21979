"""The year of declarations: from a column, or from what a file is called."""

import re
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

FIRST, LAST = 1990, 2100
YEAR = re.compile(r"(?<!\d)(199\d|20\d\d)(?!\d)")
DATE = re.compile(r"(?<!\d)(?:\d{1,2}[-_.]\d{1,2}[-_.](\d{4})|(\d{4})[-_.]\d{2}[-_.]\d{2})(?!\d)")
CRS_NAME = re.compile(r"(epsg|crs|srid)[\W_]*\d+", re.IGNORECASE)

NOT_SAID = 0


def year_in(name: str) -> int | None:
    """The year in the name of a file, layer or column; None where there is none, or more than one.

    A date in it tells when the file was made: it counts only where nothing else does.
    """
    name = CRS_NAME.sub(" ", name)
    plain = {int(year) for year in YEAR.findall(DATE.sub(" ", name))}
    dated = {int(before or after) for before, after in DATE.findall(name)}
    found = {year for year in plain or dated if FIRST <= year <= LAST}
    return found.pop() if len(found) == 1 else None


def years_of(values: Iterable[Any] | NDArray[Any], count: int) -> NDArray[np.int16]:
    """Years of numbers, texts that begin with one, and dates; 0 where a value says none."""
    years = np.zeros(count, dtype=np.int16)
    known: dict[Any, int] = {}
    for place, value in enumerate(_plain(values)):
        if value not in known:
            known[value] = _year(value)
        years[place] = known[value]
    return years


def _plain(values: Iterable[Any] | NDArray[Any]) -> list[Any]:
    if isinstance(values, np.ndarray) and values.dtype.kind == "M":
        values = values.astype("datetime64[Y]").astype(str)
    return list(values.tolist()) if isinstance(values, np.ndarray) else list(values)


def _year(value: Any) -> int:
    if value is None or value != value:
        return NOT_SAID
    if isinstance(value, float):
        value = int(value) if value.is_integer() else ""
    found = re.match(r"\s*(\d{4})(?!\d)", str(value)) or re.search(r"(?<!\d)(\d{4})(?:\.0*)?\s*$", str(value))
    year = int(found[1]) if found else NOT_SAID
    return year if FIRST <= year <= LAST else NOT_SAID
