"""PASTIS and PASTIS-R as they are published: 2,433 series of Sentinel-2 images in France, labelled per pixel.

Bands are the ten of a cube in the same order. The counts are reflectance x 10000 by MAJA (not Sen2Cor), so there is no
offset to subtract; they can be negative, and -10000 means no data.
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from catalogs.bands import BANDS
from catalogs.errors import BadInput
from catalogs.references.counts import as_cube
from catalogs.references.legends import pastis_legend
from catalogs.references.npy import open_npy
from catalogs.references.pastis_metadata import FOLDS, read_json, read_metadata
from catalogs.references.places import AGAIN, below

METADATA = "metadata.geojson"
NAMES = ("", "PASTIS", "PASTIS-R")
"""Where a download may lie below the folder that was given."""

SIDE = 128
NO_DATA = -10000
VOID = 19
"""Label of parcels that lie mostly outside their patch; no score counts it."""

SPLITS = (
    ((1, 2, 3), (4,), (5,)),
    ((2, 3, 4), (5,), (1,)),
    ((3, 4, 5), (1,), (2,)),
    ((4, 5, 1), (2,), (3,)),
    ((5, 1, 2), (3,), (4,)),
)
"""Folds to train, validate and test with, in five rounds; the published score adds the five tests' matrices."""


@dataclass(frozen=True)
class PastisPatch:
    """One series of images of 128 x 128 pixels of 10 m; nothing is read before it is asked for."""

    folder: Path
    id: int
    fold: int
    tile: str
    dates: tuple[date, ...]
    """One for each image, in their order; a day may be there twice."""

    @property
    def images(self) -> Path:
        return below(self.folder, f"DATA_S2/S2_{self.id}.npy")

    @property
    def annotation(self) -> Path:
        return below(self.folder, f"ANNOTATIONS/TARGET_{self.id}.npy")

    def raw(self) -> NDArray[np.int16]:
        """Counts (image, band, y, x) as published, still on disk."""
        return open_npy(self.images, "int16", (len(self.dates), len(BANDS), SIDE, SIDE))

    def read(self) -> NDArray[np.uint16]:
        """The same as a cube holds them: reflectance x 10000, 0 = no data, zero and negative counts lifted to 1."""
        raw = self.raw()
        return as_cube(raw, empty_pixels(raw)[:, None])

    def read_image(self, position: int) -> NDArray[np.uint16]:
        """One image (band, y, x) in that form; no other is read."""
        raw = self.raw()[position]
        return as_cube(raw, empty_pixels(raw)[None])

    def target(self) -> NDArray[np.uint8]:
        """Labels 0 to 19 (y, x): the first of the annotation's three layers, the only one that the official loader
        reads."""
        annotation = open_npy(self.annotation, "uint8", (3, SIDE, SIDE))
        labels = np.array(annotation[0])
        pastis_legend().check(labels)
        return labels

    def crops(self) -> NDArray[np.uint8]:
        """Our classes 0 to 10; 255 where the label is void."""
        return pastis_legend().crops(self.target())


@dataclass(frozen=True)
class Pastis:
    """All patches, in the order of their ids."""

    folder: Path
    patches: tuple[PastisPatch, ...]

    def of_folds(self, folds: Collection[int]) -> tuple[PastisPatch, ...]:
        """Neighbouring patches share fields, so patches are parted by fold and never by chance."""
        if not folds or not set(folds) <= set(FOLDS):
            raise BadInput(f"folds {sorted(folds)} of PASTIS", "There are folds 1 to 5.", "Take those of `SPLITS`.")
        return tuple(patch for patch in self.patches if patch.fold in folds)

    def normalisation(self, folds: Collection[int]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Mean and standard deviation of each band, averaged over the folds as the official loader does.

        They are of counts with clouds, negatives and -10000 among them: for networks of others, not for ours.
        """
        path = self.folder / "NORM_S2_patch.json"
        by_fold = read_json(path)
        means, deviations = (
            [_ten_numbers(path, by_fold, fold, what) for fold in sorted(folds)] for what in ("mean", "std")
        )
        return np.mean(means, axis=0), np.mean(deviations, axis=0)


def open_pastis(folder: Path) -> Pastis:
    """Reads the metadata only. `folder` holds metadata.geojson, or a folder PASTIS or PASTIS-R that does."""
    place = find_pastis(folder)
    if place is None:
        raise BadInput(f"folder {folder}", f"There is no {METADATA} in it.", "Give the unpacked folder of PASTIS.")
    described = read_metadata(place / METADATA)
    return Pastis(place, tuple(PastisPatch(place, one.id, one.fold, one.tile, one.dates) for one in described))


def find_pastis(folder: Path) -> Path | None:
    places = (folder.resolve() / name for name in NAMES)
    return next((place for place in places if (place / METADATA).exists()), None)


def empty_pixels(raw: NDArray[Any]) -> NDArray[np.bool_]:
    """Where a pixel (..., band, y, x) has no data: some band is -10000, or all are 0 as in images that are all zero."""
    empty: NDArray[np.bool_] = (raw == NO_DATA).any(axis=-3) | (raw == 0).all(axis=-3)
    return empty


def _ten_numbers(path: Path, by_fold: Any, fold: int, what: str) -> list[float]:
    try:
        numbers = [float(number) for number in by_fold[f"Fold_{fold}"][what]]
    except (KeyError, TypeError, ValueError) as error:
        raise BadInput(f"file {path}", f"It has no {what} of fold {fold}.", AGAIN) from error
    if len(numbers) != len(BANDS) or not np.isfinite(numbers).all():
        raise BadInput(f"file {path}", f"The {what} of fold {fold} is not ten numbers.", AGAIN)
    return numbers
