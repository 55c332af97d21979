"""Items on Ray actors, each pinned to its share of a machine: handed out in leases, taken back from actors that die."""

import copy
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from typing import Any, TypeVar

import psutil

from cluster.head import first_ready, watched

Item = TypeVar("Item")

Group = Callable[[list[Item]], list[Any]]
"""Does some items at once: the result or the exception of each, in their order."""

LEASES_PER_ACTOR = 2
"""One at work and one waiting, so that an actor never idles while the driver answers."""

FAREWELL = 30
"""Seconds in which an actor that is dismissed has ended."""

LIVES = 3
"""How often an item may lose its actor before it is given up, as one that kills every actor would be."""


@dataclass(frozen=True)
class Slots:
    """How many actors, and the share of a machine that each is pinned to."""

    actors: int
    cpus: float = 1
    gpus: float = 0
    lease: int = 8
    """Items handed out at once, where nobody says which."""
    threads: int = 1
    """Leases that an actor works on at once: one reads and writes while another computes."""

    @property
    def leases(self) -> int:
        """Of one actor at once."""
        return max(LEASES_PER_ACTOR, self.threads)


@dataclass(eq=False)
class _Lease:
    items: list[Any]
    lives: int = LIVES
    copies: int = 0
    """Actors that have it now."""
    over: bool = False
    """Done by one of them, or given up."""

    @property
    def is_suspect(self) -> bool:
        """It was with an actor that died, and goes to the next one alone, to show whether it was the reason."""
        return self.lives < LIVES


@dataclass
class _Pool:
    ray: Any
    make: Callable[[], Any]
    fresh: Iterator[_Lease]
    """Leases that nobody has had yet, made as they are asked for."""
    leases: int
    """Of one actor at once."""
    waiting: deque[_Lease] = field(default_factory=deque)
    """Those at the head of the queue, and those taken back from the dead."""
    starting: dict[Any, Any] = field(default_factory=dict)
    running: dict[Any, tuple[Any, _Lease]] = field(default_factory=dict)
    """In the order in which they were handed out."""
    idle: list[Any] = field(default_factory=list)
    """Actors for which there was nothing to do."""
    processes: dict[Any, psutil.Process] = field(default_factory=dict)
    """Of the actors on this machine."""
    lives: int = LIVES
    """How often an actor may die while it starts."""

    def start(self) -> None:
        """An actor gets work only when it has answered: one that finds no slot in the cluster must hold none back."""
        actor = self.make()
        self.starting[actor.ready.remote()] = actor

    def has_more(self, count: int = 1) -> bool:
        """Whether as many leases wait."""
        self.waiting.extend(islice(self.fresh, max(count - len(self.waiting), 0)))
        return len(self.waiting) >= count

    @property
    def is_over(self) -> bool:
        return not self.has_more() and all(lease.over for _, lease in self.running.values())

    def fill(self, actor: Any) -> None:
        held = [lease for other, lease in self.running.values() if other is actor]
        while len(held) < self.leases and not any(lease.is_suspect for lease in held):
            if not self.has_more() or (held and self.waiting[0].is_suspect):
                break
            held.append(self.waiting.popleft())
            self._hand(actor, held[-1])
        if not held and not self._help(actor):
            self.idle.append(actor)

    def _hand(self, actor: Any, lease: _Lease) -> None:
        lease.copies += 1
        self.running[actor.work.remote(lease.items)] = (actor, lease)

    def _help(self, actor: Any) -> bool:
        """Nothing waits: an idle actor takes a lease of another too, the one that was handed out last first.

        So a machine that is slow, or hangs, holds nothing up in the end. Who is first counts.
        """
        for _, lease in reversed(self.running.values()):
            if not lease.over and lease.copies == 1:
                self._hand(actor, lease)
                return True
        return False

    def take(self, reference: Any) -> tuple[Any, _Lease]:
        actor, lease = self.running.pop(reference)
        lease.copies -= 1
        return actor, lease

    def bury(self, dead: Any) -> list[Any]:
        """Take back what a dead actor had, item by item, since any of them may be what killed it.

        Returns the items that are given up.
        """
        held = [reference for reference, (actor, _) in self.running.items() if actor is dead]
        lost = [lease for _, lease in map(self.take, held) if not lease.over and not lease.copies]
        for lease in lost:
            lease.over = True
        parts = [_Lease([item], lease.lives - 1) for lease in lost for item in lease.items]
        self.waiting.extendleft(part for part in reversed(parts) if part.lives)
        while self.waiting and self.idle:
            self.fill(self.idle.pop())
        return [item for part in parts if not part.lives for item in part.items]

    def dismiss(self) -> None:
        """Actors that still work on what others have done; the rest goes by itself. Nothing of them is left at work.

        Ray says that an actor has ended a little before its process has, and until then it may write: those of this
        machine are waited for.
        """
        busy = {actor for actor, _ in self.running.values()}
        for actor in busy:
            self.ray.kill(actor)
        if self.running:
            self.ray.wait([*self.running], num_returns=len(self.running), timeout=FAREWELL)
        psutil.wait_procs([self.processes[actor] for actor in busy if actor in self.processes], timeout=FAREWELL)


def each_on_actors(
    ray: Any, start: Callable[[], Callable[[Item], Any]], items: Iterable[Item], slots: Slots
) -> Iterator[tuple[Item, Any]]:
    """Apply a worker to every item, in any order, and yield each item once with its result or exception.

    `start` runs once in each actor (it loads the model) and returns the function that does one item. An actor that
    dies is replaced and its items are done again, and at the end idle actors do what slow ones have not done yet, so
    doing an item twice must do no harm. Fewer slots in the cluster than actors asked for make it slower, not stuck.
    The plain twin, which needs no cluster, is `work = start(); ((item, work(item)) for item in items)`.
    """
    yield from groups_on_actors(ray, partial(_one_by_one, start), _leases(iter(items), slots.lease), slots)


def groups_on_actors(
    ray: Any, start: Callable[[], Group[Item]], groups: Iterable[list[Item]], slots: Slots
) -> Iterator[tuple[Item, Any]]:
    """The same where some items are better done together: each group is a lease, and what `start` returns does a whole
    one, and gives the result or the exception of each item. Items that were with an actor that died come again alone.
    """
    options = {"num_cpus": slots.cpus, "num_gpus": slots.gpus, "max_restarts": 0, "max_concurrency": slots.threads}
    remote = ray.remote(_Worker).options(**options)
    pool = _Pool(ray, lambda: remote.remote(start), (_Lease(group) for group in groups), slots.leases)
    for number in range(1, slots.actors + 1):
        if pool.has_more(number):
            pool.start()
    with watched(ray) as head:
        while not pool.is_over:
            reference = first_ready(ray, [*pool.running, *pool.starting], head)
            if reference in pool.starting:
                _begin(pool, reference)
            else:
                yield from _end(pool, reference)
        if head and pool.running:
            head.check(patience=0)  # without it none can be dismissed
        pool.dismiss()


def _end(pool: _Pool, reference: Any) -> Iterator[tuple[Any, Any]]:
    """What came of a lease, unless another actor was first, or of those that are given up."""
    actor, lease = pool.running[reference]
    try:
        results = pool.ray.get(reference)
    except pool.ray.exceptions.RayActorError as error:
        yield from ((item, error) for item in pool.bury(actor))
        pool.start()
        return
    pool.take(reference)
    first, lease.over = not lease.over, True
    pool.fill(actor)
    if first:
        yield from zip(lease.items, results, strict=True)


def _begin(pool: _Pool, reference: Any) -> None:
    """Give work to an actor that has started, or start another if it has not."""
    actor = pool.starting.pop(reference)
    try:
        node, pid = pool.ray.get(reference)
    except pool.ray.exceptions.RayActorError:
        if not pool.lives:
            raise
        pool.lives -= 1
        pool.start()
    else:
        if node == pool.ray.get_runtime_context().get_node_id():
            with suppress(psutil.NoSuchProcess):  # it has ended since, of which Ray will tell
                pool.processes[actor] = psutil.Process(pid)
        pool.fill(actor)


def _leases(items: Iterator[Item], size: int) -> Iterator[list[Item]]:
    while some := list(islice(items, size)):
        yield some


def _one_by_one(start: Callable[[], Callable[[Item], Any]]) -> Group[Item]:
    do = start()
    return lambda items: [tried(do, item) for item in items]


def tried(do: Callable[[Item], Any], item: Item) -> Any:
    """Its result or its exception: an item that fails is reported by its reason and must not cost the others."""
    try:
        return do(item)
    except Exception as error:
        return error


class _Worker:
    def __init__(self, start: Callable[[], Group[Any]]) -> None:
        self.do = start()

    def ready(self) -> tuple[str, int]:
        """Where it is: the node and the process."""
        import ray

        return ray.get_runtime_context().get_node_id(), os.getpid()

    def work(self, items: list[Any]) -> list[Any]:
        return [_portable(one) if isinstance(one, Exception) else one for one in self.do(items)]


def _portable(error: Exception) -> Exception:
    """An exception that survives the way to the driver: some forget how they were made."""
    try:
        copy.copy(error)  # is made anew as pickling would make it
    except Exception:
        return RuntimeError(f"{type(error).__name__}: {error}")
    return error
