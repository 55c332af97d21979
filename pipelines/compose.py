"""What an ingest worker does: one period of a few neighbouring tiles, read band by band, composed and committed."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray

from catalogs import cube
from catalogs.bands import BANDS, CLEAR_SCL
from catalogs.compositing import (
    CIRRUS_SCL,
    among,
    best_composite,
    clear_pixels,
    median_composite,
    observations,
    preference,
)
from catalogs.cube import CubeUnit
from catalogs.errors import BadInput
from catalogs.failures import NoAnswer, UnreadableFile
from catalogs.grid import Grid, Window
from catalogs.ledger import Ledger
from catalogs.reading import Scenery, reflectance
from catalogs.root import Root
from catalogs.scenes import Scene
from catalogs.stac.access import Access
from catalogs.stores import Store, write_shard

Lost = Mapping[str, str]
"""Scene that cannot be read -> why."""

TOGETHER = 2
"""Bands that are read and merged at once where scenes are many: the work on masks is shared."""


@dataclass(frozen=True)
class Recipe:
    """How scenes become a composite: the project's choices that change pixels."""

    composite: str
    resampling: str
    cloud_margin: int
    """Pixels around clouds and shadows that count as unseen."""
    cirrus: bool
    """Whether what is seen through cirrus counts as seen."""
    haze: float | None


@dataclass(frozen=True)
class Portion:
    """One unit and the scenes over it."""

    unit: CubeUnit
    scenes: tuple[Scene, ...]
    made_of: str
    """Which scenes these are, in one word; those that cannot be read count as well."""


@dataclass(frozen=True)
class Composition:
    """What a worker composes at once: a period of tiles that share the blocks of their scenes' files."""

    root: Root
    grid: Grid
    access: Access
    recipe: Recipe
    portions: tuple[Portion, ...]
    strict: bool
    """Whether a scene that cannot be read ends the run."""


def compose(composition: Composition) -> dict[str, Any]:
    """Compose, write and commit units; what became of each: its record, or the reason why it has none."""
    outcomes: dict[str, Any] = {}
    try:
        return _compose(composition, {})
    except NoAnswer as error:  # asking as often as there are units would take as many times a server's silence
        return {portion.unit.name: error for portion in composition.portions}
    except UnreadableFile:  # somewhere; then one unit at a time, so that each loses only what it must
        for portion in composition.portions:
            outcomes |= _compose_alone(replace(composition, portions=(portion,)))
    return outcomes


def _compose_alone(composition: Composition) -> dict[str, Any]:
    """One unit without the scenes that cannot be read there."""
    (portion,) = composition.portions
    lost: dict[str, str] = {}
    while True:
        kept = tuple(scene for scene in portion.scenes if scene.id not in lost)
        try:
            return _compose(replace(composition, portions=(replace(portion, scenes=kept),)), lost)
        except UnreadableFile as error:
            scene = next(scene for scene in kept if error.href in scene.hrefs.values())
            if composition.strict:
                return {portion.unit.name: _stopped_by(scene, error)}
            lost[scene.id] = str(error)
        except NoAnswer as error:
            return {portion.unit.name: error}


def _compose(composition: Composition, lost: Lost) -> dict[str, Any]:
    began = time.monotonic()
    views = [look(composition, portion) for portion in composition.portions]
    steps = bands_at_once(max(len(portion.scenes) for portion in composition.portions))
    pictures = _merged(composition.recipe, views, steps)
    seconds = (time.monotonic() - began) / len(views)
    about = {"unreadable": _listed(lost), "seconds": seconds}
    store = Store(composition.root, cube.NAME)
    arrays = store.arrays(*cube.ARRAYS)
    return {
        view.unit.name: _commit(composition, arrays, view, picture, about | {"made_of": portion.made_of})
        for portion, view, picture in zip(composition.portions, views, pictures, strict=True)
    }


def bands_at_once(scenes: int) -> tuple[slice, ...]:
    """Bands of each step after the first, B02, which tells ground from no data: so many at once that those of all
    scenes are no more than a composite has."""
    others = len(BANDS) - 1
    many = max(others // max(scenes, 1), TOGETHER)
    return tuple(slice(first, min(first + many, len(BANDS))) for first in range(1, len(BANDS), many))


def _merged(recipe: Recipe, views: Sequence["View"], steps: Sequence[slice]) -> list[NDArray[np.uint16]]:
    """The composites of tiles (band, y, x), some bands of all of them in turn.

    Not tile by tile: little is held this way, and blocks that tiles share are decoded once all the same.
    """
    pictures = [np.empty((len(BANDS), *view.clear.shape[1:]), np.uint16) for view in views]
    for view, picture in zip(views, pictures, strict=True):
        merge(recipe, view, view.blue, picture[:1])
    holes = False
    for step in steps:
        for view, picture in zip(views, pictures, strict=True):
            here = picture[step]
            counts = view.read(step, here)
            holes |= _hides_holes(view, counts)
            planes = [reflectance(bands, s.offset, out=bands) for bands, s in zip(counts, view.scenes, strict=True)]
            merge(recipe, view, planes, here)
    return _merged(recipe, views, steps) if holes else pictures


def _hides_holes(view: "View", counts: Sequence[NDArray[Any]]) -> bool:
    """Take for unseen where a band has no data; whether there is any such ground that counted as clear.

    Only of scenes that hold the offset: their dark ground is far from 0, and 0 is the ragged edge of an orbit.
    """
    found = False
    for clear, bands, scene in zip(view.clear, counts, view.scenes, strict=True):
        holes = clear & ~bands.all(axis=0) if scene.offset else None
        if holes is not None and holes.any():
            clear &= ~holes
            found = True
    return found


@dataclass(frozen=True)
class View:
    """The scenes that show something of one tile."""

    unit: CubeUnit
    window: Window
    scenery: Scenery
    scenes: tuple[Scene, ...]
    hidden: tuple[str, ...]
    """Scenes of which clouds or the edge of the orbit leave nothing."""
    blue: list[NDArray[np.uint16]]
    """Reflectance (1, y, x) of B02 in each scene."""
    clear: NDArray[np.bool_]
    """(scene, y, x)"""

    def read(self, bands: slice, picture: NDArray[np.uint16]) -> list[NDArray[np.uint16]]:
        """Some bands (band, y, x) of each scene, as counts; those of a single scene are read into the picture."""
        planes = [picture] if len(self.scenes) == 1 else [np.empty_like(picture) for _ in self.scenes]
        for scene, plane in zip(self.scenes, planes, strict=True):
            self.scenery.bands(scene, BANDS[bands], self.window, plane)
        return planes


def look(composition: Composition, portion: Portion) -> View:
    """Read the scene classifications, and of the bands what is needed to tell ground from no data."""
    window = composition.grid.window(portion.unit.tile)
    scenery = Scenery(composition.access, composition.grid, composition.recipe.resampling)
    seen = [_seen(composition.recipe, scenery, scene, window) for scene in portion.scenes]
    shown = [i for i, (_, clear) in enumerate(seen) if clear.any()]
    return View(
        portion.unit,
        window,
        scenery,
        tuple(portion.scenes[i] for i in shown),
        tuple(scene.id for i, scene in enumerate(portion.scenes) if i not in shown),
        [seen[i][0][None] for i in shown],
        np.array([seen[i][1] for i in shown], np.bool_).reshape(-1, window.height, window.width),
    )


def merge(recipe: Recipe, view: View, planes: Sequence[NDArray[np.uint16]], picture: NDArray[np.uint16]) -> None:
    """Reflectance (band, y, x) of each scene to some bands of the composite."""
    if not view.scenes:
        picture[...] = 0
    elif len(view.scenes) == 1:
        if planes[0] is not picture or not view.clear[0].all():
            np.multiply(planes[0], view.clear[0], out=picture)
    elif recipe.composite == "median":
        median_composite(planes, view.clear, picture)
    else:
        order = preference([scene.cloud for scene in view.scenes], [scene.moment for scene in view.scenes])
        best_composite(planes, view.clear, order, picture)


def _seen(
    recipe: Recipe, scenery: Scenery, scene: Scene, window: Window
) -> tuple[NDArray[np.uint16], NDArray[np.bool_]]:
    """The first band of a scene, and where this shows the ground; what has no ground by its classes is not read."""
    margin, shape = recipe.cloud_margin, (window.height, window.width)
    classes = scenery.classes(scene, window.grown(margin))
    here = classes[margin : margin + window.height, margin : margin + window.width]
    if not among(here, (*CLEAR_SCL, CIRRUS_SCL)).any():
        return np.zeros(shape, np.uint16), np.zeros(shape, np.bool_)
    blue = _with_data(scenery, scene, window, here != 0)
    return blue, clear_pixels(blue[None], classes, cirrus=recipe.cirrus, haze=recipe.haze, margin_pixels=margin)


def _with_data(scenery: Scenery, scene: Scene, window: Window, classified: NDArray[np.bool_]) -> NDArray[np.uint16]:
    """Reflectance of the first band, B02; 0 where a scene has no data.

    Where a catalogue has taken the offset out, one band at 0 is dark ground that this has clipped, and only all bands
    at 0 are no data. So the others are looked at where the first is 0, which is seldom.
    """
    blue, other = np.empty((2, 1, window.height, window.width), np.uint16)
    scenery.bands(scene, BANDS[:1], window, blue)
    empty = blue[0] == 0
    for name in BANDS[1:] if not scene.offset else ():
        if not (empty & classified).any():
            break
        scenery.bands(scene, [name], window, other)
        empty &= other[0] == 0
    known = reflectance(blue[0], scene.offset, out=blue[0])
    known *= ~empty
    return known


def _commit(
    composition: Composition,
    arrays: Sequence[zarr.Array[Any]],
    view: View,
    picture: NDArray[np.uint16],
    about: Mapping[str, Any],
) -> Any:
    began = time.monotonic()
    count = observations(view.clear)
    y, x = view.window.slices
    reflectances, counts = arrays
    record = {
        **about,
        "scenes": [scene.id for scene in view.scenes],
        "hidden": list(view.hidden),
        "digests": [
            write_shard(reflectances, (view.unit.period, slice(None), y, x), picture),
            write_shard(counts, (view.unit.period, y, x), count),
        ],
        "observed": round(np.count_nonzero(count) / count.size, 4),
        "clear": {"mean": round(int(count.sum(dtype=np.int64)) / count.size, 4), "max": int(count.max())},
        "bytes": len(view.scenes) * picture.nbytes + (len(view.scenes) + len(view.hidden)) * count.nbytes,
    }
    record["seconds"] = round(about["seconds"] + time.monotonic() - began, 3)
    Ledger(composition.root, cube.NAME).commit(view.unit.name, record)
    return record


def _listed(lost: Lost) -> list[dict[str, str]]:
    return [{"scene": scene, "reason": reason} for scene, reason in lost.items()]


def _stopped_by(scene: Scene, error: UnreadableFile) -> BadInput:
    return BadInput(
        f"scene {scene.id}",
        f"cannot be read ({error}).",
        'Mend or remove it, or write bad_scene = "skip" in [imagery].',
    )
