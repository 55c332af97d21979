"""The audit of one parcel file alone: read, harmonised and judged without a project and without imagery."""

import os
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from functools import partial
from math import inf
from pathlib import Path
from typing import Any

import numpy as np
from pydantic_core import PydanticCustomError

from catalogs.burnt_parcels import overlaps
from catalogs.errors import BadInput
from catalogs.grid import Bounds
from catalogs.parcels.crosswalks import open_crosswalk
from catalogs.parcels.dialects import dialects
from catalogs.parcels.footers import SIDES
from catalogs.parcels.kinds import KINDS
from catalogs.parcels.sources import Asked, open_source
from catalogs.parcels.table import read_columns, read_parcels
from catalogs.root import Root
from catalogs.taxonomy import ten_crops
from cluster.items import item_workers
from cluster.progress import Progress
from pipelines.audit import audit_table
from pipelines.audit_figures import Given, Row
from pipelines.audit_rasters import overlap_rows
from pipelines.harmonise import PART, Harmonising, begin_table, describe_source, fill_table
from pipelines.project.checks import country_code

CRS = "EPSG:3035"
"""Of the table: equal-area, and one for all of Europe."""

RESOLUTION = 10
"""Metres of the pixel that parcels are compared with."""

SQUARE = 10_240.0
"""Metres of a side of the ground in which overlaps are looked for at once."""

FARTHEST = 2000
"""Squares to each side of the origin of CRS: no ground is farther away."""

EVERYWHERE: Bounds = (-inf, -inf, inf, inf)

Square = tuple[int, int] | None
"""Column and row; None is all ground."""


def check_parcels(
    file: Path, out: Path | None, asked: Asked, country: str, mapping: Path | None, year: int | None, progress: Progress
) -> dict[str, Any]:
    """Fill `out` with the parcel table and the audit; the figures of the latter."""
    country, taxonomy = _country(country), ten_crops()
    if asked.kind not in KINDS:
        raise BadInput(f"source {asked.kind!r}", "There is no such kind of parcel file.", f"Give {' or '.join(KINDS)}.")
    crosswalk = open_crosswalk(asked.kind, mapping, taxonomy, country)  # before a large file is unpacked
    out = out or Path(tempfile.mkdtemp(prefix="furrow-parcels-"))
    root = Root(str(out))
    root.check_writable()
    source = open_source(file, asked, out / "unpacked")
    job = Harmonising(root, source, crosswalk, CRS, None, year)
    described = {"store": "parcels", "crosswalk": crosswalk.identity, "year": year, **describe_source(source)}
    records = _filled(job, described, progress)
    about = {"file": file.name, "country": country, "source": asked.kind, "region": None, "year": year}
    given = Given(root, taxonomy, crosswalk, about | {"year_given": year is not None, "table": described}, RESOLUTION)
    return audit_table(given, records, None, progress, overlap_rows(taxonomy, _overlaps(root, source.count, progress)))


def _country(given: str) -> str:
    """In capitals; it may be left out where the mapping does not ask for it."""
    code = given.strip().upper()
    try:
        return country_code(code) if code else ""
    except PydanticCustomError as error:
        known = sorted({dialect.country for dialect in dialects() if dialect.country})
        remedy = f"Give two letters such as AT, or BE_VLG. Files are known of {', '.join(known)}."
        raise BadInput(f"country {given!r}", "It is not a country as EuroCrops names it.", remedy) from error


def _filled(job: Harmonising, described: Row, progress: Progress) -> list[Row]:
    try:
        begin_table(job.root, described)
    except BadInput as error:
        raise BadInput(error.given, error.why, f"Choose another --out, or remove {job.root.path()}.") from error
    return fill_table(job, described, os.cpu_count() or 1, progress)


def _overlaps(root: Root, parcels: int, progress: Progress) -> dict[tuple[int, int], list[float]]:
    """By pair of classes: pairs and hectares; of many parcels square by square of the ground where they are."""
    squares: list[Square] = [None] if parcels <= PART else _squares(root)
    total: dict[tuple[int, int], list[float]] = defaultdict(lambda: [0, 0.0])
    with progress.stage("overlaps", len(squares), "squares") as bar:
        for found in _each(partial(square_overlaps, root), squares):
            for a, b, pairs, area in found:
                total[a, b][0] += pairs
                total[a, b][1] += area
            bar.advance()
    return total


def _each(function: Any, squares: list[Square]) -> Iterator[list[Any]]:
    if len(squares) <= 1:
        yield from map(function, squares)
        return
    with item_workers("", os.cpu_count() or 1) as each:
        for _, outcome in each(function, squares):
            if isinstance(outcome, Exception):
                raise outcome
            yield outcome


def square_overlaps(root: Root, square: Square) -> list[list[Any]]:
    bounds = _bounds(square)
    return overlaps(read_parcels(root, bounds, CRS), bounds)


def _squares(root: Root) -> list[Square]:
    """Those that the boxes of at least two parcels reach: elsewhere nothing can overlap.

    Boxes are counted by their four corners, however much ground they span.
    """
    boxes = np.zeros((2 * FARTHEST + 1, 2 * FARTHEST + 1), np.int32)
    for table in read_columns(root, SIDES):
        sides = np.column_stack([table[side].to_numpy() for side in SIDES])
        squares = np.clip(np.floor(sides / SQUARE), -FARTHEST, FARTHEST - 1).astype(np.int64) + FARTHEST
        x0, y0, x1, y1 = squares.T
        np.add.at(boxes, (np.r_[x0, x1 + 1], np.r_[y0, y1 + 1]), 1)
        np.add.at(boxes, (np.r_[x0, x1 + 1], np.r_[y1 + 1, y0]), -1)
    for axis in (0, 1):
        np.cumsum(boxes, axis=axis, out=boxes)
    return [(int(x) - FARTHEST, int(y) - FARTHEST) for x, y in np.argwhere(boxes > 1)]


def _bounds(square: Square) -> Bounds:
    if square is None:
        return EVERYWHERE
    x, y = square
    return x * SQUARE, y * SQUARE, (x + 1) * SQUARE, (y + 1) * SQUARE
