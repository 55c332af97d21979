"""Keeping workers between stages: what one stage opens, the next need not start again."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Any


class _Shelf(ExitStack):
    def __init__(self) -> None:
        super().__init__()
        self.things: dict[str, Any] = {}


_shelves: list[_Shelf] = []


@contextmanager
def kept() -> Iterator[None]:
    """Within it, what `opened` opens stays open until the end; within another one it changes nothing."""
    if _shelves:
        yield
        return
    with _Shelf() as shelf:
        _shelves.append(shelf)
        try:
            yield
        finally:
            _shelves.remove(shelf)


@contextmanager
def opened(name: str, open_it: Callable[[], AbstractContextManager[Any]]) -> Iterator[Any]:
    """The thing of that name: kept from an earlier stage, or opened now, and closed unless it is to be kept."""
    if not _shelves:
        with open_it() as thing:
            yield thing
        return
    shelf = _shelves[-1]
    if name not in shelf.things:
        shelf.things[name] = shelf.enter_context(open_it())
    yield shelf.things[name]
