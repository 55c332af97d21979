"""What a network says of some ground of a cube: read with its halo, seen in windows, of which the cores are kept."""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from dataclasses import dataclass

from shapely.geometry.base import BaseGeometry

from catalogs import cube
from catalogs.cube import read_ahead, read_blocks, read_cube
from catalogs.grid import Grid, Window
from catalogs.region_mask import outside_region
from catalogs.root import Root
from catalogs.stores import CHUNK, Store
from models.predictor import Predictor
from models.window import Answer, Blocks, in_blocks
from pipelines.devices import Places

Seeing = Callable[[], None]


@dataclass(frozen=True)
class Mapping:
    """Everything a worker needs to map any tile."""

    root: Root
    grid: Grid
    region: BaseGeometry
    checkpoint: str
    halo: int | None
    """Pixels; None for what the network asks for."""
    plan: str = ""
    """What the map's store was planned from, in one word."""
    described: str = ""
    """The same, with the inputs that each tile is made of: what the store says as long as this job is the latest."""
    learned: Root | None = None
    """Where the checkpoint lies, if not in the root."""
    ground: Root | None = None
    """Where the cube lies, if not in the root."""
    probabilities: bool = False
    """Whether the map has the probability of each class."""
    precision: str = "fp32"
    places: Places = Places(1)

    @property
    def cube_root(self) -> Root:
        return self.ground or self.root

    def halo_or(self, asked: int) -> int:
        """Pixels around what is seen, where the network asks for so many."""
        return asked if self.halo is None else self.halo


@dataclass
class Turn:
    """At the network, and how long it took, without the waiting."""

    computing: Executor
    seconds: float = 0.0

    def __call__(self, seeing: Seeing) -> None:
        self.computing.submit(self._timed, seeing).result()

    def _timed(self, seeing: Seeing) -> None:
        began = time.monotonic()
        try:
            seeing()
        finally:
            self.seconds += time.monotonic() - began


def at_once(seeing: Seeing) -> None:
    """In place of a turn, where there is one thread."""
    seeing()


def predict_ground(
    job: Mapping,
    predictor: Predictor,
    whole: Window,
    turn: Callable[[Seeing], None] = at_once,
    side: int | None = None,
    readers: Executor | None = None,
) -> Answer:
    """What the network says of one tile or several; ground outside the region is no data.

    Each window is seen with its halo and only its core is kept: with statistics fixed at inference a pixel's class
    depends on its own surroundings alone, so there is nothing to blend and no seam to hide.
    """
    halo = job.halo_or(predictor.halo)
    classes = len(predictor.card.classes) if job.probabilities else 0
    answer = Answer.nothing((whole.height, whole.width), classes)
    outside = outside_region(job.region, job.grid, whole)
    if outside.all():
        return answer
    ground = _ground(job, whole, halo, predictor, readers)

    def see() -> None:
        part_of = ground()
        for core in _cores(job, predictor, whole, side or predictor.flow or min(predictor.window, job.grid.side)):
            here = core.seen_from(whole).slices
            if not outside[here].all():
                answer.take(here, predictor.predict(part_of(core.grown(halo)), job.probabilities, halo))

    turn(see)
    answer.forget(outside)
    return answer


def _ground(
    job: Mapping, tiles: Window, halo: int, predictor: Predictor, readers: Executor | None
) -> Callable[[], Callable[[Window], Blocks]]:
    """Gives, when it is the network's turn, the pixels of any part of some tiles and their halo. They are read now,
    lest a GPU or a distant store be waited for; from a disk to a CPU they are only decoded when the network comes to
    them, a chunk at a time."""
    store, whole = Store(job.cube_root, cube.NAME), tiles.grown(halo)
    if store.root.is_local and predictor.on_cpu:
        read_ahead(store, tiles)
        return lambda: lambda part: Blocks(part.height, part.width, read_blocks(store, part))
    pixels = read_cube(store, whole, predictor.room, readers)

    def held() -> Callable[[Window], Blocks]:
        there = predictor.held(pixels)
        high = CHUNK if predictor.flow else None  # so that what is made of its pixels does not all lie there at once
        return lambda part: in_blocks(there[:, :, *part.seen_from(whole).slices], high)

    return held


def _cores(job: Mapping, predictor: Predictor, whole: Window, side: int) -> Iterator[Window]:
    """Those of each tile by itself, so that no window depends on which tiles are seen together; unless they flow."""
    if predictor.flow:
        return cores_of(whole, side, whole.height)
    return (core for tile in cores_of(whole, job.grid.side) for core in cores_of(tile, side))


def cores_of(whole: Window, side: int, height: int | None = None) -> Iterator[Window]:
    """Squares, or rectangles of another height, that together are the whole."""
    high = height or side
    for y in range(whole.y, whole.y + whole.height, high):
        for x in range(whole.x, whole.x + whole.width, side):
            yield Window(y, x, high, side).within(whole)
