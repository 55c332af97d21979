"""Asking a server again: a few times, after growing and uneven pauses, and never another server than the one meant."""

import random
import time
from collections.abc import Callable
from typing import Any, TypeVar
from urllib.parse import urlsplit

import requests
from pystac_client.exceptions import APIError
from requests.adapters import HTTPAdapter
from requests.exceptions import ChunkedEncodingError, ContentDecodingError
from urllib3 import Retry
from urllib3.exceptions import MaxRetryError

from catalogs.patience import Patience

T = TypeVar("T")

CUT = (ChunkedEncodingError, ContentDecodingError, ValueError)
"""What reading an answer raises that came in part; a JSON error is a ValueError."""


class SameServer(HTTPAdapter):
    """Sends nothing to another server than the one we were told of, whatever a link or a redirect says."""

    def __init__(self, address: str, retry: Retry) -> None:
        super().__init__(max_retries=retry)
        self.address = address

    def send(self, request: requests.PreparedRequest, *args: Any, **kwargs: Any) -> requests.Response:
        if _server(str(request.url)) != _server(self.address):
            raise LedAway(str(request.url))
        return super().send(request, *args, **kwargs)


class LedAway(Exception):
    """A link or a redirect points to another server."""


def mount(session: requests.Session, address: str, retry: Retry) -> None:
    """Let a session talk to the server of `address` only."""
    for scheme in ("https://", "http://"):
        session.mount(scheme, SameServer(address, retry))


def _server(url: str) -> tuple[str, str, int | None]:
    link = urlsplit(url)
    return link.scheme, str(link.hostname), link.port or {"https": 443, "http": 80}.get(link.scheme)


def again(ask: Callable[[], T], patience: Patience) -> T:
    """What `ask` gives, asked again where its answer broke off."""
    for attempt in range(patience.tries - 1):
        try:
            return ask()
        except Exception as error:
            if not _broke_off(error):
                raise
        time.sleep(patience.pause * 2**attempt * random.uniform(0.5, 1))
    return ask()


def _broke_off(error: Exception) -> bool:
    """Whether an answer had begun: urllib3 has tried the rest, and adds that it has given up."""
    cause = error.__context__ if isinstance(error, APIError) else error
    if isinstance(cause, requests.exceptions.ConnectionError):
        return not isinstance(next(iter(cause.args), None), MaxRetryError)
    return isinstance(cause, CUT)
