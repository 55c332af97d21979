"""Work done ahead of its use, in threads: what a loop asks for next is ready when it asks."""

from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from queue import SimpleQueue
from threading import Semaphore, Thread
from typing import TypeVar

S = TypeVar("S")
T = TypeVar("T")

Queue = SimpleQueue[Future[T] | BaseException | None]


def ahead(
    source: Generator[S, None, None], work: Callable[[S], T], depth: int, threads: int = 1
) -> Generator[T, None, None]:
    """`work(item)` for each item of the source in its order, up to `depth` of them before they are asked for.

    One thread goes through the source, others do the work. An error is raised where its item would have come.
    """
    ready: Queue[T] = SimpleQueue()
    room = Semaphore(depth)
    over: list[bool] = []

    def feed(pool: ThreadPoolExecutor) -> None:
        try:
            with closing(source):
                for item in source:
                    room.acquire()
                    if over:
                        return
                    ready.put(pool.submit(work, item))
            ready.put(None)
        except BaseException as error:
            ready.put(error)

    with ThreadPoolExecutor(threads) as pool:
        feeder = Thread(target=feed, args=(pool,), daemon=True)
        feeder.start()
        try:
            yield from _taken(ready, room)
        finally:
            over.append(True)
            room.release()
            feeder.join()


def _taken(ready: "Queue[T]", room: Semaphore) -> Iterator[T]:
    while (found := ready.get()) is not None:
        if isinstance(found, BaseException):
            raise found
        yield found.result()
        room.release()
