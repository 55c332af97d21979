"""Whether a folder of PASTIS is whole: every patch, every array, every date."""

import re
from collections import Counter
from functools import partial
from pathlib import Path

from catalogs.bands import BANDS
from catalogs.errors import BadInput
from catalogs.references.findings import Findings, Step, named, refused
from catalogs.references.npy import check_npy
from catalogs.references.pastis import METADATA, NO_DATA, SIDE, Pastis, PastisPatch, empty_pixels, open_pastis
from catalogs.references.pastis_metadata import FOLDS
from catalogs.references.places import files_in, there
from catalogs.references.published import PastisCounts

FOLDERS = {"DATA_S2": re.compile(r"S2_(\d+)\.npy"), "ANNOTATIONS": re.compile(r"TARGET_(\d+)\.npy")}
"""What a comparison needs. Parcel numbers, instances and radar may lie beside it and are not looked at."""


def pastis_steps(folder: Path, quick: bool, published: PastisCounts) -> list[Step]:
    """Headers only, if it has to be quick; every value otherwise, which takes as long as reading the disk."""
    try:
        pastis = open_pastis(folder)
    except BadInput as error:
        return [refused(error)]
    look = _headers if quick else _values
    wholes: list[Step] = [partial(_count, pastis, published), partial(_names, pastis), partial(_normalisation, pastis)]
    return [*wholes, *(partial(look, patch, published) for patch in pastis.patches)]


def _count(pastis: Pastis, published: PastisCounts, findings: Findings) -> None:
    folds, tiles = Counter(patch.fold for patch in pastis.patches), Counter(patch.tile for patch in pastis.patches)
    findings.counts |= {
        "patches": len(pastis.patches),
        "patches by fold": {str(fold): folds[fold] for fold in FOLDS},
        "patches by tile": dict(sorted(tiles.items())),
        "images": sum(len(patch.dates) for patch in pastis.patches),
    }
    findings.compare(f"patches in {METADATA}", len(pastis.patches), published.patches)
    for tile, count in published.by_tile.items():
        findings.compare(f"patches of tile {tile}", tiles[tile], count)
    for some, count in published.by_folds.items():
        findings.compare(f"patches of folds {', '.join(map(str, some))}", sum(folds[fold] for fold in some), count)
    if strange := sorted(set(tiles) - set(published.by_tile)):
        findings.surplus.append(f"there are patches of other tiles: {named(strange)}")


def _names(pastis: Pastis, findings: Findings) -> None:
    """Files without a patch, and patches without a file."""
    described = {str(patch.id) for patch in pastis.patches}
    for folder, pattern in FOLDERS.items():
        with findings.noting_damage():
            present = files_in(pastis.folder / folder, pattern)
            if absent := sorted(described - set(present), key=int):
                kind = f"arrays in {folder} are missing, those of patches"
                findings.missing.append(f"{len(absent)} of {len(described)} {kind} {named(absent)}")
            if surplus := sorted(set(present) - described, key=int):
                findings.surplus.append(f"{folder} has arrays of patches that {METADATA} lacks: {named(surplus)}")


def _normalisation(pastis: Pastis, findings: Findings) -> None:
    if not there(pastis.folder / "NORM_S2_patch.json"):
        findings.missing.append("NORM_S2_patch.json is missing")
        return
    with findings.noting_damage():
        pastis.normalisation(FOLDS)


def _headers(patch: PastisPatch, published: PastisCounts, findings: Findings) -> None:
    with findings.noting_damage():
        _dates(patch, published, findings)
        if there(patch.images):
            check_npy(patch.images, "int16", (len(patch.dates), len(BANDS), SIDE, SIDE))
    with findings.noting_damage():
        if there(patch.annotation):
            check_npy(patch.annotation, "uint8", (3, SIDE, SIDE))


def _dates(patch: PastisPatch, published: PastisCounts, findings: Findings) -> None:
    if not published.fewest_dates <= len(patch.dates) <= published.most_dates:
        span = f"{published.fewest_dates} to {published.most_dates}"
        findings.damaged.append(f"patch {patch.id}: It has {len(patch.dates)} dates, published were {span}.")


def _values(patch: PastisPatch, published: PastisCounts, findings: Findings) -> None:
    with findings.noting_damage():
        _dates(patch, published, findings)
        if there(patch.images):
            _images(patch, findings)
    with findings.noting_damage():
        if there(patch.annotation):
            patch.target()


def _images(patch: PastisPatch, findings: Findings) -> None:
    """Read one by one; an image without any data is nothing unusual, a series without any is no download."""
    empty = 0
    for image in patch.raw():
        if image.min() < NO_DATA:
            findings.damaged.append(f"file {patch.images}: It has counts below {NO_DATA}.")
            return
        empty += bool(empty_pixels(image).all())
    name = "images without any data"
    findings.counts[name] = findings.counts.get(name, 0) + empty
    if empty == len(patch.dates):
        findings.damaged.append(f"file {patch.images}: None of its images has any data.")
