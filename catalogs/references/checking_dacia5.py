"""Whether a folder of DACIA5 is whole: every scene, every year's mask, every patch."""

from collections import Counter
from datetime import date
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from catalogs.dark_pixels import offset_seen
from catalogs.errors import BadInput
from catalogs.references.band_order import ALL_BANDS
from catalogs.references.dacia5 import Dacia5, Dacia5Scene, open_dacia5, read_mask
from catalogs.references.dacia5_layout import (
    COLUMNS,
    PARTS,
    PATCH_SIDE,
    ROWS,
    YEARS,
    in_part,
    mask_files,
    patch_files,
    patch_name,
)
from catalogs.references.findings import Findings, Step, named, refused
from catalogs.references.legends import dacia5_legend
from catalogs.references.places import there
from catalogs.references.published import Dacia5Counts
from catalogs.references.rasters import check_tiff, read_png, read_tiff


def dacia5_steps(folder: Path, quick: bool, published: Dacia5Counts) -> list[Step]:
    """Headers and masks only, if it has to be quick; every scene's pixels otherwise."""
    try:
        dacia5 = open_dacia5(folder)
    except BadInput as error:
        return [refused(error)]
    look = _header if quick else _pixels
    return [
        partial(_scenes, dacia5, published),
        *(partial(look, scene) for scene in dacia5.scenes),
        *(partial(_masks, dacia5, year, published) for year in YEARS),
        *(step for part in PARTS for step in _part_steps(dacia5.folder, part, quick, published)),
    ]


def _scenes(dacia5: Dacia5, published: Dacia5Counts, findings: Findings) -> None:
    by_year = Counter(scene.day.year for scene in dacia5.scenes)
    findings.counts["scenes"] = len(dacia5.scenes)
    findings.counts["scenes by year"] = {str(year): by_year[year] for year in YEARS}
    findings.notes.append("the same parcels are in every scene: split by year and by parcel, never by chance")
    findings.compare("scenes", len(dacia5.scenes), published.scenes)
    for year in YEARS:
        if not by_year[year]:
            findings.missing.append(f"there is no scene of {year}")


def _header(scene: Dacia5Scene, findings: Findings) -> None:
    with findings.noting_damage():
        check_tiff(scene.path, len(ALL_BANDS), ROWS, COLUMNS)


def _pixels(scene: Dacia5Scene, findings: Findings) -> None:
    """Reads them, asks them for the order of the bands, and counts the offsets that they tell."""
    with findings.noting_damage():
        evidence = scene.evidence()
        told = "undecided" if evidence.verdict == "undecided" else str(offset_seen(evidence))
        offsets = findings.counts.setdefault("scenes by offset", {})
        offsets[told] = offsets.get(told, 0) + 1


def _masks(dacia5: Dacia5, year: int, published: Dacia5Counts, findings: Findings) -> None:
    mat, png = mask_files(dacia5.folder, year)
    findings.missing += [f"{path.name} is missing" for path in (mat, png) if not there(path)]
    with findings.noting_damage():
        labels = [read_mask(mat)] if there(mat) else []
        labels += [read_png(png, ROWS, COLUMNS)] if there(png) else []
        if len(labels) == 2 and not np.array_equal(labels[0], labels[1]):
            findings.damaged.append(f"file {png}: It is not equal to {mat.name}.")
        if labels:
            _labels(labels[0], year, published, findings)


def _labels(labels: NDArray[np.uint8], year: int, published: Dacia5Counts, findings: Findings) -> None:
    dacia5_legend().check(labels)
    names = dacia5_legend().names
    found = np.bincount(labels.ravel(), minlength=len(names))
    other = [
        f"{found[label]} of label {label}, {names[label]} ({count})"
        for label, count in enumerate(published.pixels[year])
        if found[label] != count
    ]
    if other:
        findings.damaged.append(f"mask of {year}: It has other pixels than were published (so many): {named(other)}")


def _part_steps(folder: Path, part: str, quick: bool, published: Dacia5Counts) -> list[Step]:
    try:
        paths = patch_files(folder, part)
    except BadInput as error:
        return [refused(error)]
    return [partial(_patches, part, len(paths), published), *(partial(_patch, part, path, quick) for path in paths)]


def _patches(part: str, found: int, published: Dacia5Counts, findings: Findings) -> None:
    findings.counts.setdefault("patches", {})[part] = found
    findings.compare(f"patches of {part}", found, published.patches[part])


def _patch(part: str, path: Path, quick: bool, findings: Findings) -> None:
    with findings.noting_damage():
        day: date = patch_name(path)[0]
        if not in_part(day, part):
            findings.damaged.append(f"file {path}: It is of {day} and does not belong into {part}.")
        (check_tiff if quick else read_tiff)(path, len(ALL_BANDS), PATCH_SIDE, PATCH_SIDE)
