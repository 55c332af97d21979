"""Bringing a parcel file that lies on the web to this machine, once."""

import hashlib
import os
import shutil
import tempfile
from pathlib import Path
from typing import IO
from urllib.error import URLError
from urllib.parse import urlparse
from urllib.request import urlopen

from catalogs.errors import BadInput
from cluster.progress import Bar, Progress
from pipelines.plan import Plan

BLOCK = 1024**2


def local_copy(plan: Plan, progress: Progress) -> Path:
    """The parcel file on this machine; an address is downloaded whole or not at all, and kept."""
    place = plan.project.labels_file
    if not place.startswith("https://"):
        return Path(place)
    name = Path(urlparse(place).path).name or "parcels"
    target = _cache(plan) / hashlib.sha256(place.encode()).hexdigest()[:12] / name
    if not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        _download(place, target, progress)
    return target


def _cache(plan: Plan) -> Path:
    if plan.root.is_local:
        return Path(plan.root.path("downloads"))
    return Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "furrow"


def _download(address: str, target: Path, progress: Progress) -> None:
    try:
        with (
            urlopen(address, timeout=60) as answer,
            tempfile.NamedTemporaryFile(dir=target.parent, suffix=".partial", delete=False) as file,
        ):
            size = int(answer.headers.get("Content-Length") or 0)
            with progress.stage("download", max(size // BLOCK, 1), "MB") as bar:
                _copy(answer, file, bar)
        if size and Path(file.name).stat().st_size != size:
            raise URLError("the connection ended early")
        shutil.move(file.name, target)
    except OSError as error:
        raise BadInput(
            f"parcel file {address}",
            f"could not be downloaded ({error}).",
            "Check the network, or download it yourself and write its path in [labels] file.",
        ) from error
    finally:
        for leftover in target.parent.glob("*.partial"):
            leftover.unlink()


def _copy(source: IO[bytes], target: IO[bytes], bar: Bar) -> None:
    while block := source.read(BLOCK):
        target.write(block)
        bar.advance()
