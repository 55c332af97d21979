"""Reading zip and 7z archives member by member, measuring what comes out."""

import io
import stat
import threading
import zipfile
from abc import ABC, abstractmethod
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

import py7zr
from py7zr.io import Py7zIO, WriterFactory

from catalogs.parcels.volumes import Joined, volumes

BLOCK = 1024**2

MEMBERS = 10_000
TOTAL = 64 * 1024**3
"""Bytes that are unpacked at most: several times the largest country."""
RATIO, SMALL = 200, 10_000_000
"""Bytes that one packed byte may give, once there are more than a few; tables full of blanks give 100."""


class TooMuch(Exception):
    """The archive gives more than a file of parcels could."""


@dataclass(frozen=True)
class Member:
    name: str
    """with / between folders, whatever packed it"""
    packed: int
    """bytes in the archive; where many are packed as one, those of all"""
    is_folder: bool
    is_link: bool
    is_encrypted: bool


class Meter:
    """Counts what is unpacked, from all members and from each."""

    def __init__(self, archive_bytes: int) -> None:
        self.archive_bytes, self.total = archive_bytes, 0
        self.lock = threading.Lock()

    def count(self, member: Member, so_far: int, more: int) -> None:
        with self.lock:
            self.total += more
        if self.total > TOTAL:
            raise TooMuch(f"It unpacks to more than {TOTAL / 1024**3:.0f} GB.")
        if so_far + more > max(SMALL, RATIO * member.packed):
            raise TooMuch(f"{member.name!r} in it unpacks to more than {RATIO} times its packed size, as zip bombs do.")


class Packed(ABC):
    """An open archive."""

    members: list[Member]
    size: int
    """bytes of the archive, all volumes"""

    @abstractmethod
    def unpack(self, wanted: Mapping[str, Path], meter: Meter) -> None:
        """Write members to new files."""

    @abstractmethod
    def close(self) -> None: ...

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


def open_packed(path: Path, kind: str) -> Packed:
    return Zip(path) if kind == "zip" else Seven(path)


class Zip(Packed):
    def __init__(self, path: Path) -> None:
        self.file = zipfile.ZipFile(path)
        self.size = path.stat().st_size
        self.by_name = {_slashes(info.filename): info for info in self.file.infolist()}
        self.members = [
            Member(
                _slashes(info.filename),
                info.compress_size,
                info.is_dir(),
                stat.S_ISLNK(info.external_attr >> 16),
                bool(info.flag_bits & 1),
            )
            for info in self.file.infolist()
        ]

    def unpack(self, wanted: Mapping[str, Path], meter: Meter) -> None:
        by_name = {member.name: member for member in self.members}
        for name, target in wanted.items():
            with self.file.open(self.by_name[name]) as source, target.open("xb") as out:
                _copy(source, out, by_name[name], meter)

    def close(self) -> None:
        self.file.close()


class Seven(Packed):
    """Also one that is cut into volumes: .7z.001, .7z.002 and so on beside each other."""

    def __init__(self, path: Path) -> None:
        self.open = ExitStack()
        try:
            parts = volumes(path)
            self.size = sum(part.stat().st_size for part in parts)
            # a stream, not a path, which py7zr would read with threads
            files = [self.open.enter_context(part.open("rb")) for part in parts]
            self.file = self.open.enter_context(py7zr.SevenZipFile(io.BufferedReader(Joined(files)), "r"))
            locked = self.file.needs_password()
            self.members = [
                Member(
                    _slashes(info.filename),
                    self.size,
                    info.is_directory,
                    bool(info.is_symlink or info.is_junction or info.is_socket),
                    locked,
                )
                for info in self.file.files
            ]
            self.names = {_slashes(info.filename): info.filename for info in self.file.files}
        except BaseException:
            self.open.close()
            raise

    def unpack(self, wanted: Mapping[str, Path], meter: Meter) -> None:
        by_name = {member.name: member for member in self.members}
        originals = {self.names[name]: (by_name[name], target) for name, target in wanted.items()}
        with ExitStack() as files:
            factory = _Writers(originals, meter, files)
            self.file.extract(targets=list(originals), factory=factory)
        if factory.made != len(originals):
            raise zipfile.BadZipFile("a member is missing")

    def close(self) -> None:
        self.open.close()


class _Writers(WriterFactory):
    """What py7zr asks for a place to write each member to; it asks by name, with a folder of its own before it."""

    def __init__(self, wanted: Mapping[str, tuple[Member, Path]], meter: Meter, files: ExitStack) -> None:
        self.wanted, self.meter, self.files, self.made = wanted, meter, files, 0

    def create(self, filename: str) -> Py7zIO:
        member, target = next(found for name, found in self.wanted.items() if filename.endswith(_slashes(name)))
        self.made += 1
        return _Writer(self.files.enter_context(target.open("x+b")), member, self.meter)


class _Writer(Py7zIO):
    def __init__(self, out: IO[bytes], member: Member, meter: Meter) -> None:
        self.out, self.member, self.meter, self.written = out, member, meter, 0

    def write(self, s: bytes | bytearray) -> int:
        self.meter.count(self.member, self.written, len(s))
        self.written += len(s)
        return self.out.write(s)

    def read(self, size: int | None = None) -> bytes:
        return self.out.read(-1 if size is None else size)

    def seek(self, offset: int, whence: int = 0) -> int:
        return self.out.seek(offset, whence)

    def flush(self) -> None:
        self.out.flush()

    def size(self) -> int:
        return self.written


def _copy(source: IO[bytes], out: IO[bytes], member: Member, meter: Meter) -> None:
    done = 0
    while block := source.read(BLOCK):
        meter.count(member, done, len(block))
        out.write(block)
        done += len(block)


def _slashes(name: Any) -> str:
    return str(name).replace("\\", "/")
