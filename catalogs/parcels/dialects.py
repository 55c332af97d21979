"""How each country names the columns of its parcels: `tables/dialects.csv`, and which of its rows fits a file.

A pattern is the name of a column, with `*` for any letters; `|` parts alternatives, the better one first. Case does not
count, and a name of ten bytes or more matches its first ten, which is all that a shapefile keeps.
"""

import csv
import re
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import lru_cache

from catalogs.taxonomy import TABLES

SHAPEFILE_NAME = 10
"""Bytes of a column's name in a shapefile."""

FIELDS = ("code", "name", "year", "area", "id")


@dataclass(frozen=True)
class Dialect:
    """A row of the table; `needs` are columns that tell it from others (a blank means and, `|` means or).

    Of a code or a name counts what stands after the last `…_after`, and of a name what stands before the first
    `name_before` (Ireland lists all crops of a parcel, the main one first).
    """

    dialect: str
    country: str
    needs: str
    code: str
    code_after: str
    name: str
    name_after: str
    name_before: str
    year: str
    area: str
    id: str


@dataclass(frozen=True)
class Found:
    """The columns of a file that a dialect names, None for those that it does not have."""

    dialect: Dialect
    code: str | None
    name: str | None
    year: str | None
    area: str | None
    id: str | None

    @property
    def score(self) -> int:
        return sum(getattr(self, field) is not None for field in FIELDS) + len(self.dialect.needs.split())


@lru_cache(maxsize=1)
def dialects() -> tuple[Dialect, ...]:
    with (TABLES / "dialects.csv").open(encoding="utf-8", newline="") as file:
        return tuple(Dialect(**row) for row in csv.DictReader(file))


def fitting(columns: Sequence[str]) -> Found | None:
    """The dialect that knows most of these columns; those of a crop and what tells it apart must be there."""
    fits = [_find(dialect, columns) for dialect in dialects() if _has_needs(dialect, columns)]
    return max((found for found in fits if found.code or found.name), key=lambda found: found.score, default=None)


def country_called(*names: str) -> str:
    """The country in the name of a file, as in AT_2021.zip or BE_VLG_2021_EC21.shp."""
    known = {dialect.country for dialect in dialects() if dialect.country}
    for name in names:
        begun = re.match(r"([A-Z]{2}(?:_[A-Z]{2,3})?)_", name.rsplit("/", 1)[-1].upper())
        if begun and (begun[1] in known or begun[1][:2] in known):
            return begun[1]
    return ""


def column_of(patterns: str, columns: Sequence[str], but: Sequence[str | None] = ()) -> str | None:
    """The first column that fits the best of the patterns."""
    free = [column for column in columns if column not in but]
    for pattern in filter(None, patterns.split("|")):
        exact = next((column for column in free if _fits(pattern, column)), None)
        found = exact or next((column for column in free if _fits_cut(pattern, column)), None)
        if found:
            return found
    return None


def _find(dialect: Dialect, columns: Sequence[str]) -> Found:
    taken: list[str | None] = []
    for field in FIELDS:
        taken.append(column_of(getattr(dialect, field), columns, taken))
    return Found(dialect, *taken)


def _has_needs(dialect: Dialect, columns: Sequence[str]) -> bool:
    return all(column_of(patterns, columns) for patterns in dialect.needs.split())


def _fits(pattern: str, column: str) -> bool:
    return fnmatchcase(_plain(column), _plain(pattern))


def _fits_cut(pattern: str, column: str) -> bool:
    cut = _plain(pattern).encode()[:SHAPEFILE_NAME].decode(errors="ignore")
    return len(_plain(pattern).encode()) > SHAPEFILE_NAME and _plain(column) == cut


def _plain(name: str) -> str:
    return name.strip().casefold().replace(" ", "_").replace(".", "_")
