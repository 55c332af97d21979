"""The land of the made-up country: blocks between roads, cut into parcels, with forest, villages and water."""

from dataclasses import dataclass

import numpy as np
import shapely
from shapely.geometry import LineString, Polygon
from shapely.geometry.base import BaseGeometry

from catalogs.grid import Bounds
from catalogs.synthetic.chance import Array, rough_surface, stream
from catalogs.synthetic.covers import INDEX, TABLE
from catalogs.synthetic.outline import surroundings
from catalogs.synthetic.settings import CountrySettings
from catalogs.synthetic.splitting import Ring, split_blocks, split_strips

BLOCK = 250_000.0
"""square metres between roads"""
ROAD = 10.0
"""metres from field to field across a road"""
SHARES = {"forest": 0.14, "village": 0.035, "lake": 0.012}
"""of the blocks, by area; what is left is declared"""
PIECES = {"forest": (200.0, 300.0), "village": (35.0, 60.0), "lake": (1e9, 1e9), "field": (95.0, 290.0)}
"""mean width and length of a piece in metres"""


@dataclass(frozen=True, eq=False)
class Land:
    """Pieces of ground in the national CRS. Piece 0 is what lies between the others: verges and tracks."""

    geometry: Array
    cover: Array
    """number in `covers.TABLE`"""
    inside: Array
    """whether the piece belongs to the country"""

    def __len__(self) -> int:
        return len(self.cover)

    @property
    def declared(self) -> Array:
        """Numbers of the pieces that farmers of this country declare."""
        farmed = np.array([cover.declared is not None for cover in TABLE])
        return np.flatnonzero(self.inside & farmed[self.cover])


def make_land(settings: CountrySettings, boundary: Polygon) -> Land:
    rng = stream(settings.seed, "land")
    around = surroundings(settings)
    rings, uses = _pieces(settings, around, rng)
    geometry = _bend(shapely.polygons([shapely.linearrings([*ring, ring[0]]) for ring in rings]), settings, rng)
    river = _draw_river(around, rng)
    geometry, kept = _take_away(geometry, river)
    use, (geometry, kept, inside) = uses[kept], _part_at(geometry, boundary)
    pieces = np.concatenate([[shapely.box(*around), river], geometry])
    cover = np.concatenate([[INDEX["verge"], INDEX["water"]], _choose_covers(settings, geometry, use[kept], inside)])
    return Land(pieces, cover.astype("int16"), np.concatenate([[False, False], inside]))


def _pieces(settings: CountrySettings, around: Bounds, rng: np.random.Generator) -> tuple[list[Ring], Array]:
    left, bottom, right, top = around
    whole = [(left, bottom), (right, bottom), (right, top), (left, top)]
    target = min(BLOCK, settings.side**2 / 40)
    blocks = [block for block in split_blocks(whole, target, rng) if len(block) > 2]
    shapes = shapely.polygons([shapely.linearrings([*block, block[0]]) for block in blocks])
    shrunk = shapely.buffer(shapes, -ROAD / 2, join_style="mitre")
    uses = _use_blocks(settings, shrunk, around, rng)
    rings: list[Ring] = []
    kinds: list[str] = []
    for shape, use in zip(shrunk, uses, strict=True):
        if not shape.is_empty:
            if use == "lake":
                shape = _rounded(shape)
            ring = [(x, y) for x, y in shapely.get_coordinates(shape)[:-1].tolist()]
            strips = list(split_strips(ring, *PIECES[use], rng))
            rings.extend(strips)
            kinds.extend([use] * len(strips))
    return rings, np.array(kinds)


def _rounded(shape: Polygon) -> Polygon:
    corner = 0.7 * shapely.maximum_inscribed_circle(shape).length
    return shape.buffer(-corner).buffer(corner)


def _use_blocks(settings: CountrySettings, blocks: Array, around: Bounds, rng: np.random.Generator) -> list[str]:
    """Forests lie together, villages and lakes here and there; each use takes its share of the area."""
    middle = shapely.get_coordinates(shapely.centroid(blocks))
    woods = rough_surface(rng, around, settings.side / 2.5, 3, settings.side / 64)
    order = {
        "forest": np.argsort(-woods.at(middle[:, 0], middle[:, 1]), kind="stable"),
        "village": rng.permutation(len(blocks)),
        "lake": rng.permutation(len(blocks)),
    }
    areas = shapely.area(blocks)
    uses = ["field"] * len(blocks)
    for use, share in SHARES.items():
        wanted = share * areas.sum()
        for block in order[use]:
            if wanted <= 0:
                break
            if uses[block] == "field":
                uses[block] = use
                wanted -= areas[block]
    return uses


def _bend(pieces: Array, settings: CountrySettings, rng: np.random.Generator) -> Array:
    """Edges follow the lie of the land: every corner moves up to a few tens of metres, neighbours alike."""
    reach = min(30.0, settings.side / 150)
    length = rng.uniform(900, 1500, (2, 2))
    phase = rng.uniform(0, 2 * np.pi, (2, 2))

    def move(xy: Array) -> Array:
        waves = np.sin(2 * np.pi * xy[:, None, ::-1] / length + phase)
        moved: Array = xy + reach * waves.mean(axis=2)
        return moved

    return shapely.transform(shapely.segmentize(pieces, 60.0), move)


def _draw_river(around: Bounds, rng: np.random.Generator) -> BaseGeometry:
    left, bottom, right, top = around
    x = np.linspace(left, right, 200)
    share = (x - left) / (right - left)
    bends = sum(rng.normal(0, 0.09 / k) * np.sin(2 * np.pi * k * share + rng.uniform(0, 6.3)) for k in range(1, 8))
    y = bottom + (top - bottom) * (rng.uniform(0.35, 0.65) + bends)
    return LineString(np.stack([x, y], axis=1)).buffer(14.0).intersection(shapely.box(*around))


def _take_away(pieces: Array, water: BaseGeometry) -> tuple[Array, Array]:
    touched = shapely.intersects(pieces, water)
    pieces = np.where(touched, shapely.difference(pieces, water), pieces)
    return _worth_keeping(*shapely.get_parts(pieces, return_index=True))


def _part_at(pieces: Array, boundary: Polygon) -> tuple[Array, Array, Array]:
    """Fields end at the border: pieces across it become two. Also the numbers of the pieces they come from."""
    shapely.prepare(boundary)
    within = shapely.contains_properly(boundary, pieces)
    numbers = np.flatnonzero(~within & shapely.intersects(boundary, pieces))
    away = np.flatnonzero(~within & ~shapely.intersects(boundary, pieces))
    home = shapely.intersection(pieces[numbers], boundary)
    abroad = shapely.difference(pieces[numbers], boundary)
    geometry = np.concatenate([pieces[within], home, pieces[away], abroad])
    origin = np.concatenate([np.flatnonzero(within), numbers, away, numbers])
    inside = np.arange(len(geometry)) < within.sum() + len(numbers)
    parts, index = _worth_keeping(*shapely.get_parts(geometry, return_index=True))
    return parts, origin[index], inside[index]


def _worth_keeping(parts: Array, index: Array, least: float = 300.0) -> tuple[Array, Array]:
    keep = (shapely.get_type_id(parts) == 3) & (shapely.area(parts) >= least)
    return parts[keep], index[keep]


def _choose_covers(settings: CountrySettings, pieces: Array, use: Array, inside: Array) -> Array:
    rng = stream(settings.seed, "covers")
    cover = np.full(len(pieces), INDEX["water"])
    cover[use == "forest"] = rng.choice([INDEX["conifers"], INDEX["broadleaf"]], (use == "forest").sum())
    cover[use == "village"] = rng.choice([INDEX["roofs"], INDEX["gardens"]], (use == "village").sum())
    areas = shapely.area(pieces)
    for home in (True, False):
        fields = np.flatnonzero((use == "field") & (inside == home))
        cover[fields] = _share_out(areas[fields], rng)
    return cover


def _share_out(areas: Array, rng: np.random.Generator) -> Array:
    """Crops for fields so that each gets its share of the area: the next field goes to whom most is owed."""
    shares = np.array([cover.share for cover in TABLE])
    owed = np.zeros(len(shares))
    chosen = np.zeros(len(areas), dtype=int)
    for field in rng.permutation(len(areas)):
        owed += areas[field] * shares / shares.sum()
        chosen[field] = np.argmax(owed)
        owed[chosen[field]] -= areas[field]
    return chosen
