"""One scene for each observation: products that were made again count once, halves of a split datatake both."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from math import cos, radians

from shapely import union_all
from shapely.geometry.base import BaseGeometry

from catalogs.scenes import Scene
from catalogs.stac.items import (
    Item,
    baseline_of,
    datastrip_of,
    datatake_of,
    generation_of,
    no_data_of,
)

SAME_GROUND = 0.5
"""Share of a footprint above which a second product of a datatake repeats it; halves of a split one hardly meet."""

TILE_AREA = 109.8**2
"""Square kilometres of a Sentinel-2 tile."""

LOOSE = 0.2
"""Share of a tile by which a footprint may exceed its data, before it says nothing of where the data is."""

OTHER_STRIP = timedelta(seconds=5)
"""Datastrips that begin further apart are two; reprocessing moves the beginning by less."""


@dataclass(frozen=True)
class Candidate:
    """A usable scene, with what tells whether another one repeats it."""

    scene: Scene
    observation: tuple[str, str, str]
    """Platform, place and start of the datatake. (The orbit follows from these, and not every item names it.)"""
    age: tuple[tuple[int, ...], datetime, str]
    """Baseline and time of processing: the greater, the newer."""
    strip: datetime | None
    no_data: float | None
    """Percent of the tile."""

    @property
    def is_loose(self) -> bool:
        """Whether its footprint is far larger than its data: some catalogues write the whole tile's."""
        if self.no_data is None:
            return False
        return square_kilometres(self.scene.ground) / TILE_AREA > 1 - self.no_data / 100 + LOOSE


def candidate_of(scene: Scene, item: Item) -> Candidate:
    west, south, east, north = scene.ground.bounds
    place = scene.tile or f"{west:.2f} {south:.2f} {east:.2f} {north:.2f}"
    return Candidate(
        scene,
        observation=(scene.platform, place, datatake_of(item)),
        age=(baseline_of(item), generation_of(item), scene.id),
        strip=datastrip_of(item),
        no_data=no_data_of(item),
    )


def one_of_each(candidates: Iterable[Candidate]) -> tuple[list[Scene], list[tuple[str, str]]]:
    """The newest product of each observation, and those it replaces with the reason."""
    groups: dict[tuple[str, str, str], list[Candidate]] = {}
    for candidate in candidates:
        groups.setdefault(candidate.observation, []).append(candidate)
    kept, repeated = [], []
    for group in groups.values():
        newest, older = _newest(group)
        kept += newest
        repeated += older
    return kept, repeated


def _newest(group: list[Candidate]) -> tuple[list[Scene], list[tuple[str, str]]]:
    kept: list[Candidate] = []
    repeated = []
    for candidate in sorted(group, key=lambda candidate: candidate.age, reverse=True):
        others = [other for other in kept if not _are_halves(candidate, other)]
        if _is_covered(candidate, others):
            repeated.append((candidate.scene.id, f"was processed again as {_nearest(candidate, others).scene.id}"))
        else:
            kept.append(candidate)
    return [candidate.scene for candidate in kept], repeated


def _is_covered(candidate: Candidate, others: list[Candidate]) -> bool:
    ground = candidate.scene.ground
    covered = ground.intersection(union_all([other.scene.ground for other in others])).area
    return bool(covered > SAME_GROUND * ground.area)


def _nearest(candidate: Candidate, others: list[Candidate]) -> Candidate:
    return max(others, key=lambda other: candidate.scene.ground.intersection(other.scene.ground).area)


def _are_halves(a: Candidate, b: Candidate) -> bool:
    """Whether two products whose footprints tell nothing are halves: other strips that fill one tile together."""
    if a.no_data is None or b.no_data is None or not (a.is_loose and b.is_loose):
        return False
    if a.no_data + b.no_data < 95:  # each has half of the tile, or less
        return False
    if a.strip and b.strip:
        return abs(a.strip - b.strip) > OTHER_STRIP
    return abs(a.no_data - b.no_data) > 1


def square_kilometres(ground: BaseGeometry) -> float:
    """Of a lon/lat geometry the size of a tile, to a per cent or so."""
    north = (ground.bounds[1] + ground.bounds[3]) / 2
    return float(ground.area * 111.32**2 * cos(radians(north)))
