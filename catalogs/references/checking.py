"""The front door of the checks: tells which dataset a folder holds, and lists what there is to do about it."""

from dataclasses import dataclass, field
from pathlib import Path

from catalogs.errors import BadInput
from catalogs.references.checking_archives import archive_steps
from catalogs.references.checking_dacia5 import dacia5_steps
from catalogs.references.checking_pastis import pastis_steps
from catalogs.references.dacia5_layout import IMAGES, find_dacia5
from catalogs.references.findings import Check, Step
from catalogs.references.pastis import METADATA, find_pastis
from catalogs.references.published import (
    Archive,
    Dacia5Counts,
    PastisCounts,
    archives,
    dacia5_counts,
    pastis_counts,
)


@dataclass(frozen=True)
class Published:
    """What downloads are held against."""

    pastis: PastisCounts = field(default_factory=pastis_counts)
    dacia5: Dacia5Counts = field(default_factory=dacia5_counts)
    archives: dict[str, Archive] = field(default_factory=archives)


def begin(place: Path, quick: bool, published: Published | None = None) -> Check:
    """A check of an unpacked folder with the archives that lie in it, or of a single archive."""
    published = published or Published()
    if place.is_file():
        return _of_archive(place, quick, published)
    pastis, dacia5 = find_pastis(place), find_dacia5(place)
    if pastis and dacia5:
        raise BadInput(f"folder {place}", "It holds both PASTIS and DACIA5.", f"Give one: {pastis} or {dacia5}.")
    beside = _archives_in(place, quick, published)
    if pastis:
        return Check("PASTIS", str(pastis), (*pastis_steps(pastis, quick, published.pastis), *beside))
    if dacia5:
        return Check("DACIA5", str(dacia5), (*dacia5_steps(dacia5, quick, published.dacia5), *beside))
    raise BadInput(
        f"folder {place}",
        f"It holds neither PASTIS ({METADATA}) nor DACIA5 ({IMAGES})." if place.is_dir() else "It is not there.",
        "Give the folder into which the archive was unpacked, or the archive itself.",
    )


def _of_archive(place: Path, quick: bool, published: Published) -> Check:
    archive = published.archives.get(place.name)
    if archive is None:
        known = ", ".join(published.archives)
        raise BadInput(f"file {place}", "Its name is none of the published archives.", f"Give one of {known}.")
    return Check(archive.dataset, str(place), tuple(archive_steps(place, archive, quick)))


def _archives_in(place: Path, quick: bool, published: Published) -> list[Step]:
    there = [(place / name, archive) for name, archive in published.archives.items() if (place / name).is_file()]
    return [step for path, archive in there for step in archive_steps(path, archive, quick)]
