"""Whether a downloaded archive is the published one, by its size and its MD5 digest."""

from dataclasses import dataclass, field
from functools import partial
from hashlib import md5
from pathlib import Path
from typing import Any

from catalogs.references.findings import Findings, Step
from catalogs.references.places import plain_file
from catalogs.references.published import Archive

PIECE = 256 * 1024**2
"""Bytes of a step."""


def archive_steps(path: Path, archive: Archive, quick: bool) -> list[Step]:
    """The size only, if it has to be quick."""
    reading = _Reading(path, archive)
    pieces = [] if quick else [partial(reading.piece, at) for at in range(0, _size(path), PIECE)]
    return [reading.size, *pieces, *([] if quick else [reading.digest])]


@dataclass
class _Reading:
    path: Path
    archive: Archive
    state: Any = field(default_factory=lambda: md5(usedforsecurity=False))

    def size(self, findings: Findings) -> None:
        with findings.noting_damage():
            found, published = plain_file(self.path).stat().st_size, self.archive.bytes
            if published not in (None, found):
                findings.damaged.append(f"archive {self.path}: It has {found} bytes, published were {published}.")

    def piece(self, at: int, findings: Findings) -> None:
        with findings.noting_damage(), plain_file(self.path).open("rb") as file:
            file.seek(at)
            self.state.update(file.read(PIECE))

    def digest(self, findings: Findings) -> None:
        found = self.state.hexdigest()
        if found == self.archive.md5:
            findings.notes.append(f"{self.path.name} is the archive of {self.archive.address}")
        else:
            findings.damaged.append(f"archive {self.path}: Its MD5 is {found}, published was {self.archive.md5}.")


def _size(path: Path) -> int:
    return path.lstat().st_size if path.is_file() and not path.is_symlink() else 0
