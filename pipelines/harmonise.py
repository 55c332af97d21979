"""harmonise: a parcel file to the parcel table of a run, one part of the file at a time."""

import hashlib
import os
import time
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely.geometry.base import BaseGeometry

from catalogs.description import identity
from catalogs.errors import BadInput
from catalogs.parcels.crosswalks import Crosswalk
from catalogs.parcels.mending import SOUND, Objects, hectares, mend, outlines
from catalogs.parcels.part_record import OTHER_YEAR, dropped, kept_rows
from catalogs.parcels.sources import Chunk, Source, declared_year, open_source, read_chunk
from catalogs.parcels.table import FOLDER, Rows, part_key, part_numbers, write_part
from catalogs.parcels.table_plan import TABLE_PLAN, check_latest, describe_again, table_description
from catalogs.renewal import changed_between
from catalogs.root import Root
from catalogs.stores import Store
from cluster.items import Each, each_here, item_workers
from cluster.progress import Progress
from pipelines.download import local_copy
from pipelines.outcomes import Outcomes
from pipelines.plan import Plan

PART = 100_000
"""Features of the file in a part: a worker holds one, and a country of ten million has a hundred."""

INPUTS = ("file", "layer", "file_crs", "columns", "kind", "year", "year_named", "crosswalk")
"""What of that may change after the table was begun: the parcels and how they are read, not where they lie."""


@dataclass(frozen=True)
class Harmonising:
    """Everything a worker needs to harmonise any part; with no plan in it, so that a file can be read without one."""

    root: Root
    source: Source
    crosswalk: Crosswalk
    crs: str
    """of the table"""
    region: BaseGeometry | None
    """in that CRS"""
    year: int | None
    """if given, declarations that say another year are left out"""
    part: int = PART
    described: str = ""
    """What the table is planned from, in one word: as long as it is, this job's parts count."""

    @property
    def parts(self) -> range:
        return range(-(-self.source.count // self.part))


def harmonise(plan: Plan, progress: Progress) -> list[dict[str, Any]]:
    """Make the parts of the table that are missing; the records of all of them, in the order of the file."""
    plan.project.check_declared()
    labels, crosswalk = plan.project.labels, plan.crosswalk  # a wrong mapping is told before anything is downloaded
    source = open_source(local_copy(plan, progress), plan.asked, scratch(plan))
    described, grid = describe_table(plan, source), plan.grid
    job = Harmonising(plan.root, source, crosswalk, grid.crs, plan.region, labels.year, described=identity(described))
    take_back_changed(plan.root, described, progress)
    return fill_table(job, described, _workers_here(plan), progress)


def take_back_changed(root: Root, described: Mapping[str, Any], progress: Progress) -> None:
    """Let the table be made anew if its parcels, or what they are read by, have changed.

    What it is planned from comes last: who is killed before that finds the same change again, and goes on.
    """
    if not root.exists(TABLE_PLAN):
        return
    table = Store(root, FOLDER)
    changed = changed_between(table, table_description(root), described, INPUTS)
    units = {*map(_unit, part_numbers(root)), *table.ledger.done()}
    if changed and units:
        progress.say(f"parcels: all are read anew: another {', '.join(changed)}")
        table.take_back((unit, [f"{unit}.parquet"]) for unit in sorted(units))
        describe_again(root, described)


def fill_table(
    job: Harmonising, description: Mapping[str, Any], workers: int, progress: Progress
) -> list[dict[str, Any]]:
    """The table of a job: restartable, and the same bytes whatever the number of workers."""
    table = begin_table(job.root, description)
    missing = set(table.missing((_unit(n), [part_key(n).removeprefix(f"{FOLDER}/")]) for n in job.parts))
    todo = [number for number in job.parts if _unit(number) in missing]
    outcomes = Outcomes(table)
    with progress.stage("harmonise", len(job.parts), "parts", already=len(job.parts) - len(todo)) as bar:
        if todo:
            with _workers_for(todo, workers) as each:
                for number, outcome in each(partial(harmonise_part, job), todo):
                    outcomes.add(_unit(number), outcome)
                    bar.advance()
    outcomes.check()
    table.sweep()
    return [table.ledger.record(_unit(number)) for number in job.parts]


def _workers_for(todo: Sequence[int], workers: int) -> AbstractContextManager[Each]:
    """On this machine, for the file may lie nowhere else; a single part is done before any worker has started."""
    return item_workers("", workers) if len(todo) > 1 else nullcontext(each_here)


def begin_table(root: Root, description: Mapping[str, Any]) -> Store:
    """The table as a store of parts: a new one, or the one that is there if it was planned from the same things.

    A plan of which nothing was made binds nobody.
    """
    table, parts = Store(root, FOLDER), part_numbers(root)
    if root.exists(TABLE_PLAN) and (parts or table.ledger.done()):
        table.check(table_description(root), description)
    elif parts:
        why = "holds parts of a table, and nothing says of which."
        raise BadInput(root.path(FOLDER), why, "Move it away, or choose another [store] root.")
    else:
        table.ledger.clear()
        describe_again(root, description)
    return table


def harmonise_part(job: Harmonising, number: int) -> dict[str, Any]:
    """Read, mend and classify some features, write them as a part and commit its record."""
    began = time.monotonic()
    chunk = read_chunk(job.source, number * job.part, job.part)
    mended = mend(chunk.shapes, job.source.crs, job.crs)
    fault = np.where(_of_another_year(chunk, job.year), OTHER_YEAR, mended.fault)
    kept = fault == SOUND
    found = job.crosswalk.harmonise(chunk.codes[kept], chunk.names[kept])
    rows = Rows(
        crs=job.crs,
        parcel=_ids(job.source, chunk.numbers[kept]),
        crop=found.classes,
        status=found.status,
        code=chunk.codes[kept],
        name=chunk.names[kept],
        hcat=found.hcat,
        year=chunk.years[kept],
        hectares=hectares(mended.shapes[kept], job.crs),
        declared=chunk.areas[kept],
        repaired=mended.repaired[kept],
        narrow=mended.narrow[kept],
        inside=_inside(mended.shapes[kept], job.region),
        outline=outlines(mended.shapes[kept]),
        geometry=mended.shapes[kept],
    )
    check_latest(job.root, job.described)
    write_part(job.root, number, rows)
    record = {**dropped(chunk.numbers, fault), **kept_rows(rows), "seconds": round(time.monotonic() - began, 3)}
    Store(job.root, FOLDER).ledger.commit(_unit(number), record)
    return record


def scratch(plan: Plan) -> Path:
    """Where archives are unpacked: beside the stores, or with the downloads where those lie in a bucket."""
    if plan.root.is_local:
        return Path(plan.root.path("downloads"), "unpacked")
    return Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"), "furrow", "unpacked")


def describe_table(plan: Plan, source: Source) -> dict[str, Any]:
    """What the rows of the table follow from."""
    return {
        "store": "parcels",
        "crs": plan.grid_description["crs"],
        "region": plan.grid_description["region"],
        "crosswalk": plan.crosswalk.identity,
        "year": plan.project.labels.year,
        **describe_source(source),
    }


def describe_source(source: Source) -> dict[str, Any]:
    """What the rows of a table owe to its file and to how that is read."""
    return {
        "file": {"name": source.path.name, "sha256": digest_of(source.path)},
        "layer": source.layer,
        "file_crs": source.crs,
        "columns": {"code": source.code, "name": source.name, "year": source.year, "area": source.area},
        "kind": source.kind,
        "year_named": declared_year(source),
        "part": PART,
    }


def digest_of(path: Path) -> str:
    """Of a parcel file with all that belongs to it: a shapefile's columns, an archive's further volumes."""
    digest = hashlib.sha256()
    for file in _files_of(path):
        with file.open("rb") as stream:
            digest.update(hashlib.file_digest(stream, "sha256").digest())
    return digest.hexdigest()


def _files_of(path: Path) -> list[Path]:
    whole = next((place for place in (path, *path.parents) if place.exists()), path)  # a name may lead into an archive
    if whole.is_dir():
        return sorted(file for file in whole.rglob("*") if file.is_file())
    if whole.suffix.lower() == ".shp" or whole.suffix[1:].isdigit():
        return sorted(file for file in whole.parent.iterdir() if file.is_file() and file.stem == whole.stem)
    return [whole]


def _workers_here(plan: Plan) -> int:
    """A run's own workers, which it keeps for the tiles; beside a cluster's, the cores of this machine."""
    return (os.cpu_count() or 1) if plan.project.compute.address else plan.workers


def _unit(number: int) -> str:
    return Path(part_key(number)).stem


def _of_another_year(chunk: Chunk, year: int | None) -> NDArray[np.bool_]:
    if year is None:
        return np.zeros(len(chunk.years), dtype=np.bool_)
    return np.asarray((chunk.years != 0) & (chunk.years != year), dtype=np.bool_)


def _ids(source: Source, numbers: NDArray[np.int64]) -> NDArray[np.uint32]:
    if numbers.size and numbers.max() >= 2**32 - 1:
        raise BadInput(f"parcel file {source.path}", "It has more parcels than 32 bits can number.", "Split it.")
    return (numbers + 1).astype(np.uint32)


def _inside(shapes: Objects, region: BaseGeometry | None) -> NDArray[np.bool_]:
    """Whose middle lies in the region; all, where there is no region."""
    if region is None:
        return np.ones(len(shapes), dtype=np.bool_)
    shapely.prepare(region)
    return np.asarray(shapely.contains(region, shapely.point_on_surface(shapes)), dtype=np.bool_)
