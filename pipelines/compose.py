"""What an ingest worker does: one period of a few neighbouring tiles, read band by band, composed and committed."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import dask
import dask.array as da
import numpy as np
from numpy.typing import NDArray

from catalogs import cube
from catalogs.bands import BANDS, CLEAR_SCL
from catalogs.compositing import CIRRUS_SCL, among, best_composite, clear_pixels, median_composite, preference
from catalogs.cube import CubeUnit
from catalogs.errors import BadInput
from catalogs.failures import NoAnswer, UnreadableFile
from catalogs.grid import Grid
from catalogs.reading import Scenery, reflectance
from catalogs.root import Root
from catalogs.scenes import Scene
from catalogs.stac.access import Access
from catalogs.stores import Store, write_shard

Lost = Mapping[str, str]
"""Scene that cannot be read -> why."""

TOGETHER = 2
"""Bands that are read and merged at once: the work on masks is shared."""


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
    pictures = _merged(composition.recipe, views)
    seconds = (time.monotonic() - began) / len(views)
    return {
        view.unit.name: _commit(composition, view, picture, {"unreadable": _listed(lost), "seconds": seconds})
        for view, picture in zip(views, pictures, strict=True)
    }


def _merged(recipe: Recipe, views: Sequence["View"]) -> list[NDArray[np.uint16]]:
    """The composites of tiles (band, y, x), some bands of all of them at a time.

    Not tile by tile: little is held this way, and blocks that tiles share are decoded once all the same.
    """
    pictures = [np.zeros((len(BANDS), *view.clear.shape[1:]), np.uint16) for view in views]
    holes = False
    for first in range(0, len(BANDS), TOGETHER):
        some = slice(first, first + TOGETHER)
        bands = dask.compute([view.counts[:, some] for view in views], scheduler="synchronous")[0]
        for view, picture, counts in zip(views, pictures, bands, strict=True):
            holes |= _hides_holes(view, counts)
            picture[some] = merge(recipe, view, counts)
    return _merged(recipe, views) if holes else pictures


def _hides_holes(view: "View", counts: NDArray[Any]) -> bool:
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
    scenes: tuple[Scene, ...]
    hidden: tuple[str, ...]
    """Scenes of which clouds or the edge of the orbit leave nothing."""
    counts: da.Array
    """Lazy (scene, band, y, x), with the offset still in them."""
    clear: NDArray[np.bool_]
    """(scene, y, x)"""


def look(composition: Composition, portion: Portion) -> View:
    """Read the scene classifications, and of the other bands what is needed to tell ground from no data."""
    recipe, scenes = composition.recipe, portion.scenes
    window = composition.grid.window(portion.unit.tile)
    if not scenes:
        nothing = np.zeros((0, window.height, window.width), np.bool_)
        counts = da.zeros((0, len(BANDS), *nothing.shape[1:]), np.uint16, chunks=-1)  # dask cannot share out nothing
        return View(portion.unit, (), (), counts, nothing)
    scenery = Scenery(scenes, composition.access, composition.grid, recipe.resampling)
    counts, blue = scenery.bands(BANDS, window, TOGETHER), scenery.bands(BANDS[:1], window)
    classes = scenery.classes(window.grown(recipe.cloud_margin))
    clear = np.stack([_clear(recipe, s, blue[i, 0], counts[i, 1:], classes[i]) for i, s in enumerate(scenes)])
    shown = [i for i in range(len(scenes)) if clear[i].any()]
    hidden = tuple(scene.id for i, scene in enumerate(scenes) if i not in shown)
    return View(portion.unit, tuple(scenes[i] for i in shown), hidden, counts[shown], clear[shown])


def merge(recipe: Recipe, view: View, counts: NDArray[Any]) -> NDArray[np.uint16]:
    """Some bands of the scenes (scene, band, y, x) to those of the composite."""
    if not view.scenes:
        return np.zeros(counts.shape[1:], np.uint16)
    planes = [reflectance(bands, scene.offset) for bands, scene in zip(counts, view.scenes, strict=True)]
    if recipe.composite == "median":
        picture, _ = median_composite(planes, list(view.clear))
    else:
        order = preference([scene.cloud for scene in view.scenes], [scene.moment for scene in view.scenes])
        picture, _ = best_composite(planes, list(view.clear), order)
    return picture


def _clear(recipe: Recipe, scene: Scene, blue: da.Array, others: da.Array, classes: NDArray[Any]) -> NDArray[np.bool_]:
    """Where a scene shows the ground; `classes` reaches beyond the tile by the margin around clouds."""
    margin, (height, width) = recipe.cloud_margin, blue.shape
    here = classes[margin : margin + height, margin : margin + width]
    if not among(here, (*CLEAR_SCL, CIRRUS_SCL)).any():
        return np.zeros((height, width), np.bool_)
    shown = _with_data(scene, blue, others, here != 0)
    return clear_pixels(shown[None], classes, cirrus=recipe.cirrus, haze=recipe.haze, margin_pixels=margin)


def _with_data(scene: Scene, blue: da.Array, others: da.Array, classified: NDArray[np.bool_]) -> NDArray[np.uint16]:
    """Reflectance of the first band, B02; 0 where a scene has no data.

    Where a catalogue has taken the offset out, one band at 0 is dark ground that this has clipped, and only all bands
    at 0 are no data. So the others are looked at where the first is 0, which is seldom.
    """
    counts: NDArray[np.uint16] = blue.compute(scheduler="synchronous")
    empty = counts == 0
    for band in others if not scene.offset else ():
        if not (empty & classified).any():
            break
        empty &= band.compute(scheduler="synchronous") == 0
    known: NDArray[np.uint16] = np.where(empty, np.uint16(0), reflectance(counts, scene.offset))
    return known


def _commit(composition: Composition, view: View, picture: NDArray[np.uint16], about: Mapping[str, Any]) -> Any:
    began = time.monotonic()
    store, grid = Store(composition.root, cube.NAME), composition.grid
    count = view.clear.sum(axis=0, dtype=np.uint16).clip(max=255).astype(np.uint8)
    y, x = grid.window(view.unit.tile).slices
    record = {
        **about,
        "scenes": [scene.id for scene in view.scenes],
        "hidden": list(view.hidden),
        "digests": [
            write_shard(store.array("reflectance"), (view.unit.period, slice(None), y, x), picture),
            write_shard(store.array("observations"), (view.unit.period, y, x), count),
        ],
        "observed": round(float((count > 0).mean()), 4),
        "clear": {"mean": round(float(count.mean()), 4), "max": int(count.max())},
        "bytes": len(view.scenes) * picture.nbytes + (len(view.scenes) + len(view.hidden)) * count.nbytes,
    }
    record["seconds"] = round(about["seconds"] + time.monotonic() - began, 3)
    store.ledger.commit(view.unit.name, record)
    return record


def _listed(lost: Lost) -> list[dict[str, str]]:
    return [{"scene": scene, "reason": reason} for scene, reason in lost.items()]


def _stopped_by(scene: Scene, error: UnreadableFile) -> BadInput:
    return BadInput(
        f"scene {scene.id}",
        f"cannot be read ({error}).",
        'Mend or remove it, or write bad_scene = "skip" in [imagery].',
    )
