"""Whether an error is that an object store did not answer: one of its client's, or an OSError that was made of it."""

from collections.abc import Iterator

CLIENTS = ("botocore", "aiobotocore", "aiohttp", "fsspec", "urllib3")
"""Packages that speak to object stores."""

ANSWERS = (FileNotFoundError, FileExistsError, PermissionError)
"""What a store says that answers."""


def is_no_answer(error: BaseException) -> bool:
    """Told by the packages that its causes come from, so that none of them has to be loaded to ask."""
    if isinstance(error, ANSWERS):
        return False
    return any(type(cause).__module__.split(".")[0] in CLIENTS for cause in causes(error))


def causes(error: BaseException) -> Iterator[BaseException]:
    """An error, what it was made of, and so on; once each, for an error may be its own cause."""
    seen: list[BaseException] = []
    cause: BaseException | None = error
    while cause is not None and not any(cause is one for one in seen):
        seen.append(cause)
        yield cause
        cause = cause.__cause__
