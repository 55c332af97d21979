"""How DACIA5 lies on disk: its folders, the names of its files, and what a name says."""

import re
from datetime import date, datetime
from pathlib import Path

from catalogs.errors import BadInput
from catalogs.references.legends import apia_labels
from catalogs.references.places import AGAIN, below, files_in

NAMES = ("", "Dataset", "DACIA5")
"""Where a download may lie below the folder that was given."""

IMAGES = "Images_Sentinel2_GeoTIFF"
MASKS = "Masks_and_legend"
PATCHES = "32x32_patches/32x32_multispectral_patches"

ROWS, COLUMNS = 800, 450
PATCH_SIDE = 32

PAST, PRESENT = (2020, 2021, 2022, 2023), (2024,)
"""Years to train with and to test with; the parcels are the same ones, and a year's weather is what differs."""
YEARS = PAST + PRESENT

PARTS = (
    "problem1/training_2020-2023",
    "problem1/test_2024",
    "problem2/training_before_20May",
    "problem2/test_after_20May",
)
"""Folders of patches."""

SCENE_NAME = re.compile(r"Sentinel2_L2A_(\d{8})\.tiff?")
PATCH_NAME = re.compile(r"patch_(\d{8}_\d+_\d+)\.tiff?")


def find_dacia5(folder: Path) -> Path | None:
    places = (folder.resolve() / name for name in NAMES)
    return next((place for place in places if (place / IMAGES).exists()), None)


def scene_files(folder: Path) -> list[tuple[date, Path]]:
    """In the order of their days."""
    folders = [below(folder, f"{IMAGES}/Sentinel2_{year}") for year in YEARS]
    found = [path for place in folders for path in files_in(place, SCENE_NAME).values()]
    return sorted((day_of(path.stem.rpartition("_")[2], path), path) for path in found)


def mask_files(folder: Path, year: int) -> tuple[Path, Path]:
    """The label mask of a year, as .mat and as .png."""
    stem = f"{MASKS}/Sentinel2_{year}/Labels_mask_{year}"
    return below(folder, f"{stem}.mat"), below(folder, f"{stem}.png")


def patch_files(folder: Path, part: str) -> list[Path]:
    return list(files_in(below(folder, f"{PATCHES}/{part}/patches_tiff"), PATCH_NAME).values())


def patch_name(path: Path) -> tuple[date, str, int]:
    """Day, APIA code of the crop, number."""
    match = PATCH_NAME.fullmatch(path.name)
    assert match
    digits, apia, number = match[1].split("_")
    if apia not in apia_labels():
        raise BadInput(f"file {path}", f"{apia} in its name is the code of no crop in the legend.", AGAIN)
    return day_of(digits, path), apia, int(number)


def in_part(day: date, part: str) -> bool:
    """Whether a patch of that day belongs there; what is of 20 May itself is not said."""
    spring = (day.month, day.day)
    return {
        "problem1/training_2020-2023": day.year in PAST,
        "problem1/test_2024": day.year in PRESENT,
        "problem2/training_before_20May": spring <= (5, 20),
        "problem2/test_after_20May": spring >= (5, 20),
    }[part]


def day_of(digits: str, path: Path) -> date:
    try:
        return datetime.strptime(digits, "%Y%m%d").date()
    except ValueError as error:
        raise BadInput(f"file {path}", f"{digits} in its name is no day.", AGAIN) from error
