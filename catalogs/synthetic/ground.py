"""What lies under every pixel of a scene: shares of pieces of ground, and where the pixel is."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import rusterize
from scipy.sparse import csr_array

from catalogs.synthetic.chance import Array, Surface, rough_surface, stream
from catalogs.synthetic.country import plan_country
from catalogs.synthetic.frames import Frame, frame_of
from catalogs.synthetic.land import Land
from catalogs.synthetic.outline import surroundings
from catalogs.synthetic.projections import NATIONAL_CRS, between, project, utm
from catalogs.synthetic.settings import CountrySettings

SUBPIXEL = 5
"""metres; a pixel of 10 m mixes four of them, one of 20 m sixteen"""


@dataclass(frozen=True, eq=False)
class Ground:
    frame: Frame
    mixing: dict[int, csr_array]
    """resolution -> (pixel, piece) shares of area"""
    texture: dict[int, Array]
    """resolution -> (y, x) how much better the crop stands here than in the rest of its field"""
    x: Array
    """(y, x) place of the 20 m pixels in the national CRS, metres"""
    y: Array


@lru_cache(maxsize=2)
def survey_ground(settings: CountrySettings, zone: int) -> Ground:
    """Made once per process and zone: it does not change with the date."""
    frame = frame_of(settings, zone)
    pieces = rasterise_pieces(plan_country(settings).land, frame, SUBPIXEL)
    count = len(plan_country(settings).land)
    mixing = {resolution: _mix(pieces, resolution // SUBPIXEL, count) for resolution in (10, 20)}
    x, y = _national(frame, 10)
    texture = _texture(settings).at(x, y).astype("float32")
    coarse = texture.reshape(frame.height, 2, frame.width, 2).mean(axis=(1, 3))
    x, y = (place.reshape(frame.height, 2, frame.width, 2).mean(axis=(1, 3)) for place in (x, y))
    return Ground(frame, mixing, {10: texture, 20: coarse}, x, y)


def rasterise_pieces(land: Land, frame: Frame, resolution: int) -> Array:
    """(y, x) number of the piece under the middle of each pixel."""
    shapes = project(land.geometry, NATIONAL_CRS, utm(frame.zone))
    pieces = rusterize.rusterize(
        shapes,
        extent=frame.bounds,
        out_shape=frame.shape(resolution),
        burn=np.arange(len(shapes), dtype="uint32"),
        background=0,
        encoding="numpy",
        dtype="uint32",
    )
    return np.asarray(pieces).reshape(frame.shape(resolution))


def _mix(pieces: Array, factor: int, count: int) -> csr_array:
    height, width = pieces.shape[0] // factor, pieces.shape[1] // factor
    inside = pieces.reshape(height, factor, width, factor).swapaxes(1, 2).reshape(-1).astype("int32")
    starts = np.arange(0, len(inside) + 1, factor**2, dtype="int32")
    shares = np.full(len(inside), 1 / factor**2, dtype="float32")
    mixing = csr_array((shares, inside, starts), shape=(height * width, count))
    mixing.sum_duplicates()
    return mixing


def _national(frame: Frame, resolution: int) -> tuple[Array, Array]:
    """Pixel centres in the national CRS, exact on a lattice of 160 m and straight between its points."""
    height, width = frame.shape(resolution)
    rows, cols = (np.append(np.arange(0, count, 16), count - 1) for count in (height, width))
    east, north = np.meshgrid(frame.left + (cols + 0.5) * resolution, frame.top - (rows + 0.5) * resolution)
    exact = between(utm(frame.zone), NATIONAL_CRS).transform(east, north)
    return tuple(_straight(_straight(np.asarray(v), rows, height).T, cols, width).T for v in exact)  # type: ignore[return-value]


def _straight(values: Array, at: Array, count: int) -> Array:
    wanted = np.arange(count)
    after = np.clip(np.searchsorted(at, wanted, side="right"), 1, len(at) - 1)
    share = (wanted - at[after - 1]) / np.maximum(at[after] - at[after - 1], 1)
    return np.asarray(values[after - 1] + share[:, None] * (values[after] - values[after - 1]))


@lru_cache(maxsize=1)
def _texture(settings: CountrySettings) -> Surface:
    around = surroundings(settings)
    return rough_surface(stream(settings.seed, "texture"), around, longest=400, octaves=5, cell=12.5, roughness=0.8)
