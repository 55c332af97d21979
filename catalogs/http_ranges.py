"""Some bytes of a file behind plain HTTP, over connections that are kept: a fraction of what fsspec takes to ask."""

import os
from functools import cache

import urllib3
from urllib3.exceptions import HTTPError, MaxRetryError
from urllib3.util import parse_url

from catalogs.errors import BadInput
from catalogs.patience import Patience

MISSING = (404, 410)
REFUSED = (401, 403)
BEYOND = 416
NOT_NOW = (429, 500, 502, 503, 504)

PATIENCE = Patience(pause=0.5)
RETRY = PATIENCE.retry(NOT_NOW)


def read_range(url: str, start: int, end: int | None = None) -> bytes:
    """A negative start counts from the file's end; a server that knows no ranges sends all, and is taken at that."""
    asked = f"{start}" if start < 0 else f"{start}-{'' if end is None else end - 1}"
    address = parse_url(url)
    plain = address._replace(auth=None, query=None).url  # what messages may hold
    known = urllib3.make_headers(basic_auth=address.auth) if address.auth else {}
    headers = known | {"Range": f"bytes={asked}", "Accept-Encoding": "identity"}
    try:
        answer = _pool(os.getpid()).request("GET", address._replace(auth=None).url, headers=headers)
        if answer.status in MISSING:
            raise FileNotFoundError(plain)
        if answer.status in REFUSED:
            raise PermissionError(f"{plain} cannot be read (the server answers {answer.status})")
        if answer.status == BEYOND:
            raise BadInput(plain, "is shorter than was said of it.", "Copy it again, or map again.")
        if answer.status not in (200, 206):
            raise HTTPError(f"the server answers {answer.status}")
    except MaxRetryError as error:  # whose own text has all of the address
        raise ConnectionError(f"{plain} cannot be read ({type(error.reason).__name__})") from error.reason
    except HTTPError as error:
        raise ConnectionError(f"{plain} cannot be read ({error})") from error
    return answer.data if answer.status == 206 else answer.data[start:end]


@cache
def _pool(process: int) -> urllib3.PoolManager:
    """Of this process: one that was forked off must not speak on its parent's connections."""
    timeout = urllib3.Timeout(connect=PATIENCE.connect, read=PATIENCE.answer)
    return urllib3.PoolManager(maxsize=16, retries=RETRY, timeout=timeout)
