"""What the labels of a reference dataset mean, and which class of the ten-crop taxonomy each of them is."""

import csv
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from catalogs.errors import BadInput
from catalogs.taxonomy import IGNORE, TABLES


@dataclass(frozen=True)
class Legend:
    """Labels are 0, 1, 2 and so on; `classes` has 255 for those that are left out of any comparison."""

    dataset: str
    names: tuple[str, ...]
    classes: tuple[int, ...]

    def crops(self, labels: NDArray[Any]) -> NDArray[np.uint8]:
        """The class of each pixel."""
        return self.look_up(labels, self._classes)

    def check(self, labels: NDArray[Any]) -> None:
        if labels.size and labels.max() >= len(self.names):
            raise BadInput(
                f"label {labels.max()} of {self.dataset}",
                f"Its labels are 0 to {len(self.names) - 1}.",
                "Give the label arrays as they were published.",
            )

    def look_up(self, labels: NDArray[Any], table: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """`table` has one value for each label."""
        self.check(labels)
        found: NDArray[np.uint8] = table[labels]
        return found

    @cached_property
    def _classes(self) -> NDArray[np.uint8]:
        return np.array(self.classes, np.uint8)


@lru_cache(maxsize=1)
def pastis_legend() -> Legend:
    rows = _rows(TABLES / "pastis.csv", "id")
    return Legend("PASTIS", tuple(row["name"] for row in rows), tuple(int(row["class"]) for row in rows))


@lru_cache(maxsize=1)
def dacia5_legend() -> Legend:
    rows = _rows(TABLES / "dacia5.csv", "label")
    return Legend("DACIA5", tuple(row["name"] for row in rows), tuple(int(row["class"]) for row in rows))


@lru_cache(maxsize=1)
def apia_labels() -> dict[str, int]:
    """Code of the Romanian payment agency, as it stands in the names of patches -> label of DACIA5."""
    return {row["apia"]: int(row["label"]) for row in _rows(TABLES / "dacia5.csv", "label") if row["apia"]}


def table_rows(path: Path) -> list[dict[str, str]]:
    """Of a table of our own."""
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def _rows(path: Path, key: str) -> list[dict[str, str]]:
    rows = table_rows(path)
    assert [int(row[key]) for row in rows] == list(range(len(rows))) and len(rows) < IGNORE
    return rows
