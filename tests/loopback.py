"""A file server that answers ranges, and a proxy that does to requests what networks and clouds do to them."""

import http.client
import re
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

Fault = Callable[["Forwarder"], None]


@contextmanager
def serving(server: ThreadingHTTPServer) -> Iterator[str]:
    """The address of a server that runs in a thread."""
    server.daemon_threads, server.block_on_close = True, False
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class Quiet(BaseHTTPRequestHandler):
    """Connections stay open, as those of real servers do, and nothing is printed."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, *_: object) -> None:
        pass

    def answer(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.send_response(status)
        for name, value in ({"Content-Length": str(len(body))} | headers).items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


def file_server(folder: Path) -> ThreadingHTTPServer:
    """Serves the files below a folder, whole or in ranges."""

    class Files(Quiet):
        def do_GET(self) -> None:
            path = (folder / unquote(urlsplit(self.path).path).lstrip("/")).resolve()
            if not path.is_relative_to(folder.resolve()) or not path.is_file():
                return self.answer(404, {}, b"")
            content, asked = path.read_bytes(), re.fullmatch(r"bytes=(\d*)-(\d*)", self.headers.get("Range", ""))
            if not asked:
                return self.answer(200, {"Accept-Ranges": "bytes"}, content)
            first, last = int(asked[1] or len(content) - int(asked[2])), len(content) - 1
            if asked[1] and asked[2]:
                last = min(int(asked[2]), last)
            if first > last:
                return self.answer(416, {"Content-Range": f"bytes */{len(content)}"}, b"")
            self.answer(206, {"Content-Range": f"bytes {first}-{last}/{len(content)}"}, content[first : last + 1])

        do_HEAD = do_GET

    return ThreadingHTTPServer(("127.0.0.1", 0), Files)


class Proxy(ThreadingHTTPServer):
    """Hands requests on to a server; `faults` are spent on them one by one, None for a request that goes through."""

    def __init__(self, server: str) -> None:
        super().__init__(("127.0.0.1", 0), Forwarder)
        self.behind = urlsplit(server).netloc
        self.faults: deque[Fault | None] = deque()
        self.asked: list[str] = []
        """Method and path of every request, those that met a fault too."""

    def handle_error(self, *_: object) -> None:
        """Clients that hang up are what this is for."""


class Forwarder(Quiet):
    server: Proxy

    def do_GET(self) -> None:
        self.server.asked.append(f"{self.command} {self.path}")
        self.content = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        try:
            fault = self.server.faults.popleft()
        except IndexError:
            fault = None
        (fault or Forwarder.forward)(self)

    do_HEAD = do_POST = do_GET

    def fetched(self) -> tuple[int, dict[str, str], bytes]:
        """What the server behind answers. It is told this proxy's name, so that its own links lead here."""
        connection = http.client.HTTPConnection(self.server.behind, timeout=60)
        try:
            connection.request(self.command, self.path, self.content or None, dict(self.headers))
            answer = connection.getresponse()
            kept = {name.title(): value for name, value in answer.getheaders()}
            return answer.status, {name: kept[name] for name in KEPT if name in kept}, answer.read()
        finally:
            connection.close()

    def forward(self) -> None:
        self.answer(*self.fetched())


KEPT = ("Content-Type", "Content-Length", "Content-Range", "Content-Encoding", "Accept-Ranges", "Location")


def answers(status: int, **headers: str) -> Fault:
    """A refusal, such as 429 with Retry_After="1"."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda request: request.answer(status, named, b"refused")


def cut(request: Forwarder) -> None:
    """The connection breaks in the middle of the body."""
    status, headers, body = request.fetched()
    request.close_connection = True
    request.answer(status, {"Content-Length": str(len(body))} | headers, body[: len(body) // 2])


def slow(seconds: float) -> Fault:
    """An answer that takes its time."""

    def late(request: Forwarder) -> None:
        threading.Event().wait(seconds)
        request.forward()

    return late


def hangs(request: Forwarder) -> None:
    """No answer at all: it waits until the client has had enough and hangs up."""
    request.connection.recv(1)
    request.close_connection = True
