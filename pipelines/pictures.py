"""Pictures of a map of any size: small layers gathered shard by shard, drawn with title, legend and scale bar."""

import io
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import ceil, floor

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from rasterio.features import geometry_mask
from rasterio.transform import from_origin
from shapely import prepare

from catalogs.crops import LABELS, MAP
from catalogs.grid import Tile, Window
from catalogs.patch_store import Patch
from catalogs.region_mask import outside_region
from catalogs.stores import Store
from catalogs.taxonomy import IGNORE, Taxonomy
from cluster.progress import Bar
from pipelines.held_out import held_out_patches, scored_pixels
from pipelines.plan import Plan

LONGEST = 1400
"""Pixels of the longer side that a region's picture has at most."""

ENOUGH = 1000
"""Small regions are enlarged towards this many pixels, and no page is narrower."""

CONFIDENCE_EDGES = (40, 60, 80, 90)
"""Percent; where one colour of the confidence picture ends and the next begins."""

PAPER, INK, FAINT, LINE = "#fcfbf8", "#22261f", "#6a6f64", "#d7d5cc"
BLANK, HATCH = (240, 239, 233), (219, 217, 208)

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont

PLAIN_LETTERS = str.maketrans(
    {"ł": "l", "Ł": "L", "ø": "o", "Ø": "O", "đ": "d", "Đ": "D", "ß": "ss", "æ": "ae", "Æ": "AE"}
    | {"–": "-", "—": "-", "’": "'"}
)


@dataclass(frozen=True)
class Layer:
    """One picture: what its values 0, 1, 2 .. mean, how they are coloured, and what 255 is called."""

    title: str
    names: tuple[str, ...]
    colours: tuple[str, ...]
    blank: str


@dataclass(frozen=True)
class Survey:
    """Small images of a whole region, one a layer, and how many pixels of full size have each of the 256 values."""

    images: dict[str, np.ndarray]
    pixels: dict[str, np.ndarray]
    inside: np.ndarray
    """Where the small images show ground of the region."""
    metres: float
    """The side of one of their pixels."""


def layers(taxonomy: Taxonomy) -> dict[str, Layer]:
    """By the name of the picture's file."""
    return {
        "map": Layer("Crop map", taxonomy.titles, taxonomy.colours, "Not mapped"),
        "truth": Layer("Declared crops", taxonomy.titles, taxonomy.colours, "Not declared"),
        "confidence": Layer(
            "Confidence of the network",
            ("Under 40 %", "40 to 59 %", "60 to 79 %", "80 to 89 %", "90 % and more"),
            ("#8f1d3f", "#d4553f", "#eda55d", "#e6dcae", "#b9d3c0"),
            "Not mapped",
        ),
        "errors": Layer("Held-out patches", ("As declared", "Another crop"), ("#bccbbd", "#b3213a"), "Not scored"),
    }


def survey(plan: Plan, taxonomy: Taxonomy, bar: Bar) -> Survey:
    """Read every tile once; no more than one is in memory."""
    grid, step = plan.grid, _step(plan)
    found, block, held_out = layers(taxonomy), grid.side // step, held_out_patches(plan)
    images = {key: np.full((grid.rows * block, grid.cols * block), IGNORE, np.uint8) for key in found}
    pixels = {key: np.zeros(256, np.int64) for key in found}
    prepare(plan.region)
    for tile in plan.tiles:
        inside = ~outside_region(plan.region, grid, grid.window(tile))
        y, x = (tile.row - grid.first.row) * block, (tile.col - grid.first.col) * block
        for key, values in _values(plan, tile, held_out.get(tile, [])):
            values[~inside] = IGNORE
            pixels[key] += np.bincount(values[inside], minlength=256)
            images[key][y : y + block, x : x + block] = commonest(values, step, len(found[key].names))
        bar.advance()
    shown = _frame(plan, step)
    thin = from_origin(grid.transform.c, grid.transform.f, step * grid.resolution, step * grid.resolution)
    ground = geometry_mask([plan.region], (grid.rows * block, grid.cols * block), thin, invert=True)
    cut = {key: image[shown.slices] for key, image in images.items()}
    return Survey(cut, pixels, ground[shown.slices], float(step * grid.resolution))


def commonest(values: np.ndarray, step: int, classes: int) -> np.ndarray:
    """The commonest class of each block of `step` x `step` pixels; 255 where less than a quarter of it has any."""
    if step == 1:
        return values
    height, width = values.shape[0] // step, values.shape[1] // step
    blocks = values.reshape(height, step, width, step)
    counts = np.stack([(blocks == number).sum(axis=(1, 3)) for number in range(classes)])
    return np.where(counts.sum(axis=0) * 4 >= step * step, counts.argmax(axis=0), IGNORE).astype(np.uint8)


def draw(layer: Layer, survey: Survey, key: str, place: str, note: str) -> bytes:
    """A PNG of one layer; the same bytes for the same values."""
    picture = _enlarged(_coloured(layer, survey.images[key], survey.inside))
    entries = _entries(layer, survey.pixels[key])
    margin, text, small = 44, ImageFont.load_default(26), ImageFont.load_default(22)
    rows = -(-len(entries) // 3)
    width = max(picture.width, ENOUGH) + 2 * margin
    top, below = margin + 66, margin + 66 + picture.height + 22
    page = Image.new("RGB", (width, below + 62 + rows * 40 + margin - 12), PAPER)
    pen = ImageDraw.Draw(page)
    title = ImageFont.load_default(42)
    pen.text((margin, margin - 8), _fitted(layer.title, place, title, width - 2 * margin), INK, title)
    page.paste(picture, ((width - picture.width) // 2, top))
    pen.text((margin, below), note, FAINT, small)
    metres = survey.metres * survey.inside.shape[1] / picture.width
    _scale_bar(pen, width - margin, below, metres, picture.width, small)
    column = (width - 2 * margin) // 3
    for number, (colour, name, share) in enumerate(entries):
        x, y = margin + number // rows * column, below + 62 + number % rows * 40
        _swatch(page, x, y, colour)
        pen.text((x + 42, y - 2), name, INK, text)
        pen.text((x + column - 20, y - 2), share, FAINT, text, anchor="ra")
    return _png(page)


def plain(text: str) -> str:
    """The text in the letters that the font has (it comes with Pillow and knows ASCII only), or nothing."""
    folded = unicodedata.normalize("NFKD", text.translate(PLAIN_LETTERS))
    letters = "".join(letter for letter in folded if not unicodedata.combining(letter))
    return letters if letters.isascii() else ""


def _step(plan: Plan) -> int:
    """How many pixels one of the picture stands for; a divisor of the tile's side, so that tiles are whole."""
    left, bottom, right, top = plan.region.bounds
    longest = max(right - left, top - bottom) / plan.grid.resolution
    side = plan.grid.side
    return next((n for n in range(1, side) if side % n == 0 and longest / n <= LONGEST), side)


def _frame(plan: Plan, step: int) -> Window:
    """The region's rectangle in pixels of the picture."""
    left, bottom, right, top = plan.region.bounds
    grid, size = plan.grid, step * plan.grid.resolution
    y, x = floor((grid.transform.f - top) / size), floor((left - grid.transform.c) / size)
    height, width = ceil((grid.transform.f - bottom) / size) - y, ceil((right - grid.transform.c) / size) - x
    return Window(y, x, height, width)


def _values(plan: Plan, tile: Tile, held_out: Sequence[Patch]) -> Iterator[tuple[str, np.ndarray]]:
    window = plan.grid.window(tile)
    where = window.slices
    crop = np.asarray(Store(plan.root, MAP).array("crop")[where])
    truth = np.asarray(Store(plan.root, LABELS).array("crop")[where])
    percent = np.asarray(Store(plan.root, MAP).array("confidence")[where])
    comparable = (crop != IGNORE) & (truth != IGNORE) & scored_pixels(plan, window, held_out)
    yield "errors", np.where(comparable, crop != truth, IGNORE).astype(np.uint8)
    yield "confidence", np.where(percent == IGNORE, IGNORE, np.digitize(percent, CONFIDENCE_EDGES)).astype(np.uint8)
    yield "map", crop
    yield "truth", truth


def _coloured(layer: Layer, image: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """Red, green, blue; paper outside the region, hatched inside where there is no value."""
    palette = np.full((256, 3), BLANK, np.uint8)
    palette[: len(layer.colours)] = _rgb(*layer.colours)
    coloured: np.ndarray = palette[image]
    diagonal = np.arange(image.shape[0])[:, None] + np.arange(image.shape[1])
    coloured[(image == IGNORE) & (diagonal % 8 < 2)] = HATCH
    coloured[~inside & (image == IGNORE)] = _rgb(PAPER)
    return coloured


def _rgb(*colours: str) -> np.ndarray:
    return np.array([list(bytes.fromhex(colour[1:])) for colour in colours], np.uint8).reshape(-1, 3)


def _enlarged(coloured: np.ndarray) -> Image.Image:
    times = max(1, ENOUGH // max(coloured.shape[:2]))
    return Image.fromarray(coloured.repeat(times, axis=0).repeat(times, axis=1))


def _entries(layer: Layer, pixels: np.ndarray) -> list[tuple[str | None, str, str]]:
    """Colour, name and share of the region's area; those that have a share."""
    names = [*zip(layer.colours, layer.names, pixels, strict=False), (None, layer.blank, pixels[IGNORE])]
    total = max(int(pixels.sum()), 1)
    return [(colour, plain(name), f"{100 * count / total:.1f} %") for colour, name, count in names if count]


def _swatch(page: Image.Image, x: int, y: int, colour: str | None) -> None:
    if colour is None:
        nothing = np.full((26, 30), IGNORE, np.uint8)
        page.paste(Image.fromarray(_coloured(Layer("", (), (), ""), nothing, nothing > 0)), (x, y))
    ImageDraw.Draw(page).rectangle((x, y, x + 29, y + 25), fill=colour, outline=LINE)


def _scale_bar(pen: ImageDraw.ImageDraw, right: int, y: int, metres: float, width: int, font: Font) -> None:
    """A round length of up to a quarter of the picture, ending at `right`."""
    longest = metres * width / 4
    power = 10 ** int(np.floor(np.log10(longest)))
    length = next(n * power for n in (5, 2, 1) if n * power <= longest)
    label = f"{length / 1000:g} km" if length >= 1000 else f"{length:g} m"
    left = right - round(length / metres)
    pen.line((left, y + 12, right, y + 12), INK, 3)
    pen.line((left, y + 5, left, y + 19), INK, 3)
    pen.line((right, y + 5, right, y + 19), INK, 3)
    pen.text((left - 14, y), label, INK, font, anchor="ra")


def _fitted(title: str, place: str, font: Font, width: int) -> str:
    name = plain(place)
    while name and font.getlength(f"{title}: {name}") > width:
        name = name[:-4].rstrip() + "..." if len(name) > 4 else ""
    return f"{title}: {name}" if name else title


def _png(page: Image.Image) -> bytes:
    buffer = io.BytesIO()
    page.save(buffer, "PNG", optimize=True)
    return buffer.getvalue()
