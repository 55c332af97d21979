"""The course of a training as lines that a page can draw: scaled to a box, with round numbers at its sides."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil, floor, log10
from typing import Any

WIDTH, HEIGHT = 560, 190
"""Of the box, in units of the SVG."""

MOST_POINTS = 400
"""Of a line; more could not be told apart."""

Point = tuple[float, float]


@dataclass(frozen=True)
class Curve:
    """One picture: lines on common axes."""

    title: str
    unit: str
    lines: tuple[tuple[str, str], ...]
    """Name and points of each line, these as SVG writes them."""
    rows: tuple[tuple[float, str], ...]
    """Heights with their round numbers."""
    columns: tuple[tuple[float, str], ...]
    last: str
    """The last value of the last line, for those who cannot see it."""


def curve(title: str, unit: str, named: Mapping[str, Sequence[Point]], highest: float | None = None) -> Curve | None:
    """None where there is nothing to draw."""
    lines = {name: _thinned(points) for name, points in named.items() if points}
    if not lines:
        return None
    every = [point for points in lines.values() for point in points]
    right = max(x for x, _ in every)
    steps = _round_steps(highest or max(y for _, y in every) or 1.0)
    top = steps[-1]
    return Curve(
        title=title,
        unit=unit,
        lines=tuple((name, _written(points, right, top)) for name, points in lines.items()),
        rows=tuple((round(HEIGHT * (1 - value / top), 1), f"{value:g}") for value in steps),
        columns=tuple(
            (round(WIDTH * value / right, 1), f"{value:,.0f}") for value in _round_steps(right) if value <= right
        ),
        last=f"{list(lines.values())[-1][-1][1]:.4g}",
    )


def curves_of(metrics: Sequence[dict[str, Any]]) -> list[Curve]:
    """What the lines of a training's metrics tell, over its steps."""

    def of(name: str) -> list[Point]:
        return [(line["step"], line[name]) for line in metrics if name in line]

    losses = {"since the epoch began": of("loss"), "of whole epochs": of("epoch_loss")}
    scores = {"pixel accuracy": of("pixel_accuracy"), "mIoU": of("validation_miou")}
    found = (
        curve("Loss", "mean", losses),
        curve("Scores", "on what is watched", scores, 1.0),
        curve("Learning rate", "", {"rate": of("learning_rate")}),
        curve("Speed", "patches a second", {"speed": of("patches_per_second")}),
    )
    return [one for one in found if one]


def _thinned(points: Sequence[Point]) -> Sequence[Point]:
    """Each so many-th, and always the last."""
    step = -(-len(points) // MOST_POINTS)
    return [*points[:-1:step], points[-1]]


def _written(points: Sequence[Point], right: float, top: float) -> str:
    return " ".join(f"{WIDTH * x / right:.1f},{HEIGHT * (1 - min(y, top) / top):.1f}" for x, y in points)


def _round_steps(highest: float) -> list[float]:
    """From 0 to what is not below `highest`, in steps of 1, 2 or 5 and zeros; four to six of them."""
    power = 10.0 ** floor(log10(highest / 4))
    step = next(factor * power for factor in (1, 2, 5, 10) if highest / (factor * power) <= 5)
    return [number * step for number in range(ceil(round(highest / step, 6)) + 1)]
