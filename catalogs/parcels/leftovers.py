"""What a killed process left half made: swept by the next one that makes something in the same folder."""

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PARTIAL = ".partial"
"""How the name of a file or folder ends that is being made."""


@contextmanager
def at_work(folder: Path) -> Iterator[None]:
    """Held while something is made in a folder; whoever finds nobody at work there clears away what lies half made."""
    folder.mkdir(parents=True, exist_ok=True)
    lock = os.open(folder, os.O_RDONLY)  # the folder itself is locked: no file is left behind
    try:
        if _taken(lock, fcntl.LOCK_EX | fcntl.LOCK_NB):
            _sweep(folder)
        _taken(lock, fcntl.LOCK_SH)
        yield
    finally:
        os.close(lock)


def _taken(lock: int, how: int) -> bool:
    """False where others have it, or where the disk knows no locks."""
    try:
        fcntl.flock(lock, how)
    except OSError:
        return False
    return True


def _sweep(folder: Path) -> None:
    for left in folder.glob(f"*{PARTIAL}"):
        if left.is_dir():
            shutil.rmtree(left, ignore_errors=True)
        else:
            left.unlink(missing_ok=True)
