"""Choosing scenes: from a catalogue's answer to what a run reads, with a reason for each item that it does not."""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from shapely.errors import ShapelyError

from catalogs.scenes import Scene, SceneList
from catalogs.stac import items as stac
from catalogs.stac.items import Item, Unusable
from catalogs.stac.observations import Candidate, candidate_of, one_of_each
from catalogs.stac.providers import Provider
from catalogs.stac.wanted import Wanted

MALFORMED = (KeyError, IndexError, TypeError, ValueError, AttributeError, OverflowError, ShapelyError)
"""What reading an item that is not as it should be may raise."""

STRAYS = "(items never asked for)"
"""Stands for an id where a catalogue has ignored a filter."""


def choose_scenes(items: Iterable[Item], provider: Provider, wanted: Wanted) -> SceneList:
    """One scene for each observation of the region's ground; the rest are left out with a reason.

    Items are looked at one by one and let go: those of a country's season are too many to be held.
    """
    candidates: dict[str, Candidate] = {}
    left_out: dict[str, str] = {}
    strays: Counter[str] = Counter()
    for item in items:
        name = str(item.get("id"))
        try:
            stray = wanted.stray(item)
            if stray:
                strays[stray] += 1
            else:
                candidates.setdefault(name, _candidate(item, provider, wanted))
        except Unusable as error:
            left_out[name] = str(error)
        except MALFORMED as error:  # one that is broken must not cost the others
            left_out[name] = f"is malformed ({type(error).__name__}: {str(error)[:120]})"
    scenes, repeated = one_of_each(candidates.values())
    if strays:
        left_out[STRAYS] = _say(strays)
    ordered = sorted(scenes, key=lambda scene: (scene.moment, scene.id))
    return SceneList(tuple(ordered), tuple(sorted(left_out.items())) + tuple(sorted(repeated)))


def _candidate(item: Item, provider: Provider, wanted: Wanted) -> Candidate:
    scene = scene_of(item, provider)
    if not scene.ground.intersects(wanted.region):
        raise Unusable("misses the region")
    if (stac.no_data_of(item) or 0) >= 100:
        raise Unusable("is empty")
    if scene.cloud > wanted.max_cloud:
        raise Unusable(f"cloud cover {scene.cloud:.0f} % is over {wanted.max_cloud:g} %")
    return candidate_of(scene, item)


def scene_of(item: Item, provider: Provider) -> Scene:
    """An item as its provider's row reads it; raises Unusable with the reason where that cannot be."""
    lacking = [asset for asset in provider.assets.values() if asset not in item["assets"]]
    if lacking:
        raise Unusable(f"lacks {', '.join(lacking)}")
    offset = provider.offset(item, provider.bands)
    return Scene(
        id=str(item["id"]),
        moment=stac.moment_of(item).isoformat(),
        epsg=stac.epsg_of(item, provider.assets.values()),
        footprint=item["geometry"],
        hrefs={band: _plain_link(item["assets"][asset], provider) for band, asset in provider.assets.items()},
        offset=offset.counts,
        baseline=".".join(f"{part:02d}" for part in stac.baseline_of(item)),
        offset_reason=offset.reason,
        tile=stac.tile_of(item),
        cloud=stac.cloud_of(item),
        platform=stac.platform_of(item),
    )


def _plain_link(asset: Mapping[str, Any], provider: Provider) -> str:
    """Without the signature that somebody else was given: it would be kept in the root, and ours is made later."""
    href = str(asset["href"])
    return href.split("?")[0] if provider.credentials == "sas" else href


def _say(strays: Counter[str]) -> str:
    told = ", ".join(f"{count} {kind}" for kind, count in strays.most_common())
    return f"were in the answer: {told}; the catalogue ignores filters"
