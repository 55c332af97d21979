"""Some bytes of a file behind plain HTTP, over connections that are kept: a fraction of what fsspec takes to ask."""

import os
from functools import cache

import urllib3
from urllib3.exceptions import HTTPError

MISSING = (404, 410)
NOT_NOW = (429, 500, 502, 503, 504)

RETRY = urllib3.Retry(
    total=4, status_forcelist=NOT_NOW, backoff_factor=0.5, backoff_jitter=0.5, retry_after_max=60, raise_on_status=False
)
TIMEOUT = urllib3.Timeout(connect=15, read=60)


def read_range(url: str, start: int, end: int | None = None) -> bytes:
    """A negative start counts from the file's end; a server that knows no ranges sends all, and is taken at that."""
    asked = f"{start}" if start < 0 else f"{start}-{'' if end is None else end - 1}"
    headers = {"Range": f"bytes={asked}", "Accept-Encoding": "identity"}
    try:
        answer = _pool(os.getpid()).request("GET", url, headers=headers)
    except HTTPError as error:
        raise ConnectionError(f"{url} cannot be read ({error})") from error
    if answer.status in MISSING:
        raise FileNotFoundError(url)
    if answer.status not in (200, 206):
        raise OSError(f"{url} cannot be read: the server answers {answer.status} {answer.reason or ''}")
    return answer.data if answer.status == 206 else answer.data[start:end]


@cache
def _pool(process: int) -> urllib3.PoolManager:
    """Of this process: one that was forked off must not speak on its parent's connections."""
    return urllib3.PoolManager(maxsize=16, retries=RETRY, timeout=TIMEOUT)
