"""DACIA5 as it is published: five years of Sentinel-2 scenes north of Brasov with the crops of each year.

Label 0 is ground that nobody labelled, not background. Whole scenes with a year's label mask are what a map is compared
with; the patches of 32 x 32 pixels, each named after one crop, are for the dataset's own two problems.
"""

from dataclasses import dataclass, field
from datetime import date
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from catalogs.bands import BANDS
from catalogs.dark_pixels import Evidence, judge, offset_seen
from catalogs.errors import BadInput
from catalogs.references.band_order import ALL_BANDS, OUR_TEN, arranged, check_order
from catalogs.references.counts import as_cube
from catalogs.references.dacia5_layout import (
    COLUMNS,
    IMAGES,
    PARTS,
    PATCH_SIDE,
    ROWS,
    YEARS,
    find_dacia5,
    mask_files,
    patch_files,
    patch_name,
    scene_files,
)  # fmt: skip
from catalogs.references.legends import apia_labels, dacia5_legend
from catalogs.references.mat import read_mat
from catalogs.references.places import AGAIN, there
from catalogs.references.rasters import read_png, read_tiff

Counts = NDArray[np.uint16]


@dataclass(frozen=True)
class Dacia5Scene:
    """One picture, 800 x 450 pixels of 10 m in EPSG:32635."""

    path: Path
    day: date

    def raw(self) -> Counts:
        """Counts (band, y, x) of the twelve bands in the order of `ALL_BANDS`; the pixels are asked to confirm it."""
        pixels = arranged(*read_tiff(self.path, len(ALL_BANDS), ROWS, COLUMNS))
        check_order(pixels, f"file {self.path}")
        return pixels

    def evidence(self) -> Evidence:
        """What the darkest ground says of the offset of 1000: some scenes hold it and some do not."""
        return _evidence(self)

    def offset(self) -> int:
        """Counts to subtract, 1000 or 0."""
        evidence = self.evidence()
        if evidence.verdict == "undecided":
            raise BadInput(
                f"file {self.path}",
                f"Its pixels do not tell whether they hold the offset of 1000 ({evidence.why}).",
                "Leave the scene out, or give the offset with read(offset=...).",
            )
        return offset_seen(evidence)

    def read(self, offset: int | None = None) -> Counts:
        """A cube's ten bands: reflectance x 10000, 0 = no data. `offset` is for scenes whose pixels do not tell it."""
        return _as_cube(self.raw(), self.offset() if offset is None else offset)


@dataclass(frozen=True)
class Dacia5Patch:
    """A picture of 32 x 32 pixels of one crop. It says nothing of where it lies."""

    path: Path
    day: date
    apia: str
    """Code of the crop."""
    number: int

    @property
    def label(self) -> int:
        """1 to 17, as in the masks."""
        return apia_labels()[self.apia]

    def raw(self) -> Counts:
        """Counts (band, y, x) of the twelve bands. Too small to tell their order or their offset: see `Dacia5.read`."""
        return arranged(*read_tiff(self.path, len(ALL_BANDS), PATCH_SIDE, PATCH_SIDE))


@dataclass(frozen=True)
class Dacia5:
    """The dataset: scenes in the order of their days, and what lies beside them."""

    folder: Path
    scenes: tuple[Dacia5Scene, ...] = field(repr=False)

    def of_years(self, *years: int) -> tuple[Dacia5Scene, ...]:
        return tuple(scene for scene in self.scenes if scene.day.year in years)

    def labels(self, year: int) -> NDArray[np.uint8]:
        """Labels 0 to 17 (y, x) of a year, from the .mat file or, where there is none, the .png that equals it.

        The RGB masks are not used: three pairs of labels share a colour.
        """
        mat, png = mask_files(self.folder, year)
        labels = read_mask(mat) if there(mat) or not there(png) else read_png(png, ROWS, COLUMNS)
        dacia5_legend().check(labels)
        return labels

    def crops(self, year: int) -> NDArray[np.uint8]:
        """Our classes 1 to 10; 255 where nothing is labelled, and for peas, which are none of the ten."""
        return dacia5_legend().crops(self.labels(year))

    def patches(self, part: str) -> tuple[Dacia5Patch, ...]:
        """Of one of `PARTS`."""
        if part not in PARTS:
            raise BadInput(f"part {part!r} of DACIA5", "There is none such.", f"Take one of {', '.join(PARTS)}.")
        return tuple(Dacia5Patch(path, *patch_name(path)) for path in patch_files(self.folder, part))

    def read(self, patch: Dacia5Patch) -> Counts:
        """A patch's ten bands as a cube holds them; the offset is that of the whole scene of its day."""
        scene = next((scene for scene in self.scenes if scene.day == patch.day), None)
        if scene is None:
            raise BadInput(f"file {patch.path}", f"There is no scene of {patch.day} to tell its offset.", AGAIN)
        return _as_cube(patch.raw(), scene.offset())

    def fields(self) -> NDArray[np.int32]:
        """Pieces of ground (y, x), numbered from 1, that were labelled in any year; 0 elsewhere.

        A parcel of whichever year lies within one piece, so parts made of whole pieces share no parcel; unless it has
        several parts that do not touch.
        """
        labelled = np.any([self.labels(year) != 0 for year in YEARS], axis=0)
        pieces, _ = ndimage.label(labelled, np.ones((3, 3)))
        return np.asarray(pieces, np.int32)


def open_dacia5(folder: Path) -> Dacia5:
    """Reads no pixel. `folder` holds Images_Sentinel2_GeoTIFF, or a folder Dataset or DACIA5 that does."""
    place = find_dacia5(folder)
    if place is None:
        raise BadInput(f"folder {folder}", f"There is no {IMAGES} in it.", "Give the unpacked folder of DACIA5.")
    return Dacia5(place, tuple(Dacia5Scene(path, day) for day, path in scene_files(place)))


def split_fields(fields: NDArray[np.int32], share: float, seed: int) -> NDArray[np.bool_]:
    """Pixels to validate with: whole pieces, drawn until they hold that share of the labelled ground."""
    sizes = np.bincount(fields.ravel())[1:]
    drawn = np.random.default_rng(seed).permutation(len(sizes))
    before = np.cumsum(sizes[drawn]) - sizes[drawn]
    chosen = drawn[before < share * sizes.sum()] + 1
    validated: NDArray[np.bool_] = np.isin(fields, chosen)
    return validated


def read_mask(path: Path) -> NDArray[np.uint8]:
    return read_mat(path, "mask", "uint8", (ROWS, COLUMNS))


@lru_cache(maxsize=256)
def _evidence(scene: Dacia5Scene) -> Evidence:
    pixels = scene.raw()
    return judge({band: pixels[ALL_BANDS.index(band)] for band in BANDS})


def _as_cube(pixels: Counts, offset: int) -> Counts:
    """Of twelve bands; a pixel without any count has no data, and is told before the offset is subtracted."""
    return as_cube(pixels[list(OUR_TEN)], (pixels == 0).all(axis=0)[None], offset)
