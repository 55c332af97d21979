"""How much there is of each dataset, as published: what a download is counted against."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

from catalogs.references.legends import table_rows
from catalogs.taxonomy import TABLES


@dataclass(frozen=True)
class PastisCounts:
    """Of PASTIS and PASTIS-R, whose patches are the same."""

    patches: int
    by_tile: Mapping[str, int]
    by_folds: Mapping[tuple[int, ...], int]
    fewest_dates: int
    most_dates: int


@dataclass(frozen=True)
class Dacia5Counts:
    """Of DACIA5."""

    scenes: int
    patches: Mapping[str, int]
    """By folder."""
    pixels: Mapping[int, tuple[int, ...]]
    """By year, of each label from 0."""


@dataclass(frozen=True)
class Archive:
    """A file as it is downloaded."""

    file: str
    dataset: str
    bytes: int | None
    """None where only the rounded size is known."""
    md5: str
    address: str


@lru_cache(maxsize=1)
def pastis_counts() -> PastisCounts:
    counts = _counts("PASTIS")
    return PastisCounts(
        patches=counts["patches"][""],
        by_tile=counts["patches of tile"],
        by_folds={tuple(map(int, folds.split())): count for folds, count in counts["patches of folds"].items()},
        fewest_dates=counts["fewest dates"][""],
        most_dates=counts["most dates"][""],
    )


@lru_cache(maxsize=1)
def dacia5_counts() -> Dacia5Counts:
    counts, rows = _counts("DACIA5"), table_rows(TABLES / "dacia5_pixels.csv")
    years = [name for name in rows[0] if name.isdigit()]
    pixels = {int(year): tuple(int(row[year]) for row in rows) for year in years}
    return Dacia5Counts(counts["scenes"][""], counts["patches"], pixels)


@lru_cache(maxsize=1)
def archives() -> dict[str, Archive]:
    """By name of the file."""
    rows = table_rows(TABLES / "reference_archives.csv")
    return {
        row["file"]: Archive(row["file"], row["dataset"], int(row["bytes"] or 0) or None, row["md5"], row["address"])
        for row in rows
    }


def _counts(dataset: str) -> dict[str, dict[str, int]]:
    found: dict[str, dict[str, int]] = {}
    for row in table_rows(TABLES / "reference_counts.csv"):
        if row["dataset"] == dataset:
            found.setdefault(row["what"], {})[row["which"]] = int(row["count"])
    return found
