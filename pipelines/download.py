"""Bringing a parcel file that lies on the web to this machine: once, whole, and going on where it was cut off."""

import fcntl
import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import unquote, urlsplit

from catalogs.errors import BadInput
from catalogs.parcels.layers import lock_of
from catalogs.parcels.named import PREFIX, named
from catalogs.patience import Patience
from cluster.progress import Bar, Progress
from pipelines.plan import Plan
from pipelines.transfer import BLOCK, Transfer


def local_copy(plan: Plan, progress: Progress) -> Path:
    """The parcel file on this machine; what is named or has an address is downloaded once, and kept."""
    place = plan.project.labels_file
    known = named(place) if place.startswith(PREFIX) else None
    if known is None and "://" not in place:
        return Path(place)
    address, md5 = (known.address, known.md5) if known else (place, "")
    target = _cache(plan) / hashlib.sha256(address.encode()).hexdigest()[:12] / _file_name(address)
    if not target.exists():
        transfer = Transfer(address, target, Patience())
        size, already = transfer.size(), transfer.already
        with progress.stage("download", max(_blocks(size), 1), "MB", already=_blocks(already)) as bar:
            fetch(address, target, md5, bar)
    return target


def fetch(address: str, target: Path, md5: str, bar: Bar, patience: Patience | None = None) -> None:
    """Download a file to `target`, whole or not at all; what arrived before a cut is kept beside it until then."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with _alone(target):
        if target.exists():
            return
        _check_unexpected(address, target, md5)
        transfer = Transfer(address, target, patience or Patience())
        transfer.run(bar)
        if md5 and (found := _md5(transfer.partial)) != md5:
            os.replace(transfer.partial, _unexpected(target))
            transfer.forget()
            raise _another(address, md5, found, _unexpected(target))
        os.replace(transfer.partial, target)
        transfer.forget()


def _cache(plan: Plan) -> Path:
    if plan.root.is_local:
        return Path(plan.root.path("downloads"))
    return Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "furrow"


def _file_name(address: str) -> str:
    name = unquote(urlsplit(address).path).rsplit("/", 1)[-1]
    return name if name.strip(". ") and "\0" not in name else "parcels"


def _blocks(size: int) -> int:
    return size // BLOCK


def _md5(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "md5").hexdigest()


def _unexpected(target: Path) -> Path:
    """Where a file is kept that is not the one that was expected."""
    return target.with_name(f"{target.stem}.unexpected{target.suffix}")


def _check_unexpected(address: str, target: Path, md5: str) -> None:
    """What came once will come again: do not fetch it another time."""
    kept = _unexpected(target)
    if md5 and kept.exists():
        raise _another(address, md5, _md5(kept), kept)


def _another(address: str, md5: str, found: str, kept: Path) -> BadInput:
    return BadInput(
        f"parcel file {address}",
        f"What was downloaded has the md5 sum {found}, and {md5} is the known one: it is another version, or damaged.",
        f"It is kept as {kept}. If you trust it, write that path: [labels] file = '{kept}'. "
        "To download it anew, remove it.",
    )


@contextmanager
def _alone(target: Path) -> Iterator[None]:
    """One process at a time downloads a file; the others wait, and find it there."""
    with lock_of(target).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
