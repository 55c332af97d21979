"""What an ingest worker does: one period of a few neighbouring tiles, read band by band, composed and committed."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, pairwise
from typing import Any

import dask.array as da
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
from catalogs.grid import Grid
from catalogs.ledger import Ledger
from catalogs.reading import Scenery, blocks, reflectance
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
    chunks = bands_at_once(max(len(portion.scenes) for portion in composition.portions))
    views = [look(composition, portion, chunks) for portion in composition.portions]
    pictures = _merged(composition.recipe, views, chunks)
    seconds = (time.monotonic() - began) / len(views)
    about = {"unreadable": _listed(lost), "seconds": seconds}
    store = Store(composition.root, cube.NAME)
    arrays = store.array("reflectance"), store.array("observations")
    return {
        view.unit.name: _commit(composition, arrays, view, picture, about)
        for view, picture in zip(views, pictures, strict=True)
    }


def bands_at_once(scenes: int) -> tuple[int, ...]:
    """Bands of each step: first B02 alone, which tells ground from no data, and of the others so many at once that
    those of all scenes are no more than a composite has."""
    others = len(BANDS) - 1
    many = max(others // max(scenes, 1), TOGETHER)
    return 1, *(min(many, others - done) for done in range(0, others, many))


def _merged(recipe: Recipe, views: Sequence["View"], chunks: Sequence[int]) -> list[NDArray[np.uint16]]:
    """The composites of tiles (band, y, x), some bands of all of them in turn.

    Not tile by tile: little is held this way, and blocks that tiles share are decoded once all the same.
    """
    pictures = [np.empty((len(BANDS), *view.clear.shape[1:]), np.uint16) for view in views]
    for view, picture in zip(views, pictures, strict=True):
        merge(recipe, view, view.blue, picture[:1])
    holes = False
    for number, (first, end) in enumerate(pairwise(accumulate(chunks)), start=1):
        for view, picture in zip(views, pictures, strict=True):
            counts = view.read(number)
            holes |= _hides_holes(view, counts)
            planes = [reflectance(bands, s.offset, out=bands) for bands, s in zip(counts, view.scenes, strict=True)]
            merge(recipe, view, planes, picture[first:end])
    return _merged(recipe, views, chunks) if holes else pictures


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
    scenes: tuple[Scene, ...]
    hidden: tuple[str, ...]
    """Scenes of which clouds or the edge of the orbit leave nothing."""
    blue: list[NDArray[np.uint16]]
    """Reflectance (1, y, x) of B02 in each scene."""
    counts: da.Array
    """Lazy (scene, band, y, x), with the offset still in them; a chunk is one scene and the bands of one step."""
    clear: NDArray[np.bool_]
    """(scene, y, x)"""

    def read(self, step: int) -> list[NDArray[np.uint16]]:
        """The counts (band, y, x) of each scene that are read at once."""
        return [block[0] for block in blocks(self.counts.blocks[:, step])] if self.scenes else []


def look(composition: Composition, portion: Portion, chunks: tuple[int, ...]) -> View:
    """Read the scene classifications, and of the bands what is needed to tell ground from no data."""
    recipe, scenes = composition.recipe, portion.scenes
    window = composition.grid.window(portion.unit.tile)
    shape = window.height, window.width
    if not scenes:
        nothing = np.zeros((0, *shape), np.bool_)
        return View(portion.unit, (), (), [], da.zeros((0, len(BANDS), *shape), np.uint16, chunks=-1), nothing)
    scenery = Scenery(scenes, composition.access, composition.grid, recipe.resampling)
    counts, classes = scenery.bands(BANDS, window, chunks), scenery.classes(window.grown(recipe.cloud_margin))
    seen = [_seen(recipe, scene, counts.blocks[i], classes[i], shape) for i, scene in enumerate(scenes)]
    shown = [i for i, (_, clear) in enumerate(seen) if clear.any()]
    hidden = tuple(scene.id for i, scene in enumerate(scenes) if i not in shown)
    blue = [seen[i][0][None] for i in shown]
    clear = np.array([seen[i][1] for i in shown], np.bool_).reshape(-1, *shape)
    kept = counts.blocks[shown] if shown else counts[:0]  # Dask has no blocks of nothing
    return View(portion.unit, tuple(scenes[i] for i in shown), hidden, blue, kept, clear)


def merge(recipe: Recipe, view: View, planes: Sequence[NDArray[np.uint16]], picture: NDArray[np.uint16]) -> None:
    """Reflectance (band, y, x) of each scene to some bands of the composite."""
    if not view.scenes:
        picture[...] = 0
    elif recipe.composite == "median":
        median_composite(planes, view.clear, picture)
    else:
        order = preference([scene.cloud for scene in view.scenes], [scene.moment for scene in view.scenes])
        best_composite(planes, view.clear, order, picture)


def _seen(
    recipe: Recipe, scene: Scene, counts: da.Array, classes: NDArray[Any], shape: tuple[int, int]
) -> tuple[NDArray[np.uint16], NDArray[np.bool_]]:
    """The first band of a scene, and where this shows the ground.

    `classes` reaches beyond the tile by the margin around clouds. What has no ground by them is not read.
    """
    margin, (height, width) = recipe.cloud_margin, shape
    here = classes[margin : margin + height, margin : margin + width]
    if not among(here, (*CLEAR_SCL, CIRRUS_SCL)).any():
        return np.zeros(shape, np.uint16), np.zeros(shape, np.bool_)
    blue = _with_data(scene, counts, here != 0)
    return blue, clear_pixels(blue[None], classes, cirrus=recipe.cirrus, haze=recipe.haze, margin_pixels=margin)


def _with_data(scene: Scene, counts: da.Array, classified: NDArray[np.bool_]) -> NDArray[np.uint16]:
    """Reflectance of the first band, B02; 0 where a scene has no data.

    Where a catalogue has taken the offset out, one band at 0 is dark ground that this has clipped, and only all bands
    at 0 are no data. So the others are looked at where the first is 0, which is seldom.
    """
    (blue,) = blocks(counts.blocks[0, 0])
    empty = blue[0, 0] == 0
    for step in range(1, counts.numblocks[1]) if not scene.offset else ():
        if not (empty & classified).any():
            break
        (bands,) = blocks(counts.blocks[0, step])
        empty &= ~bands[0].any(axis=0)
    known = reflectance(blue[0, 0], scene.offset, out=blue[0, 0])
    known *= ~empty
    return known


def _commit(
    composition: Composition,
    arrays: tuple[zarr.Array[Any], zarr.Array[Any]],
    view: View,
    picture: NDArray[np.uint16],
    about: Mapping[str, Any],
) -> Any:
    began = time.monotonic()
    count = observations(view.clear)
    y, x = composition.grid.window(view.unit.tile).slices
    reflectances, counts = arrays
    record = {
        **about,
        "scenes": [scene.id for scene in view.scenes],
        "hidden": list(view.hidden),
        "digests": [
            write_shard(reflectances, (view.unit.period, slice(None), y, x), picture),
            write_shard(counts, (view.unit.period, y, x), count),
        ],
        "observed": round(float((count > 0).mean()), 4),
        "clear": {"mean": round(float(count.mean()), 4), "max": int(count.max())},
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
