"""What a contestant of the ingest benchmark is asked to do, and how it tells when it begins and ends."""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from speed_scenes import Land, items_of

Clock = Callable[[], AbstractContextManager[Any]]
"""Gives a context in which time counts."""


@dataclass(frozen=True)
class Task:
    """One cube to make of the scenes in `folder`."""

    contestant: str
    folder: str
    land: Land
    out: str
    cores: int
    url: str | None = None
    """Where the folder is served; None reads the files."""
    composite: bool = False
    """One median of what is clear of clouds, in place of every date as it is."""

    @property
    def weather(self) -> str:
        return "cloudy" if self.composite else "clear"

    def items(self) -> list[dict[str, Any]]:
        return items_of(Path(self.folder), self.weather, self.url)

    def encode(self) -> str:
        return json.dumps(asdict(self))

    @staticmethod
    def decode(text: str) -> "Task":
        values = json.loads(text)
        return Task(**values | {"land": Land(**values["land"])})


@contextmanager
def timed() -> Iterator[None]:
    """Tells `measuring.py` when the part that counts begins and how long it took."""
    tell("began")
    began = time.perf_counter()
    yield
    tell("ended", seconds=time.perf_counter() - began)


def tell(event: str, **values: Any) -> None:
    print(json.dumps({"event": event} | values), flush=True)


untimed: Clock = nullcontext
