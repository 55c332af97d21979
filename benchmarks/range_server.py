"""A file server that answers ranges as cloud storage does: python range_server.py FOLDER prints its port, serves."""

import os
import re
import sys
from http import HTTPStatus
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import BinaryIO

RANGE = re.compile(r"bytes=(\d*)-(\d*)$")


class Ranges(SimpleHTTPRequestHandler):
    """GET of a whole file or of one range of it, and HEAD; connections stay open."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        path = Path(self.translate_path(self.path))
        if not path.is_file():
            self.send_error(HTTPStatus.NOT_FOUND)
            return
        with path.open("rb") as file:
            self._answer(file, os.fstat(file.fileno()).st_size)

    def _answer(self, file: BinaryIO, size: int) -> None:
        asked = RANGE.match(self.headers.get("Range", ""))
        first, last = _asked(asked, size) if asked else (0, size - 1)
        if first > last:
            self.send_error(HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE)
            return
        self.send_response(HTTPStatus.PARTIAL_CONTENT if asked else HTTPStatus.OK)
        self.send_header("Content-Type", "image/tiff")
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("Content-Length", str(last - first + 1))
        if asked:
            self.send_header("Content-Range", f"bytes {first}-{last}/{size}")
        self.end_headers()
        self.connection.sendfile(file, first, last - first + 1)

    def log_message(self, format: str, *values: object) -> None:
        """A line for each request would take time from those who are measured."""


def _asked(asked: re.Match[str], size: int) -> tuple[int, int]:
    """First and last byte; without a first one, as many bytes as are asked for from the end."""
    if not asked[1]:
        return max(size - int(asked[2]), 0), size - 1
    return int(asked[1]), min(int(asked[2] or size - 1), size - 1)


def main(handler: type[Ranges] = Ranges) -> None:
    folder = sys.argv[1]
    server = ThreadingHTTPServer(("127.0.0.1", 0), lambda *given: handler(*given, directory=folder))
    server.daemon_threads = True
    print(server.server_port, flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
