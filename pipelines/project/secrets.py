"""Finds credentials in a project file, which is no place for them: it is copied into plans and reports."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

SECRET_KEY = re.compile(
    r"passw(or)?d|passphrase|secret|token|credential|(api|access|private|account)_?key|key_?id|signature", re.I
)
SECRET_VALUE = re.compile(
    r"(?:^(?!\w+://)|://)[^/\s@]*:(?!\d+(?:/|$))[^@\s]*@"  # user:password@host; a password may itself hold a slash
    r"|://[^/\s@]+@"  # user@host
    r"|[?&](?:[^=&\s]*(?:token|signature|secret|password|credential|key)[^=&\s]*|sig)="  # signed addresses
    r"|\b(?:AKIA|ASIA)[0-9A-Z]{16}\b",  # the identifiers of AWS access keys
    re.I,
)
REMEDY = (
    "Take it out and set it in the environment (for S3: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE)."
)

Place = tuple[str, ...]


def secrets(data: Mapping[str, Any], above: Place = ()) -> Iterator[tuple[Place, str]]:
    """The place of each key that looks like a credential or whose value holds one, and why it is refused."""
    for name, value in data.items():
        place = (*above, name)
        if SECRET_KEY.search(name):
            yield place, "looks like a secret, and a project file holds none."
        elif isinstance(value, Mapping):
            yield from secrets(value, place)
        elif any(is_secret(item) for item in (value if isinstance(value, list) else [value])):
            yield place, "holds a user name, password or key, and a project file holds none."


def is_secret(value: object) -> bool:
    """Whether a text, or a table inside a list, holds a credential."""
    if isinstance(value, Mapping):
        return any(secrets(value))
    return isinstance(value, str) and SECRET_VALUE.search(value) is not None
