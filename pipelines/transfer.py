"""One file over HTTP: asked for again after each cut, from where it broke off if the server still has the same file."""

import json
import os
import random
import re
import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests

from catalogs.errors import BadInput
from catalogs.patience import Patience
from cluster.progress import Bar

BLOCK = 1024**2
"""Bytes of a step of the bar."""
PIECE = 64 * 1024
"""Bytes that are asked of a connection at once: what is less when it breaks is lost."""

PASSING = (429, 500, 502, 503, 504)
"""Statuses of a server that is busy."""

FAILURES = (requests.RequestException, TimeoutError)

REMEDY = "Check the network, or download it yourself and write its path: [labels] file = path."


class Busy(Exception):
    """The server asks to come back later."""

    def __init__(self, answer: requests.Response) -> None:
        super().__init__(f"the server answers {answer.status_code} {answer.reason}")
        wait = answer.headers.get("Retry-After", "")
        self.wait = float(wait) if wait.isdigit() else 0.0


@dataclass
class Transfer:
    """What has arrived lies in `partial`, and what the server said of the file in `notes`."""

    address: str
    target: Path
    patience: Patience
    shown: int = 0
    """megabytes that the bar has been told of"""

    @property
    def partial(self) -> Path:
        return self.target.with_name(f"{self.target.name}.partial")

    @property
    def notes(self) -> Path:
        return self.target.with_name(f"{self.target.name}.partial.json")

    @property
    def already(self) -> int:
        """Bytes that need not be asked for again."""
        return self.partial.stat().st_size if self.partial.exists() and self._mark() else 0

    def forget(self) -> None:
        self.notes.unlink(missing_ok=True)

    def size(self) -> int:
        """Bytes of the whole file, 0 if the server does not say: only for the progress bar."""
        try:
            answer = requests.head(self.address, timeout=self.patience.timeout, allow_redirects=True, headers=PLAIN)
            return int(answer.headers.get("Content-Length", 0)) if answer.ok else 0
        except (*FAILURES, ValueError):
            return 0

    def run(self, bar: Bar) -> None:
        """Fetch until it is whole; tries count from the last one that brought something."""
        tries, arrived = 0, self.already
        self.shown = arrived // BLOCK
        while True:
            try:
                return self._ask(bar)
            except (*FAILURES, Busy) as error:
                if self.already > arrived:
                    tries = 0
                tries, arrived = tries + 1, self.already
                if tries >= self.patience.tries:
                    raise self._failed(error) from error
                self._pause(error, tries)
            except OSError as error:
                why = f"It cannot be written to {self.partial.parent} ({error.strerror or error})."
                raise BadInput(
                    f"parcel file {self.address}", why, "Free some space, or check who may write."
                ) from error

    def _pause(self, error: Exception, tries: int) -> None:
        asked = error.wait if isinstance(error, Busy) else 0.0
        own = self.patience.pause * 2 ** (tries - 1) * random.uniform(0.5, 1)
        time.sleep(min(max(asked, own), self.patience.longest))

    def _failed(self, error: Exception) -> BadInput:
        if isinstance(error, requests.exceptions.SSLError):
            why = "its server could not prove who it is"
        elif isinstance(error, requests.ConnectionError) and not self.already:
            why = "its server cannot be reached"
        elif isinstance(error, requests.Timeout):
            why = "its server does not answer"
        else:
            why = str(error)[:200]
        kept = f" What has arrived ({self.already / 1e6:.0f} MB) is kept." if self.already else ""
        return BadInput(f"parcel file {self.address}", f"could not be downloaded: {why}.{kept}", REMEDY)

    def _ask(self, bar: Bar) -> None:
        """One request for all that is still missing."""
        begin, headers = self.already, dict(PLAIN)
        if begin:
            headers |= {"Range": f"bytes={begin}-", "If-Range": self._mark()}
        with requests.get(self.address, timeout=self.patience.timeout, stream=True, headers=headers) as answer:
            self._check(answer)
            if answer.status_code == 416 and answer.headers.get("Content-Range", "").endswith(f"/{begin}"):
                return  # nothing is missing
            begin = self._begin(answer, begin)
            self._check_room(answer)
            with self.partial.open("r+b" if begin else "wb") as out:
                out.truncate(begin)
                out.seek(begin)
                self._copy(answer, out, begin, bar)

    def _check(self, answer: requests.Response) -> None:
        if self.address.startswith("https:") and any(not hop.url.startswith("https:") for hop in _hops(answer)):
            why = "Its server leads on to an address without https, which anybody on the way can change."
            raise BadInput(f"parcel file {self.address}", why, REMEDY)
        if answer.status_code in PASSING:
            raise Busy(answer)
        if answer.status_code not in (200, 206, 416):
            why = f"Its server answers {answer.status_code} {answer.reason}."
            raise BadInput(f"parcel file {self.address}", why, "Check the address, or download the file yourself.")

    def _begin(self, answer: requests.Response, asked: int) -> int:
        """The byte from which on this answer is: what was asked for, or 0 if the file is no longer the same."""
        if answer.status_code in (206, 416):
            told = re.match(r"bytes (\d+)-", answer.headers.get("Content-Range", ""))
            if told and int(told[1]) == asked:
                return asked
            self.partial.unlink(missing_ok=True)
            raise requests.ConnectionError("the server sent another part than it was asked for")
        mark = {"etag": answer.headers.get("ETag", ""), "modified": answer.headers.get("Last-Modified", "")}
        self.partial.unlink(missing_ok=True)
        self.notes.write_text(json.dumps({"address": self.address, **mark}), encoding="utf-8")
        return 0

    def _check_room(self, answer: requests.Response) -> None:
        need, free = int(answer.headers.get("Content-Length") or 0), shutil.disk_usage(self.partial.parent).free
        if need > free:
            why = f"It needs {need / 1e9:.1f} GB, and {free / 1e9:.1f} GB are free in {self.partial.parent}."
            raise BadInput(f"parcel file {self.address}", why, "Free some space, or choose another [store] root.")

    def _copy(self, answer: requests.Response, out: Any, done: int, bar: Bar) -> None:
        for block in answer.iter_content(PIECE):
            out.write(block)
            done += len(block)
            if done // BLOCK > self.shown:
                bar.advance(done // BLOCK - self.shown)
                self.shown = done // BLOCK
        out.flush()
        os.fsync(out.fileno())

    def _mark(self) -> str:
        """What If-Range takes: a strong ETag, or else the date; empty if the server gave neither: nothing is kept."""
        try:
            told = json.loads(self.notes.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return ""
        if told.get("address") != self.address:
            return ""
        etag = str(told.get("etag", ""))
        return etag if etag.startswith('"') else str(told.get("modified", ""))


PLAIN = {"Accept-Encoding": "identity", "User-Agent": "furrow"}
"""Bytes as they lie on the server, so that their places can be counted."""


def _hops(answer: requests.Response) -> list[requests.Response]:
    return [*answer.history, answer]
