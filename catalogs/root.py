"""The store root: one local folder or S3 prefix that holds everything a run makes."""

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any
from uuid import uuid4

import fsspec
from zarr.abc.store import Store
from zarr.storage import FsspecStore, LocalStore

from catalogs.errors import BadInput
from catalogs.http_ranges import read_range


@dataclass(frozen=True)
class Root:
    """Where things are kept. Keys are relative and use '/'; a write is whole or absent."""

    url: str

    @property
    def is_local(self) -> bool:
        return "://" not in self.url

    @cached_property
    def _fs(self) -> Any:
        # Credentials, region and endpoint come from the environment or the usual AWS files, never from us.
        return fsspec.filesystem("file" if self.is_local else self.url.split("://")[0])

    def path(self, key: str = "") -> str:
        return f"{self.url.rstrip('/')}/{key}".rstrip("/")

    def exists(self, key: str) -> bool:
        return bool(self._fs.exists(self.path(key)))

    def read(self, key: str) -> bytes:
        data: bytes = self._fs.cat_file(self.path(key))
        return data

    def read_part(self, key: str, start: int, end: int | None = None) -> bytes:
        """Some bytes of an object; a negative start counts from its end."""
        if self.url.startswith(("http://", "https://")):
            return read_range(self.path(key), start, end)
        data: bytes = self._fs.cat_file(self.path(key), start=start, end=end)
        return data

    def write(self, key: str, data: bytes) -> None:
        self.write_parts(key, [data])

    def write_parts(self, key: str, parts: Sequence[bytes | bytearray]) -> None:
        """The same, without joining them first where that can be spared."""
        if self.is_local:
            replace_file(Path(self.path(key)), parts, durable=True)
        else:
            self._fs.pipe_file(self.path(key), b"".join(parts))

    def create(self, key: str, data: bytes) -> bool:
        """Write what is not there yet; of several that try at once, one is told that it was the one.

        By a hard link on a disk, by `If-None-Match: *` on S3. There an answer may be lost on the way, and the next try
        finds the object of the one before: who is told that there is one must look whether it is its own.
        """
        if self.is_local:
            return create_file(Path(self.path(key)), data)
        try:
            self._fs.pipe_file(self.path(key), data, mode="create")
        except Exception:  # a failed precondition, a conflict with somebody who creates it just now, no answer
            self._fs.invalidate_cache()
            if self.exists(key):
                return False
            raise
        return True

    def move(self, source: str, target: str) -> bool:
        """Give an object another key; False if it is not there. Several may try: it ends in one place."""
        try:
            if self.is_local:
                Path(self.path(target)).parent.mkdir(parents=True, exist_ok=True)
                os.replace(self.path(source), self.path(target))
            else:
                self._fs.cp_file(self.path(source), self.path(target))
                self._fs.rm_file(self.path(source))
        except FileNotFoundError:
            return False
        return True

    def keys(self, prefix: str) -> Iterator[str]:
        """Every object below `prefix`, in name order."""
        self._fs.invalidate_cache()
        here = self.path()
        if not self.is_local:
            here = here.split("://")[1]
        for found in sorted(self._fs.find(self.path(prefix))):
            yield os.path.relpath(found, here).replace(os.sep, "/")

    def size(self, prefix: str) -> int:
        """Bytes of all objects below `prefix`."""
        self._fs.invalidate_cache()
        return int(self._fs.du(self.path(prefix))) if self.exists(prefix) else 0

    def remove(self, key: str) -> None:
        if self.exists(key):
            self._fs.rm(self.path(key), recursive=True)

    def zarr(self, key: str) -> Store:
        if self.is_local:
            return LocalStore(self.path(key))
        return FsspecStore.from_url(self.path(key))

    def check_writable(self) -> None:
        """Refuse at once what would fail after hours; a folder that is not there yet is not made by asking."""
        here = Path(self.url)
        new = [path for path in (here, *here.parents) if not os.path.lexists(path)] if self.is_local else []
        with self._usable("written"):
            self.write(".probe", b"furrow")
            self.remove(".probe")
        for path in new:
            with suppress(OSError):  # somebody else has begun to use it
                path.rmdir()

    def check_readable(self) -> None:
        """Refuse a root that cannot be looked into; one that is not there yet is empty."""
        with self._usable("read"):
            self.exists(".probe")

    @contextmanager
    def _usable(self, how: str) -> Iterator[None]:
        try:
            yield
        except Exception as error:  # OSError, or an error of botocore, which s3fs lets through as it is
            remedy = "Choose another folder in [store] root, change its permissions, or free some space."
            if not self.is_local:
                remedy = "Check the bucket's name, the network, and the credentials (AWS_PROFILE or AWS_ACCESS_KEY_ID)."
            why = str(getattr(error, "strerror", None) or error)[:200]
            raise BadInput(f"store root {self.url}", f"cannot be {how} ({why}).", remedy) from error


def replace_file(path: Path, parts: Iterable[bytes | bytearray], durable: bool = False) -> None:
    """Write a file whole or not at all; `durable` waits until the disk has it."""
    with _written_beside(path, parts, durable) as temporary:
        os.replace(temporary, path)


def create_file(path: Path, data: bytes) -> bool:
    """Write a file whole where there is none; False where there is one."""
    with _written_beside(path, [data], durable=True) as temporary:
        try:
            os.link(temporary, path)
        except FileExistsError:
            return False
    return True


@contextmanager
def _written_beside(path: Path, parts: Iterable[bytes | bytearray], durable: bool) -> Iterator[Path]:
    """A whole file under a name that nobody else has, to be given its own; what is left of it goes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{path.name}.{uuid4().hex}.partial")
    try:
        with temporary.open("xb") as file:
            file.writelines(parts)
            file.flush()
            if durable:
                os.fsync(file.fileno())
        yield temporary
    finally:
        temporary.unlink(missing_ok=True)
