"""Whether an error is that an object store did not answer: one of its client's, or an OSError that was made of it."""

CLIENTS = ("botocore", "aiobotocore", "aiohttp", "fsspec")
"""Packages that speak to object stores."""

ANSWERS = (FileNotFoundError, FileExistsError, PermissionError)
"""What a store says that answers."""


def is_no_answer(error: BaseException) -> bool:
    """Told by the packages that its causes come from, so that none of them has to be loaded to ask."""
    if isinstance(error, ANSWERS):
        return False
    cause: BaseException | None = error
    while cause is not None:
        if type(cause).__module__.split(".")[0] in CLIENTS:
            return True
        cause = cause.__cause__
    return False
