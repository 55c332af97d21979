"""Work ahead of its use: in order, bounded, with errors in their place, and ended when nobody wants more."""

import threading
from collections.abc import Generator
from contextlib import closing

import pytest

from pipelines.ahead import ahead


def counted(until: int, given: list[int], closed: list[bool]) -> Generator[int, None, None]:
    try:
        for number in range(until):
            given.append(number)
            yield number
    finally:
        closed.append(True)


@pytest.mark.parametrize("threads", [1, 4])
def test_items_come_in_order_whichever_is_ready_first(threads: int) -> None:
    second_done = threading.Event()

    def work(number: int) -> int:
        if number == 0 and threads > 1:
            assert second_done.wait(20), "the second item waited for the first"
        if number == 1:
            second_done.set()
        return number * number

    assert list(ahead(counted(50, [], []), work, depth=3, threads=threads)) == [number**2 for number in range(50)]


def test_no_more_is_done_than_is_allowed_to_wait() -> None:
    given: list[int] = []
    with closing(ahead(counted(100, given, []), lambda number: number, depth=3)) as items:
        for taken in range(20):
            assert next(items) == taken
            assert len(given) <= taken + 5, "three that wait, the one that was taken, and one that asks for room"


def test_errors_come_where_their_items_would_have_come() -> None:
    def broken() -> Generator[int, None, None]:
        yield 1
        raise OverflowError("source")

    def fragile(number: int) -> int:
        return 6 // (3 - number)

    items = ahead(broken(), lambda number: number, depth=3)
    assert next(items) == 1
    with pytest.raises(OverflowError, match="source"):
        next(items)
    items = ahead(counted(9, [], []), fragile, depth=9)
    assert [next(items) for _ in range(3)] == [2, 3, 6]
    with pytest.raises(ZeroDivisionError):
        next(items)


def test_who_wants_no_more_ends_the_threads_and_the_source() -> None:
    before, closed = threading.active_count(), []
    items = ahead(counted(10**6, [], closed), lambda number: number, depth=2, threads=2)
    assert [next(items) for _ in range(3)] == [0, 1, 2]
    items.close()
    assert closed == [True] and threading.active_count() == before
