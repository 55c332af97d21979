"""Scenes: what a catalogue's items become once they have been chosen, checked and frozen for a run."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from functools import cached_property
from math import isnan, nan
from typing import Any

from shapely import STRtree
from shapely.geometry.base import BaseGeometry

from catalogs.description import identity
from catalogs.periods import Period
from catalogs.stac.items import ground_of


@dataclass(frozen=True)
class Scene:
    """One Sentinel-2 product as Furrow reads it."""

    id: str
    moment: str
    """Sensing time, ISO 8601, UTC."""
    epsg: int
    footprint: dict[str, Any]
    """Valid ground, GeoJSON in lon/lat."""
    hrefs: Mapping[str, str]
    """Band or SCL -> link, or path relative to the folder of a catalogue in files."""
    offset: int
    """Counts to subtract from every pixel but no data."""
    baseline: str
    """Processing baseline, `05.11`; empty where the catalogue does not tell it."""
    offset_reason: str = ""
    """What says so, for the report."""
    tile: str = ""
    """MGRS tile, `33UXP`; empty where the catalogue does not tell it."""
    cloud: float = nan
    """Percent; not a number where the catalogue does not tell it."""
    platform: str = ""

    @property
    def key(self) -> tuple[str, str, int, str]:
        """Scenes with the same have the same pixels."""
        return self.id, self.moment, self.offset, self.baseline

    @cached_property
    def time(self) -> datetime:
        return datetime.fromisoformat(self.moment)

    @cached_property
    def ground(self) -> BaseGeometry:
        return ground_of(self.footprint)


@dataclass(frozen=True)
class SceneList:
    """The scenes of a run and those left out with the reason: frozen, so that a rerun reads the same."""

    scenes: tuple[Scene, ...]
    left_out: tuple[tuple[str, str], ...]

    @property
    def identity(self) -> str:
        """The same wherever the files lie, so links do not count."""
        return identity({"scenes": [scene.key for scene in self.scenes]})

    def keeping(self, known: "SceneList") -> "SceneList":
        """This list, in which a scene that is known from another is told as there; but its links may be new ones."""
        before = {scene.key: scene for scene in known.scenes}
        scenes = (replace(before.get(scene.key, scene), hrefs=scene.hrefs) for scene in self.scenes)
        return SceneList(tuple(scenes), self.left_out)

    def changed_from(self, known: "SceneList") -> set[str]:
        """Names that both lists have, of scenes that are not the same."""
        before = {scene.id: scene.key for scene in known.scenes}
        return {scene.id for scene in self.scenes if before.get(scene.id, scene.key) != scene.key}

    def encode(self, search: Mapping[str, Any]) -> bytes:
        content = {
            "identity": self.identity,
            "search": search,
            "scenes": [_written(scene) for scene in self.scenes],
            "left_out": [{"id": name, "reason": reason} for name, reason in self.left_out],
        }
        return json.dumps(content, indent=1, default=str, allow_nan=False).encode()

    @staticmethod
    def decode(data: bytes) -> tuple["SceneList", dict[str, Any]]:
        """The list and the search that found it."""
        content = json.loads(data)
        scenes = tuple(_read(scene) for scene in content["scenes"])
        left_out = tuple((entry["id"], entry["reason"]) for entry in content["left_out"])
        return SceneList(scenes, left_out), content["search"]

    def during(self, period: Period) -> "SceneList":
        return SceneList(tuple(scene for scene in self.scenes if period.holds(scene.time)), ())

    def within(self, ground: BaseGeometry) -> tuple[Scene, ...]:
        """Scenes that share ground with a lon/lat geometry, oldest first."""
        return tuple(self.scenes[i] for i in sorted(self._tree.query(ground, predicate="intersects")))

    @cached_property
    def _tree(self) -> STRtree:
        return STRtree([scene.ground for scene in self.scenes])


def _written(scene: Scene) -> dict[str, Any]:
    """JSON has null for a share that is not known."""
    return asdict(scene) | {"cloud": None if isnan(scene.cloud) else scene.cloud}


def _read(fields: dict[str, Any]) -> Scene:
    return Scene(**fields | {"cloud": nan if fields.get("cloud") is None else fields["cloud"]})
