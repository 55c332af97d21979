"""Many cloudy scenes to one clear picture of a period: what counts as clear, and which observation a pixel is given."""

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta
from math import isnan, isqrt
from typing import Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from catalogs.bands import BANDS, CLEAR_SCL
from catalogs.median import as_bits, middle

CLOUD_SCL = (3, 8, 9)
"""What a margin is drawn around: cloud shadow, clouds of medium and high probability."""

CIRRUS_SCL = 10

SAME_PASS = timedelta(minutes=10)
"""The halves of a split datatake are at most this far apart; two passes over a place are an hour and more."""

STRIP_VALUES = 1 << 17
"""Values of a plane that are worked on at once: a few planes of them fit into a core's cache."""

Mask = NDArray[np.bool_]

Masks = Sequence[Mask] | NDArray[np.bool_]
"""(y, x) each, or (scene, y, x)"""


class Taken(Protocol):
    """A scene, as far as choosing between scenes goes."""

    @property
    def id(self) -> str: ...
    @property
    def tile(self) -> str: ...
    @property
    def cloud(self) -> float: ...
    @property
    def moment(self) -> str: ...


S = TypeVar("S", bound=Taken)


def clear_pixels(
    reflectance: np.ndarray,
    classes: np.ndarray,
    *,
    cirrus: bool = False,
    haze: float | None = None,
    margin_pixels: int = 0,
) -> Mask:
    """Where a scene (band, y, x) shows the ground: data in all bands, a clear class, no haze, no cloud nearby.

    `classes` has `margin_pixels` more rows and columns than `reflectance` on every side, so that a cloud beyond the
    edge of a tile counts and the margin is the same however the country was cut. `cirrus`: whether what is seen through
    it counts as seen. `haze`: the reflectance in B02 above which the ground counts as unseen.
    """
    m = margin_pixels
    height, width = reflectance.shape[-2:]
    if classes.shape != (height + 2 * m, width + 2 * m):
        raise ValueError(f"classes {classes.shape} must be {m} pixels wider than {(height, width)} on every side")
    clouds = CLOUD_SCL if cirrus else (*CLOUD_SCL, CIRRUS_SCL)
    ground = (*CLEAR_SCL, CIRRUS_SCL) if cirrus else CLEAR_SCL
    clear: Mask = among(classes[m : m + height, m : m + width], ground)
    if m:
        clear &= ~near(among(classes, clouds), m)
    clear &= reflectance.all(axis=0)
    if haze is not None:
        clear &= reflectance[BANDS.index("B02")] <= int(haze * 10_000 + 1e-6)
    return clear


def among(classes: np.ndarray, wanted: Sequence[int]) -> Mask:
    """Where a class is one of some: the bits of a number, shifted by each pixel's class; a table would be slower."""
    bits = np.uint16(sum(1 << number for number in set(wanted)))
    found: Mask = (np.right_shift(bits, classes) & np.uint16(1)).astype(np.bool_)
    return found


def near(cloud: Mask, margin: int) -> Mask:
    """Whether a cloud lies at most `margin` pixels away, centre to centre; `margin` pixels smaller on every side.

    The disc is drawn row by row: what a row of it covers is a difference of running counts. That is exact, and many
    times faster than a map of distances.
    """
    height, width = cloud.shape[0] - 2 * margin, cloud.shape[1] - 2 * margin
    found = np.zeros((height, width), np.bool_)
    if not cloud.any():
        return found
    counts = np.zeros((cloud.shape[0], cloud.shape[1] + 1), np.int32)
    np.cumsum(cloud, axis=1, out=counts[:, 1:], dtype=np.int32)
    for dy in range(margin + 1):
        reach = isqrt(margin * margin - dy * dy)
        left, right = margin - reach, margin + reach + 1
        covered = counts[:, right : right + width] != counts[:, left : left + width]
        found |= covered[margin - dy : margin - dy + height]
        found |= covered[margin + dy : margin + dy + height]
    return found


def median_composite(
    reflectances: Sequence[np.ndarray], clear: Masks, out: NDArray[np.uint16] | None = None
) -> tuple[NDArray[np.uint16], NDArray[np.uint8]]:
    """(band, y, x) scenes and their clear masks to the median, 0 where none is clear, and the observation count.

    Of an even number the mean of the middle two, rounded half up, as counts are whole.
    """
    count = observations(clear)
    picture = np.empty(reflectances[0].shape, np.uint16) if out is None else out
    for rows in _strips(picture):
        seen = [i for i, mask in enumerate(clear) if mask[rows].any()]
        if seen:
            found = middle([reflectances[i][:, rows] for i in seen], [clear[i][rows] for i in seen])
            np.bitwise_and(found, as_bits(count[rows] > 0), out=picture[:, rows])
        else:
            picture[:, rows] = 0
    return picture, count


def best_composite(
    reflectances: Sequence[np.ndarray],
    clear: Masks,
    order: Sequence[int],
    out: NDArray[np.uint16] | None = None,
) -> tuple[NDArray[np.uint16], NDArray[np.uint8]]:
    """Each pixel, with all its bands, from the first scene of `order` that is clear there; and the observation count.

    The bands of a pixel are of one moment, so that their ratios are those of real ground.
    """
    picture = np.empty(reflectances[0].shape, np.uint16) if out is None else out
    for rows in _strips(picture):
        picture[:, rows] = 0
        empty = np.ones(picture[0, rows].shape, np.bool_)
        for i in order:
            taken = clear[i][rows] & empty
            if taken.any():
                picture[:, rows] |= reflectances[i][:, rows] & as_bits(taken)
                empty &= ~taken
    return picture, observations(clear)


def preference(clouds: Sequence[float], moments: Sequence[str] | Sequence[datetime]) -> tuple[int, ...]:
    """The order in which scenes are preferred: least cloudy first (unknown last), of equals the earliest."""
    return tuple(sorted(range(len(clouds)), key=lambda i: (isnan(clouds[i]), clouds[i], moments[i])))


def single_date(scenes: Sequence[S], ground: Callable[[S], float] | None = None) -> tuple[S, ...]:
    """A period's scenes of the least cloudy pass over each Sentinel tile, in the order given.

    A scene whose tile is not known stands alone. The halves of a split datatake are one pass, as cloudy as their mean.
    With `ground`, the area that a scene shows, the pass that shows most cloudless ground is taken instead: the edge of
    an orbit may be cloudless and show little.
    To be asked for a whole period, not tile by tile of the grid, or neighbours are given different dates.
    """
    tiles: dict[str, list[S]] = {}
    for scene in sorted(scenes, key=_when):
        tiles.setdefault(scene.tile or scene.id, []).append(scene)
    kept = {scene.id for taken in tiles.values() for scene in max(_passes(taken), key=lambda p: _cloudless(p, ground))}
    return tuple(scene for scene in scenes if scene.id in kept)


def _passes(scenes: Sequence[S]) -> list[list[S]]:
    """Scenes of one tile, oldest first, by the pass of the satellite they belong to."""
    passes: list[list[S]] = []
    for scene in scenes:
        if passes and _when(scene)[0] - _when(passes[-1][0])[0] <= SAME_PASS:
            passes[-1].append(scene)
        else:
            passes.append([scene])
    return passes


def _cloudless(scenes: Sequence[S], ground: Callable[[S], float] | None) -> float:
    areas = [1 / len(scenes) if ground is None else ground(scene) for scene in scenes]
    clear = [0.0 if isnan(scene.cloud) else 1 - scene.cloud / 100 for scene in scenes]
    return sum(area * share for area, share in zip(areas, clear, strict=True))


def _when(scene: Taken) -> tuple[datetime, str]:
    return datetime.fromisoformat(scene.moment), scene.id


def observations(clear: Masks) -> NDArray[np.uint8]:
    """How many scenes are clear at each pixel; 255 stands for more as well."""
    count: NDArray[np.uint8] = np.add.reduce(clear[:255], dtype=np.uint8)
    for mask in clear[255:]:
        count += mask & (count < 255)
    return count


def _strips(picture: np.ndarray) -> Iterator[slice]:
    bands, height, width = picture.shape
    rows = max(1, STRIP_VALUES // (bands * width))
    return (slice(top, min(top + rows, height)) for top in range(0, height, rows))
