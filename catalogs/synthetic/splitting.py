"""Cuts convex pieces of land into blocks and strips, as roads and inheritance do."""

from collections.abc import Iterator
from itertools import pairwise
from math import cos, hypot, sin

import numpy as np

Point = tuple[float, float]
Ring = list[Point]
"""corners of a convex polygon in order; the last is not the first again"""


def area(ring: Ring) -> float:
    return abs(sum(ax * by - bx * ay for (ax, ay), (bx, by) in _edges(ring))) / 2


def split_blocks(ring: Ring, target: float, rng: np.random.Generator) -> Iterator[Ring]:
    """Pieces of about `target` square metres, cut across the longest side a little askew."""
    waiting = [ring]
    while waiting:
        piece = waiting.pop()
        if area(piece) <= target * rng.uniform(0.7, 1.5):
            yield piece
            continue
        along = _turn(_long_side(piece), rng.normal(0, 0.10))
        low, high = _span(piece, along)
        waiting.extend(_cut(piece, along, low + (high - low) * rng.uniform(0.38, 0.62)))


def split_strips(ring: Ring, width: float, length: float, rng: np.random.Generator) -> Iterator[Ring]:
    """Strips beside each other along the longest side, the long ones cut across."""
    along = _long_side(ring)
    for strip in _slices(ring, _turn(along, np.pi / 2), width, rng):
        yield from _slices(strip, along, length, rng)


def _slices(ring: Ring, across: Point, width: float, rng: np.random.Generator) -> Iterator[Ring]:
    low, high = _span(ring, across)
    count = max(round((high - low) / width), 1)
    shares = np.cumsum(rng.uniform(0.5, 1.5, count))
    rest = ring
    for share in shares[:-1] / shares[-1]:
        piece, rest = _cut(rest, across, low + (high - low) * share)
        if len(piece) > 2:
            yield piece
    if len(rest) > 2:
        yield rest


def _cut(ring: Ring, across: Point, at: float) -> tuple[Ring, Ring]:
    """The two sides of the line where the position along `across` is `at`."""
    below: Ring = []
    above: Ring = []
    for start, end in _edges(ring):
        a, b = _along(start, across) - at, _along(end, across) - at
        (below if a <= 0 else above).append(start)
        if (a <= 0) != (b <= 0):
            share = a / (a - b)
            meeting = start[0] + share * (end[0] - start[0]), start[1] + share * (end[1] - start[1])
            below.append(meeting)
            above.append(meeting)
    return below, above


def _edges(ring: Ring) -> Iterator[tuple[Point, Point]]:
    return pairwise([*ring, ring[0]])


def _along(point: Point, direction: Point) -> float:
    return point[0] * direction[0] + point[1] * direction[1]


def _span(ring: Ring, direction: Point) -> tuple[float, float]:
    positions = [_along(point, direction) for point in ring]
    return min(positions), max(positions)


def _long_side(ring: Ring) -> Point:
    (ax, ay), (bx, by) = max(_edges(ring), key=lambda edge: hypot(edge[1][0] - edge[0][0], edge[1][1] - edge[0][1]))
    length = hypot(bx - ax, by - ay)
    return (bx - ax) / length, (by - ay) / length


def _turn(direction: Point, angle: float) -> Point:
    x, y = direction
    return x * cos(angle) - y * sin(angle), x * sin(angle) + y * cos(angle)
