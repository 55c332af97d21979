"""A proxy before an S3 server that does to requests what clouds do: refusals, cut connections, lost answers."""

import http.client
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Lock
from urllib.parse import unquote

from loopback import Forwarder, Proxy, serving

Fault = Callable[["S3Forwarder"], None]

OF_A_CONNECTION = {"connection", "keep-alive", "transfer-encoding", "expect"}
OURS = {"date", "server"}
"""What this server says of itself."""


class S3Proxy(Proxy):
    """Hands signed requests on as they are; `fault` says what becomes of each instead, `met` counts what did."""

    def __init__(self, server: str) -> None:
        super().__init__(server)
        self.RequestHandlerClass = S3Forwarder
        self.fault: Callable[[S3Forwarder], Fault | None] = lambda request: None
        self.met: Counter[str] = Counter()
        self.lock = Lock()

    def choose(self, request: "S3Forwarder") -> Fault | None:
        with self.lock:
            self.asked.append(f"{request.command} {request.path}")
            if fault := self.fault(request):
                self.met[f"{request.kind} {fault.__name__}"] += 1
            return fault


class S3Forwarder(Forwarder):
    server: S3Proxy

    @property
    def key(self) -> str:
        """What it asks for, as people write it."""
        return unquote(self.path)

    @property
    def kind(self) -> str:
        """What a request does, for those that read the counts."""
        if self.command == "PUT" and "/done/" in self.path:
            return "record"
        return "copy" if "x-amz-copy-source" in self.headers else self.command

    def do_GET(self) -> None:
        self.content = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        fault = self.server.choose(self)
        (fault or S3Forwarder.forward)(self)

    do_HEAD = do_POST = do_PUT = do_DELETE = do_GET

    def fetched(self) -> tuple[int, dict[str, str], bytes]:
        """All headers there and back: the request is signed, and the answer has checksums."""
        connection = http.client.HTTPConnection(self.server.behind, timeout=60)
        try:
            sent = {name: value for name, value in self.headers.items() if name.lower() not in OF_A_CONNECTION}
            connection.request(self.command, self.path, self.content or None, sent)
            answer = connection.getresponse()
            kept = {n: value for n, value in answer.getheaders() if n.lower() not in OF_A_CONNECTION | OURS}
            return answer.status, {name.title(): value for name, value in kept.items()}, answer.read()
        finally:
            connection.close()


@contextmanager
def s3_proxy(server: str) -> Iterator[tuple[S3Proxy, str]]:
    proxy = S3Proxy(server)
    with serving(proxy) as address:
        yield proxy, address


def _refuse(request: S3Forwarder, status: int, code: str) -> None:
    body = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>{code}</Message></Error>".encode()
    request.answer(status, {"Content-Type": "application/xml"}, body)


def slow_down(request: S3Forwarder) -> None:
    _refuse(request, 503, "SlowDown")


def internal_error(request: S3Forwarder) -> None:
    _refuse(request, 500, "InternalError")


def dropped(request: S3Forwarder) -> None:
    """The connection breaks before the server has it all."""
    request.close_connection = True


def lost(request: S3Forwarder) -> None:
    """The server has done it, and its answer is lost on the way."""
    request.fetched()
    request.close_connection = True


def doubtful(request: S3Forwarder) -> None:
    """The server has done it, and what stands before it says that it was too busy."""
    request.fetched()
    slow_down(request)
