"""Why a file was not read: because it is bad, or because nobody answered."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

from rasterio.errors import RasterioError

from catalogs.no_answer import causes
from catalogs.stac.access import without_secrets
from catalogs.stac.links import is_remote

NO_ANSWER = re.compile(
    r"CURL error|HTTP response code: (403|408|429|5\d\d)|timed? ?out|resolve host|connection", re.IGNORECASE
)
"""What GDAL says when the network or the server failed, and the file may be whole."""

LINK = re.compile(r"/vsi\w+/\S+|https?://\S+")
"""What in a message is somebody else's words."""


class UnreadableFile(Exception):
    """A file is truncated, missing or no raster: its scene is lost here, the others are not."""

    def __init__(self, href: str, reason: str) -> None:
        super().__init__(href, reason)
        self.href, self.reason = href, reason

    def __str__(self) -> str:
        return self.reason


class NoAnswer(Exception):
    """The network or the server failed: nothing is known of the scene, and the unit must be tried again."""


@contextmanager
def told_apart(href: str) -> Iterator[None]:
    """Whether a file is bad, or nobody answered."""
    try:
        yield
    except (RasterioError, RuntimeError, OSError) as error:
        cause = _first_cause(error)
        if is_remote(href) and NO_ANSWER.search(LINK.sub("", cause)):
            raise NoAnswer(f"{href.split('?')[0]}: {cause}") from error
        raise UnreadableFile(href, cause) from error


def _first_cause(error: BaseException) -> str:
    *_, error = causes(error)
    return without_secrets(f"{type(error).__name__}: {error}".splitlines()[0])
