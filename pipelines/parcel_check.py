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

from catalogs.burnt_parcels import overlaps
from catalogs.grid import Bounds
from catalogs.parcels.crosswalks import open_crosswalk
from catalogs.parcels.footers import SIDES
from catalogs.parcels.sources import Asked, open_source
from catalogs.parcels.table import read_columns, read_parcels
from catalogs.root import Root
from catalogs.taxonomy import ten_crops
from cluster.items import item_workers
from cluster.progress import Progress
from pipelines.audit import audit_table
from pipelines.audit_figures import Given, Row
from pipelines.audit_rasters import overlap_rows
from pipelines.harmonise import PART, Harmonising, begin_table, digest_of, fill_table, harmonise_part

CRS = "EPSG:3035"
"""Of the table: equal-area, and one for all of Europe."""

RESOLUTION = 10
"""Metres of the pixel that parcels are compared with."""

SQUARE = 10_240.0
"""Metres of a side of the ground in which overlaps are looked for at once."""

EVERYWHERE: Bounds = (-inf, -inf, inf, inf)

Square = tuple[int, int] | None
"""Column and row; None is all ground."""


def check_parcels(
    file: Path, out: Path | None, asked: Asked, country: str, mapping: Path | None, year: int | None, progress: Progress
) -> dict[str, Any]:
    """Fill `out` with the parcel table and the audit; the figures of the latter."""
    out = out or Path(tempfile.mkdtemp(prefix="furrow-parcels-"))
    root = Root(str(out))
    root.check_writable()
    taxonomy = ten_crops()
    source = open_source(file, asked, out / "unpacked")
    crosswalk = open_crosswalk(asked.kind, mapping, taxonomy, country)
    job = Harmonising(root, source, crosswalk, CRS, None, year)
    described = {
        "store": "parcels",
        "file": {"name": file.name, "sha256": digest_of(file)},
        "layer": source.layer,
        "file_crs": source.crs,
        "columns": {"code": source.code, "name": source.name, "year": source.year, "area": source.area},
        "kind": source.kind,
        "crosswalk": crosswalk.identity,
        "year": year,
        "part": PART,
    }
    records = _filled(job, described, progress)
    about = {"file": file.name, "country": country, "source": asked.kind, "region": None, "year": year}
    given = Given(root, taxonomy, crosswalk, about | {"year_given": year is not None, "table": described}, RESOLUTION)
    return audit_table(given, records, None, progress, overlap_rows(taxonomy, _overlaps(root, source.count, progress)))


def _filled(job: Harmonising, described: Row, progress: Progress) -> list[Row]:
    """The table's records; the work of a single part is not worth starting workers for."""
    if len(job.parts) > 1:
        return fill_table(job, described, os.cpu_count() or 1, progress)
    table = begin_table(job.root, described)
    with progress.stage("harmonise", len(job.parts), "parts") as bar:
        for number in job.parts:
            harmonise_part(job, number)
            bar.advance()
    return [table.ledger.record(unit) for unit in sorted(table.ledger.done())]


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
    if len(squares) == 1:
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
    """Those that hold the lower left corner of a parcel's box, or ground that a box reaches."""
    found: set[tuple[int, int]] = set()
    for table in read_columns(root, SIDES):
        sides = np.column_stack([table[side].to_numpy() for side in SIDES])
        x0, y0, x1, y1 = (np.floor(sides / SQUARE).astype(np.int64)).T
        single = (x0 == x1) & (y0 == y1)
        found.update(map(tuple, np.unique(np.column_stack([x0, y0])[single], axis=0).tolist()))
        for a, b, c, d in zip(x0[~single], y0[~single], x1[~single], y1[~single], strict=True):
            found.update((int(x), int(y)) for x in range(a, c + 1) for y in range(b, d + 1))
    return [*sorted(found)]


def _bounds(square: Square) -> Bounds:
    if square is None:
        return EVERYWHERE
    x, y = square
    return x * SQUARE, y * SQUARE, (x + 1) * SQUARE, (y + 1) * SQUARE
