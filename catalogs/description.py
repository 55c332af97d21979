"""What a store was planned from, as plain values with a digest: equal descriptions mean interchangeable work."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import Any


def canonical(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), default=str).encode()


def identity(description: Mapping[str, Any]) -> str:
    return hashlib.sha256(canonical(description)).hexdigest()[:16]


def differences(stored: Mapping[str, Any], planned: Mapping[str, Any]) -> list[str]:
    """One line for each value that is not the same in both."""
    old, new = dict(_flat(_plain(stored))), dict(_flat(_plain(planned)))
    return [
        f"{key}: the store has {_shown(old, key)}, the project says {_shown(new, key)}"
        for key in sorted(old.keys() | new.keys())
        if old.get(key) != new.get(key)
    ]


def _plain(value: Mapping[str, Any]) -> dict[str, Any]:
    plain: dict[str, Any] = json.loads(canonical(value))
    return plain


def _flat(value: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _flat(inner, f"{prefix}.{key}" if prefix else key)
    else:
        yield prefix, value


def _shown(values: Mapping[str, Any], key: str) -> str:
    return json.dumps(values[key])[:60] if key in values else "nothing"
