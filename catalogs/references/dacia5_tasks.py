"""DACIA5's own problems: seven crops of another year, and winter wheat against alfalfa early in the season."""

from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from catalogs.references.legends import dacia5_legend, table_rows
from catalogs.taxonomy import IGNORE, TABLES

TASK_1 = ("wheat", "corn", "peas", "rapeseed", "potato", "sugarbeet", "alfalfa")
"""Classes 0 to 6 of problem 1; soybean, grassland and sunflower are in none of them."""

TASK_2 = {1: 0, 11: 1, 15: 1}
"""Labels of problem 2: winter wheat is class 0, alfalfa class 1."""

OTHER = 254
"""An answer that is none of the classes; on labelled ground it is wrong."""


def task_1(labels: NDArray[Any]) -> NDArray[np.uint8]:
    """Classes 0 to 6 of labels 0 to 17; 255 for what the problem leaves out."""
    return dacia5_legend().look_up(labels, _table(_problem_1()))


def task_2(labels: NDArray[Any]) -> NDArray[np.uint8]:
    """Classes 0 and 1, 255 elsewhere."""
    return dacia5_legend().look_up(labels, _table(TASK_2))


def answers(crops: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """What a map of our ten crops answers in problem 1: its class where it has one, `OTHER` elsewhere.

    Our forage legumes answer alfalfa. Peas are none of our crops, so a map of ours is wrong on all of them and its
    average accuracy cannot exceed 6/7.
    """
    return _answers()[crops]


@lru_cache(maxsize=1)
def _answers() -> NDArray[np.uint8]:
    table = np.full(256, OTHER, np.uint8)
    for label, number in _problem_1().items():
        if (crop := dacia5_legend().classes[label]) != IGNORE:
            table[crop] = number
    return table


@lru_cache(maxsize=1)
def _problem_1() -> dict[int, int]:
    rows = table_rows(TABLES / "dacia5_pixels.csv")
    return {int(row["label"]): TASK_1.index(row["task"]) for row in rows if row["task"]}


def _table(classes: dict[int, int]) -> NDArray[np.uint8]:
    return np.array([classes.get(label, IGNORE) for label in range(len(dacia5_legend().names))], np.uint8)
