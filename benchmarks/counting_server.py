"""range_server.py that counts: python counting_server.py FOLDER [MS]; GET /.counts tells requests and bytes since then.

Each answer is held back for so many milliseconds, as it is on the way from another place.
"""

import json
import sys
import threading
import time
from typing import BinaryIO

from range_server import Ranges, main

COUNTS = "/.counts"
_lock = threading.Lock()
_seen = {"requests": 0, "bytes": 0}


class Counted(Ranges):
    """Every answer counts, also that something is not there; asking for the counts does not."""

    wait = 0.0
    """Seconds."""

    def do_GET(self) -> None:
        if self.path == COUNTS:
            self._tell()
            return
        _add(requests=1)
        time.sleep(self.wait)
        super().do_GET()

    def do_HEAD(self) -> None:
        _add(requests=1)
        time.sleep(self.wait)
        super().do_HEAD()

    def _answer(self, file: BinaryIO, size: int) -> None:
        super()._answer(file, size)
        _add(bytes=self.sent)

    def send_header(self, keyword: str, value: str) -> None:
        if keyword == "Content-Length":
            self.sent = int(value)
        super().send_header(keyword, value)

    def _tell(self) -> None:
        with _lock:
            told = json.dumps(_seen).encode()
            _seen.update(requests=0, bytes=0)
        self.send_response(200)
        self.send_header("Content-Length", str(len(told)))
        self.end_headers()
        self.wfile.write(told)


def _add(**more: int) -> None:
    with _lock:
        for name, number in more.items():
            _seen[name] += number


if __name__ == "__main__":
    Counted.wait = float(sys.argv[2]) / 1000 if sys.argv[2:] else 0.0
    main(Counted)
