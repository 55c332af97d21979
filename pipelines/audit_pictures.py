"""Pictures of an audit: parcels by class, where the problems are, and the label raster, each as a PNG."""

import io
from dataclasses import dataclass
from math import ceil
from typing import Any

import numpy as np
import shapely
from affine import Affine
from numpy.typing import NDArray
from PIL import Image
from rasterio.features import rasterize

from catalogs import crops
from catalogs.grid import Bounds
from catalogs.parcels.footers import SIDES
from catalogs.parcels.table import read_columns
from catalogs.root import Root
from catalogs.stores import Store
from catalogs.taxonomy import IGNORE, Taxonomy
from pipelines.audit_figures import LARGE, Given
from pipelines.cube_survey import thin_step
from pipelines.pictures import commonest
from pipelines.plan import Plan

LONGEST = 1000
"""Pixels of a picture's longer side."""

DOT = 2
"""Pixels of the side of the dot at a parcel's middle, where there are few, so that each can be seen."""

MANY = 20_000
"""Parcels from which on boxes are drawn and not outlines, which are then finer than a pixel."""

IGNORED = "#b9b8b2"

PROBLEMS = (
    ("Nothing found", "#d9d7cf"),
    ("Repaired or very narrow", "#9db7c9"),
    ("No usable code", "#e0a33c"),
    ("Outside the region", "#7a6a9b"),
    ("Larger than fields are", "#3f6fb0"),
    ("Same outline as another", "#2f9e8f"),
    ("Has no pixel", "#7c2f14"),
    ("Curve contradicts the crop", "#d1143f"),
)
"""What the legend says and the colour; where two hold, the later one is shown."""


@dataclass(frozen=True)
class ProblemIds:
    """Numbers of parcels, sorted."""

    doubled: NDArray[np.uint32]
    without_pixel: NDArray[np.uint32]
    against: NDArray[np.uint32]


@dataclass(frozen=True)
class Frame:
    """The ground that a picture shows."""

    bounds: Bounds
    step: float
    """metres of a pixel"""
    parcels: int

    @property
    def shape(self) -> tuple[int, int]:
        left, bottom, right, top = self.bounds
        return max(ceil((top - bottom) / self.step), 1), max(ceil((right - left) / self.step), 1)


def frame_of(root: Root, bounds: Bounds | None) -> Frame | None:
    """Around the region, or around all parcels but a few that lie far from the others; None where there are none."""
    corners, parcels = [], 0
    for table in read_columns(root, SIDES):
        parcels += len(table)
        if len(table):
            low, high = (np.quantile(_sides(table), at, axis=0) for at in (0.001, 0.999))
            corners.append((low[0], low[1], high[2], high[3]))
    if not parcels:
        return None
    if bounds is None:
        sides = np.array(corners)
        bounds = (*sides[:, :2].min(axis=0).tolist(), *sides[:, 2:].max(axis=0).tolist())
    left, bottom, right, top = bounds
    longest = max(right - left, top - bottom, 100.0)
    around = 0.02 * longest
    step = (longest + 2 * around) / LONGEST
    return Frame((left - around, bottom - around, right + around, top + around), step, parcels)


def crop_picture(given: Given, frame: Frame) -> bytes:
    """Every parcel in the colour of its class."""
    canvas = _Canvas(frame)
    for table in read_columns(given.root, [*canvas.columns, "crop"]):
        canvas.draw(table, table["crop"].to_numpy())
    return canvas.png(class_palette(given.taxonomy))


def problem_picture(given: Given, frame: Frame, ids: ProblemIds) -> tuple[bytes, list[int]]:
    """Every parcel, grey if nothing is wrong, problems over the others; and how many are drawn as each of PROBLEMS."""
    canvas, counts = _Canvas(frame), np.zeros(len(PROBLEMS), np.int64)
    names = [*canvas.columns, "parcel", "status", "repaired", "narrow", "inside"]
    for table in read_columns(given.root, names):
        problems = problems_of(table, ids)
        counts += np.bincount(problems, minlength=len(PROBLEMS))
        order = np.argsort(problems, kind="stable")
        canvas.draw(table.take(order), problems[order])
    return canvas.png(_palette([colour for _, colour in PROBLEMS])), counts.tolist()


def problems_of(table: Any, ids: ProblemIds) -> NDArray[np.uint8]:
    """The place in PROBLEMS of each parcel."""
    numbers = table["parcel"].to_numpy()
    found = np.zeros(len(numbers), np.uint8)
    held = (
        _bools(table, "repaired") | _bools(table, "narrow"),
        table["status"].to_numpy() != 0,
        ~_bools(table, "inside"),
        table["hectares"].to_numpy() > LARGE,
        np.isin(numbers, ids.doubled),
        np.isin(numbers, ids.without_pixel),
        np.isin(numbers, ids.against),
    )
    for place, holds in enumerate(held, 1):
        found[holds] = place
    return found


def label_picture(plan: Plan) -> bytes:
    """The label raster, thinned to the commonest class."""
    grid, step = plan.grid, thin_step(plan.grid)
    block, array = grid.side // step, Store(plan.root, crops.LABELS).array("crop")
    image = np.full((grid.rows * block, grid.cols * block), IGNORE, np.uint8)
    for tile in plan.tiles:
        pixels = np.asarray(array[grid.window(tile).slices])
        y, x = (tile.row - grid.first.row) * block, (tile.col - grid.first.col) * block
        image[y : y + block, x : x + block] = commonest(pixels, step, len(plan.taxonomy.names))
    return _png(class_palette(plan.taxonomy)[image])


def class_palette(taxonomy: Taxonomy) -> NDArray[np.uint8]:
    palette = _palette(taxonomy.colours)
    palette[IGNORE] = [*bytes.fromhex(IGNORED[1:]), 255]
    return palette


class _Canvas:
    """Values drawn where parcels are; what is drawn later lies on top, and of one value the smaller parcels."""

    def __init__(self, frame: Frame) -> None:
        self.frame = frame
        self.values = np.zeros(frame.shape, np.int16)  # 0 nothing, n + 1 the value n
        self.few = frame.parcels < MANY
        self.columns = [*SIDES, "hectares", *["geometry"] * self.few]

    def draw(self, table: Any, values: NDArray[np.uint8]) -> None:
        """As outlines where parcels are few, with a dot so that small ones are seen; else as their boxes."""
        order = np.lexsort((-table["hectares"].to_numpy(), values))
        table, values = table.take(order), values[order]
        if self.few and len(values):
            self._outlines(shapely.from_wkb(table["geometry"].to_numpy()), values)
        self._boxes(_sides(table), values)

    def _outlines(self, shapes: NDArray[np.object_], values: NDArray[np.uint8]) -> None:
        left, _, _, top = self.frame.bounds
        place = Affine(self.frame.step, 0, left, 0, -self.frame.step, top)
        rasterize(
            zip(shapes, (values.astype(np.int16) + 1).tolist(), strict=True),
            out=self.values,
            transform=place,
            all_touched=True,
        )

    def _boxes(self, sides: NDArray[np.float64], values: NDArray[np.uint8]) -> None:
        """Those that are a pixel are drawn at once, the others one by one."""
        left, _, _, top = self.frame.bounds
        height, width = self.frame.shape
        if self.few:  # the others can be seen as their outlines
            small = (sides[:, 2:] - sides[:, :2]).max(axis=1) < 2 * DOT * self.frame.step
            sides, values = sides[small], values[small]
        x0, x1 = _whole((sides[:, [0, 2]] - left) / self.frame.step, self.few)
        y0, y1 = _whole((top - sides[:, [3, 1]]) / self.frame.step, self.few)
        shown = (x1 > 0) & (y1 > 0) & (x0 < width) & (y0 < height)
        boxes = np.stack([x0, y0, x1, y1], axis=1)[shown].clip(0, [width, height, width, height])
        drawn = values[shown].astype(np.int16) + 1
        single = (boxes[:, 2:] - boxes[:, :2] == 1).all(axis=1)
        self.values[boxes[single, 1], boxes[single, 0]] = drawn[single]
        for (x, y, right, bottom), value in zip(boxes[~single].tolist(), drawn[~single].tolist(), strict=True):
            self.values[y:bottom, x:right] = value

    def png(self, palette: NDArray[np.uint8]) -> bytes:
        colours = np.concatenate([np.zeros((1, 4), np.uint8), palette])
        return _png(colours[self.values])


def _whole(edges: NDArray[np.float64], dots: bool) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """From which pixel to before which; of dots always the same few around the middle."""
    low, high = edges.T
    size = np.full(len(low), DOT) if dots else np.maximum(np.rint(high - low), 1)
    start = np.rint((low + high) / 2 - size / 2)
    return start.astype(np.intp), (start + size).astype(np.intp)


def _sides(table: Any) -> NDArray[np.float64]:
    return np.column_stack([table[side].to_numpy() for side in SIDES])


def _bools(table: Any, name: str) -> NDArray[np.bool_]:
    return np.asarray(table[name].to_numpy(), dtype=np.bool_)


def _palette(colours: Any) -> NDArray[np.uint8]:
    palette = np.zeros((256, 4), np.uint8)
    for number, colour in enumerate(colours):
        palette[number] = [*bytes.fromhex(colour[1:]), 255]
    return palette


def _png(colours: NDArray[np.uint8]) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(colours).save(buffer, "PNG", optimize=True)
    return buffer.getvalue()
