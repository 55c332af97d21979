"""Archives that are cut into volumes: which files they are, and those read as one."""

import io
import os
from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate, takewhile
from pathlib import Path
from typing import Any, BinaryIO


def volumes(path: Path) -> list[Path]:
    """The parts of an archive up to the first that is missing; the archive's own sums tell whether that was the end."""
    if not path.name.lower().endswith(".7z.001"):
        return [path]
    parts = (path.with_suffix(f".{number:03d}") for number in range(1, 1000))
    return list(takewhile(Path.is_file, parts))


class Joined(io.RawIOBase):
    """Files one after the other, read as one."""

    def __init__(self, files: Sequence[BinaryIO]) -> None:
        self.files = files
        self.ends = list(accumulate(os.fstat(file.fileno()).st_size for file in files))
        self.place = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = 0) -> int:
        self.place = max(0, offset + (0, self.place, self.ends[-1])[whence])
        return self.place

    def readinto(self, buffer: Any) -> int:
        number = bisect_right(self.ends, self.place)
        if number == len(self.files):
            return 0
        begin = self.ends[number - 1] if number else 0
        self.files[number].seek(self.place - begin)
        block = self.files[number].read(len(buffer))
        buffer[: len(block)] = block
        self.place += len(block)
        return len(block)
