"""Scenes: what a catalogue's items become once they have been chosen, checked and frozen for a run."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from functools import cached_property
from typing import Any

from shapely import STRtree, make_valid, union_all
from shapely.errors import ShapelyError
from shapely.geometry import shape
from shapely.geometry.base import BaseGeometry

from catalogs.description import identity
from catalogs.periods import Period
from catalogs.providers import Provider
from catalogs.radiometry import baseline_of

SAME_GROUND = 0.5
"""Share of a footprint above which a second product of a datatake repeats it; halves of a split one hardly meet."""


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
    """Band or SCL -> link, or path relative to a static catalogue's folder."""
    offset: int
    """Counts to subtract from every pixel but no data."""
    baseline: str

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
        return identity({"scenes": [(scene.id, scene.moment, scene.offset, scene.baseline) for scene in self.scenes]})

    def encode(self, search: Mapping[str, Any]) -> bytes:
        content = {
            "identity": self.identity,
            "search": search,
            "scenes": [asdict(scene) for scene in self.scenes],
            "left_out": [{"id": name, "reason": reason} for name, reason in self.left_out],
        }
        return json.dumps(content, indent=1, default=str).encode()

    @staticmethod
    def decode(data: bytes) -> tuple["SceneList", dict[str, Any]]:
        """The list and the search that found it."""
        content = json.loads(data)
        scenes = tuple(Scene(**scene) for scene in content["scenes"])
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


def choose_scenes(
    items: Iterable[Mapping[str, Any]], provider: Provider, region: BaseGeometry, max_cloud: float
) -> SceneList:
    """One scene for each observation of the region's ground; the rest are left out with a reason."""
    usable, left_out = [], []
    for item in sorted(items, key=lambda item: str(item["id"])):
        reason = _reason_against(item, provider, region, max_cloud)
        if reason:
            left_out.append((str(item["id"]), reason))
        else:
            usable.append(item)
    kept: list[Mapping[str, Any]] = []
    for group in _by_observation(usable).values():
        good, repeated = _drop_reprocessed(group)
        kept += good
        left_out += repeated
    scenes = (scene_from_item(item, provider) for item in kept)
    return SceneList(tuple(sorted(scenes, key=lambda scene: (scene.moment, scene.id))), tuple(left_out))


def scene_from_item(item: Mapping[str, Any], provider: Provider) -> Scene:
    properties = item["properties"]
    return Scene(
        id=item["id"],
        moment=datetime.fromisoformat(properties["datetime"]).isoformat(),
        epsg=epsg_of(properties),
        footprint=item["geometry"],
        hrefs={band: item["assets"][asset]["href"] for band, asset in provider.assets.items()},
        offset=provider.offset(properties),
        baseline=".".join(f"{part:02d}" for part in baseline_of(properties)),
    )


def epsg_of(properties: Mapping[str, Any]) -> int:
    """`proj:epsg` as catalogues of STAC 1.0 write it, or `proj:code` as those of 1.1 and pystac do."""
    if properties.get("proj:epsg") is not None:
        return int(properties["proj:epsg"])
    return int(str(properties["proj:code"]).removeprefix("EPSG:"))


def ground_of(footprint: dict[str, Any]) -> BaseGeometry:
    """Valid ground: catalogues hold footprints that cross themselves."""
    return make_valid(shape(footprint))


def _reason_against(item: Mapping[str, Any], provider: Provider, region: BaseGeometry, max_cloud: float) -> str | None:
    """Why an item is left out, if it is; one that is broken must not cost the others."""
    try:
        reason = _unusable(item, provider, region, max_cloud)
        if reason is None:
            scene_from_item(item, provider)
    except (KeyError, TypeError, ValueError, AttributeError, ShapelyError) as error:
        return f"is malformed ({type(error).__name__}: {str(error)[:120]})"
    return reason


def _unusable(item: Mapping[str, Any], provider: Provider, region: BaseGeometry, max_cloud: float) -> str | None:
    properties = item["properties"]
    if not {"proj:epsg", "proj:code"} & properties.keys():
        return "names no CRS"
    lacking = [asset for asset in provider.assets.values() if asset not in item["assets"]]
    if lacking:
        return f"lacks {', '.join(lacking)}"
    if not ground_of(item["geometry"]).intersects(region):
        return "misses the region"
    if float(properties.get("s2:nodata_pixel_percentage") or 0) >= 100:
        return "is empty"
    cloud = float(properties.get("eo:cloud_cover") or 0)
    return f"cloud cover {cloud:.0f} % is over {max_cloud:g} %" if cloud > max_cloud else None


def _by_observation(items: Sequence[Mapping[str, Any]]) -> dict[tuple[str, str, str], list[Mapping[str, Any]]]:
    groups: dict[tuple[str, str, str], list[Mapping[str, Any]]] = {}
    for item in items:
        properties = item["properties"]
        take = str(properties.get("s2:datatake_id") or properties["datetime"]).rsplit("_N", 1)[0]
        place = str(properties.get("grid:code") or item["bbox"])
        groups.setdefault((str(properties.get("platform", "")).lower(), place, take), []).append(item)
    return groups


def _drop_reprocessed(
    group: list[Mapping[str, Any]],
) -> tuple[list[Mapping[str, Any]], list[tuple[str, str]]]:
    """Keep the newest baseline of each ground; both halves of a split datatake are different ground."""

    def newest(item: Mapping[str, Any]) -> tuple[tuple[int, ...], str]:
        return baseline_of(item["properties"]), str(item["properties"].get("s2:generation_time", ""))

    kept: list[Mapping[str, Any]] = []
    repeated = []
    for item in sorted(group, key=newest, reverse=True):
        ground = ground_of(item["geometry"])
        covered = union_all([ground_of(other["geometry"]) for other in kept])
        if kept and ground.intersection(covered).area > SAME_GROUND * ground.area:
            repeated.append((str(item["id"]), f"was processed again as {kept[0]['id']}"))
        else:
            kept.append(item)
    return kept, repeated
