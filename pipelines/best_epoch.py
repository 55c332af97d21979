"""Which epoch of a training is kept, and when it is no longer worth going on."""

from collections.abc import Sequence
from typing import Any

History = Sequence[dict[str, Any]]
"""An entry for each finished epoch; its number `epoch` counts from 1, its score is `validation_miou`."""


def best_entry(history: History) -> dict[str, Any]:
    """The highest score; of several the latest, which has seen most."""
    return max(history, key=lambda entry: (entry["validation_miou"], entry["epoch"]))


def is_best(history: History) -> bool:
    """Whether the last epoch is the one to keep, so far."""
    return best_entry(history) is history[-1]


def is_over(history: History, epochs: int, patience: int) -> bool:
    """All epochs are done, or the last `patience` of them brought nothing better than those before."""
    scores = [entry["validation_miou"] for entry in history]
    if len(scores) >= epochs:
        return True
    return 0 < patience < len(scores) and max(scores[-patience:]) <= max(scores[:-patience])
