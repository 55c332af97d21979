"""Files and folders of a download: plain ones only, since a link could lead anywhere and a pipe would never end."""

import os
import re
import stat
from collections.abc import Callable
from pathlib import Path

from catalogs.errors import BadInput

AGAIN = "Unpack the archive again; `furrow references check` tells what else is wrong."


def plain_file(path: Path) -> Path:
    """The same path, if a file and nothing else lies there."""
    return _plain(path, stat.S_ISREG, "file")


def plain_folder(path: Path) -> Path:
    """The same path, if a folder and nothing else lies there."""
    return _plain(path, stat.S_ISDIR, "folder")


def below(root: Path, relative: str) -> Path:
    """A place in the download, no folder on the way to it being a link."""
    place = root
    for name in Path(relative).parts:
        if place.is_symlink() and place != root:
            plain_folder(place)
        place /= name
    return place


def there(path: Path) -> bool:
    """Whether anything has that name, be it a link that leads nowhere."""
    return os.path.lexists(path)


def files_in(folder: Path, name: re.Pattern[str]) -> dict[str, Path]:
    """What the first group of the pattern finds in a name -> path, in the order of the names; links are in it too."""
    if not there(folder):
        return {}
    found = ((name.fullmatch(path.name), path) for path in sorted(plain_folder(folder).iterdir()))
    return {match[1]: path for match, path in found if match}


def _plain(path: Path, is_kind: Callable[[int], bool], kind: str) -> Path:
    try:
        mode = path.lstat().st_mode
    except (FileNotFoundError, NotADirectoryError) as error:
        raise BadInput(f"{kind} {path}", "It is not there.", AGAIN) from error
    if stat.S_ISLNK(mode):
        raise BadInput(f"{kind} {path}", "It is a link, which could lead anywhere.", f"Put the {kind} itself there.")
    if not is_kind(mode):
        raise BadInput(f"{kind} {path}", f"It is not a {kind}.", AGAIN)
    return path
