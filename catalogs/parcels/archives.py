"""Archives of parcel files: what lies in one, which dataset is meant, and that one unpacked once, within limits."""

import hashlib
import re
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from py7zr.exceptions import PasswordRequired, UnsupportedCompressionMethodError

from catalogs.errors import BadInput
from catalogs.parcels.leftovers import PARTIAL, at_work
from catalogs.parcels.unpacking import MEMBERS, Meter, Packed, TooMuch, open_packed

DATASETS = (".shp", ".gpkg", ".gml", ".fgb", ".geojson", ".parquet", ".geoparquet", ".pq")
"""What a file of parcels is called inside an archive."""
BESIDE = {
    ".shp": (".dbf", ".shx", ".prj", ".cpg"),
    ".gml": (".xsd",),
}
"""What belongs to such a file and is unpacked with it."""

ZIP, SEVEN = (b"PK\x03\x04", b"PK\x05\x06"), b"7z\xbc\xaf\x27\x1c"
OTHERS = {b"Rar!": "rar", b"\x1f\x8b": "gzip", b"BZh": "bzip2", b"\xfd7zXZ": "xz", b"\x28\xb5\x2f\xfd": "zstandard"}
NAMES = re.compile(r"\.(zip|7z|7z\.\d{3})$", re.IGNORECASE)


@dataclass(frozen=True)
class Place:
    """A file as a user names it: the file on disk, and what is meant inside it if that is an archive."""

    given: Path
    file: Path
    kind: str
    """`zip`, `7z`, or "" for a file that is no archive"""
    inner: str


def place_of(path: Path) -> Place:
    """Where a path leads that may go on into an archive, as `parcels.zip/folder/parcels.shp`."""
    file = next((part for part in (path, *path.parents) if part.is_file()), None)
    if file is None:
        why = "It is a folder." if path.is_dir() else "There is no such file."
        raise BadInput(f"parcel file {path}", why, "Write the path of the file itself; of a shapefile, the .shp.")
    kind = _kind(path, file)
    inner = "" if file == path else path.relative_to(file).as_posix()
    if inner and not kind:
        raise BadInput(f"parcel file {path}", f"{file.name} is no archive.", "Check the path.")
    return Place(path, file, kind, inner)


def _kind(path: Path, file: Path) -> str:
    try:
        with file.open("rb") as stream:
            head = stream.read(6)
    except OSError as error:
        why = f"It cannot be read ({error.strerror})."
        raise BadInput(f"parcel file {path}", why, "Check who may read it.") from error
    if head.startswith(ZIP):
        return "zip"
    if head == SEVEN:
        return "7z"
    packer = next((name for magic, name in OTHERS.items() if head.startswith(magic)), None)
    if packer:
        raise BadInput(f"parcel file {path}", f"It is packed by {packer}.", "Unpack it, and give what was inside.")
    if re.search(r"\.7z\.\d{3}$", file.name.lower()) and not file.name.endswith(".001"):
        raise BadInput(f"parcel file {path}", "It is a later part of an archive.", "Give the first part, .7z.001.")
    if NAMES.search(file.name):
        raise _damaged(path)
    return ""


def unpacked(place: Place, scratch: Path) -> tuple[Path, str]:
    """The dataset that is meant, on disk below `scratch`, and its path in the archive; unpacked before, it is kept."""
    with _whole(place), open_packed(place.file, place.kind) as packed:
        _check_members(place, packed)
        dataset = _chosen(place, packed)
        wanted = _with_companions(dataset, [m.name for m in packed.members if not m.is_folder])
        _check_single(place, packed, wanted)
        target = scratch / "unpacked" / _folder(place.file, packed.size, dataset)
        if not target.is_dir():
            _unpack(packed, wanted, target)
    return target / wanted[dataset], dataset


class _whole:
    """Turns what a damaged archive or a full disk raises into an error that says so."""

    def __init__(self, place: Place) -> None:
        self.place = place

    def __enter__(self) -> None: ...

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if error is None or isinstance(error, BadInput) or not isinstance(error, Exception):
            return
        if isinstance(error, PasswordRequired):
            why = "It is locked by a password."
            raise BadInput(f"parcel file {self.place.given}", why, "Unpack it, and give what was inside.") from error
        if isinstance(error, TooMuch):
            remedy = "Do not trust it: get it from its source again, or unpack it yourself and give what was inside."
            raise BadInput(f"parcel file {self.place.given}", str(error), remedy) from error
        if isinstance(error, NotImplementedError | UnsupportedCompressionMethodError):
            why = "It is packed by a method that cannot be read here."
            raise BadInput(f"parcel file {self.place.given}", why, "Unpack it, and give what was inside.") from error
        if isinstance(error, OSError) and error.strerror:
            why = f"It cannot be unpacked ({error.strerror})."
            raise BadInput(f"parcel file {self.place.given}", why, "Check the disk and who may read it.") from error
        raise _damaged(self.place.given) from error


def _damaged(path: Path) -> BadInput:
    parts = ", and put all its parts (.7z.001, .7z.002 and so on) beside each other" if path.suffix == ".001" else ""
    return BadInput(f"parcel file {path}", "It is not a whole zip or 7z archive.", f"Download it again{parts}.")


def _check_members(place: Place, packed: Packed) -> None:
    """Refuse an archive that would write elsewhere than where it is unpacked, whatever of it is wanted."""
    if len(packed.members) > MEMBERS:
        _refuse(place, f"It holds {len(packed.members):,} files; {MEMBERS:,} are the most.")
    for member in packed.members:
        if _leads_out(member.name):
            _refuse(place, f"It holds a file that would lie outside of it: {member.name!r}.")
        if member.is_link:
            _refuse(place, f"It holds a link: {member.name!r}.")
    if any(member.is_encrypted for member in packed.members):
        _refuse(place, "It is locked by a password.", "Unpack it yourself, and give what was inside.")


def _check_single(place: Place, packed: Packed, wanted: Iterable[str]) -> None:
    """Of two members with one name there is no telling which is meant."""
    times = Counter(member.name for member in packed.members)
    twice = next((name for name in wanted if times[name] > 1), None)
    if twice:
        _refuse(place, f"It holds {twice!r} more than once.", "Unpack it yourself, and give what was inside.")


def _leads_out(name: str) -> bool:
    return name.startswith("/") or ":" in name.split("/")[0] or ".." in name.split("/") or "\0" in name


def _refuse(place: Place, why: str, remedy: str = "Get it from its source again.") -> None:
    raise BadInput(f"parcel file {place.given}", why, remedy)


def _chosen(place: Place, packed: Packed) -> str:
    """The one file of parcels, or the one that the path names."""
    names = sorted({m.name for m in packed.members if not m.is_folder and not _shadow(m.name)})
    datasets = [name for name in names if name.lower().endswith(DATASETS)]
    if place.inner:
        found = [name for name in datasets if name == place.inner] or [
            name for name in datasets if name.lower() == place.inner.lower()
        ]
        if len(found) == 1:
            return found[0]
        why = f"There is no {place.inner!r} in {place.file.name}." + (
            f" It holds {_some(datasets)}." if datasets else ""
        )
        raise BadInput(f"parcel file {place.given}", why, "Name one of the files in it.")
    if len(datasets) == 1:
        return datasets[0]
    if datasets:
        why, remedy = f"It holds several files of parcels: {_some(datasets)}.", f"{place.file}/{datasets[0]}"
        raise BadInput(f"parcel file {place.given}", why, f"Name the one to read, for example {remedy!r}.")
    nested = [name for name in names if NAMES.search(name)]
    if nested:
        why = f"It holds archives: {_some(nested)}."
        raise BadInput(f"parcel file {place.given}", why, "Unpack it, and give one of the files that were inside.")
    why = f"It holds no file of parcels ({', '.join(DATASETS)}), but {_some(names)}."
    raise BadInput(f"parcel file {place.given}", why, "Check that it is the right download.")


def _shadow(name: str) -> bool:
    """Macintosh zips hold a shadow of every file."""
    return name.startswith("__MACOSX/") or PurePosixPath(name).name.startswith("._")


def _some(names: Sequence[str]) -> str:
    """Names as they were packed may hold anything: signs that a terminal obeys, too."""
    return (", ".join(map(repr, names[:8])) or "nothing") + (f" and {len(names) - 8} more" if len(names) > 8 else "")


def _with_companions(dataset: str, names: Sequence[str]) -> dict[str, str]:
    """Members to unpack, and the name that each gets: that of the dataset, its ending in small letters.

    Of names that differ only in case, those in the dataset's own case go first.
    """
    path = PurePosixPath(dataset)
    stem, endings = str(path.with_suffix("")).lower(), BESIDE.get(path.suffix.lower(), ())
    wanted = {dataset: path.stem + path.suffix.lower()}
    for name in sorted(names, key=lambda name: PurePosixPath(name).with_suffix("") != path.with_suffix("")):
        ending = PurePosixPath(name).suffix.lower()
        belongs = ending in endings and str(PurePosixPath(name).with_suffix("")).lower() == stem
        if belongs and (name in wanted or path.stem + ending not in wanted.values()):
            wanted[name] = path.stem + ending
    return wanted


def _folder(archive: Path, size: int, dataset: str) -> str:
    """A name for the unpacked dataset: another one as soon as the archive is another."""
    told = f"{archive.resolve()}|{size}|{archive.stat().st_mtime_ns}|{dataset}"
    return f"{archive.name.split('.')[0][:40]}-{hashlib.sha256(told.encode()).hexdigest()[:12]}"


def _unpack(packed: Packed, wanted: dict[str, str], target: Path) -> None:
    """Whole or not at all; of two that unpack the same at once, the first one's is kept."""
    with at_work(target.parent):
        partial = Path(tempfile.mkdtemp(dir=target.parent, prefix=f"{target.name}.", suffix=PARTIAL))
        try:
            packed.unpack({name: partial / here for name, here in wanted.items()}, Meter(packed.size))
            partial.chmod(0o755)
            partial.replace(target)
        except OSError:
            if not target.is_dir():
                raise
        finally:
            shutil.rmtree(partial, ignore_errors=True)
