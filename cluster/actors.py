"""Items on Ray actors, one for each GPU or CPU core: handed out in leases, taken back from actors that die."""

import copy
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, TypeVar

Item = TypeVar("Item")

LEASES_PER_ACTOR = 2
"""One at work and one waiting, so that an actor never idles while the driver answers."""

LIVES = 3
"""How often a lease may lose its actor before it is given up, as one that kills every actor would be."""


@dataclass(frozen=True)
class Slots:
    """How many actors, and the share of a machine that each is pinned to."""

    actors: int
    cpus: float = 1
    gpus: float = 0
    lease: int = 8
    """Items handed out at once."""


@dataclass
class _Lease:
    items: list[Any]
    lives: int = LIVES


@dataclass
class _Pool:
    make: Callable[[], Any]
    fresh: Iterator[_Lease]
    """Leases that nobody has had yet, made as they are asked for."""
    waiting: deque[_Lease] = field(default_factory=deque)
    """Those at the head of the queue, and those taken back from the dead."""
    starting: dict[Any, Any] = field(default_factory=dict)
    running: dict[Any, tuple[Any, _Lease]] = field(default_factory=dict)
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

    def fill(self, actor: Any, count: int) -> None:
        for _ in range(count):
            if not self.has_more():
                return
            lease = self.waiting.popleft()
            self.running[actor.work.remote(lease.items)] = (actor, lease)

    def bury(self, dead: Any) -> list[_Lease]:
        """Take back all leases of a dead actor; the one it was working on loses a life. Returns those given up."""
        held = [reference for reference, (actor, _) in self.running.items() if actor is dead]
        leases = [self.running.pop(reference)[1] for reference in held]
        leases[0].lives -= 1  # an actor works in the order in which it was asked
        self.waiting.extendleft(lease for lease in reversed(leases) if lease.lives)
        return [lease for lease in leases if not lease.lives]


def each_on_actors(
    ray: Any, start: Callable[[], Callable[[Item], Any]], items: Iterable[Item], slots: Slots
) -> Iterator[tuple[Item, Any]]:
    """Apply a worker to every item, in any order, and yield each item with its result or exception.

    `start` runs once in each actor (it loads the model) and returns the function that does one item. An actor that
    dies is replaced and its items are done again, so doing an item twice must do no harm. Fewer slots in the cluster
    than actors asked for make it slower, not stuck.
    The plain twin, which needs no cluster, is `work = start(); ((item, work(item)) for item in items)`.
    """
    remote = ray.remote(_Worker).options(num_cpus=slots.cpus, num_gpus=slots.gpus, max_restarts=0)
    pool = _Pool(lambda: remote.remote(start), _leases(iter(items), slots.lease))
    for number in range(1, slots.actors + 1):
        if pool.has_more(number):
            pool.start()
    while pool.running or pool.has_more():
        (reference,), _ = ray.wait([*pool.running, *pool.starting], num_returns=1)
        if reference in pool.starting:
            actor = pool.starting.pop(reference)
            try:
                ray.get(reference)
            except ray.exceptions.RayActorError:
                if not pool.lives:
                    raise
                pool.lives -= 1
                pool.start()
            else:
                pool.fill(actor, LEASES_PER_ACTOR)
            continue
        actor, lease = pool.running[reference]
        try:
            results = ray.get(reference)
        except ray.exceptions.RayActorError as error:
            for lost in pool.bury(actor):
                yield from ((item, error) for item in lost.items)
            pool.start()
            continue
        del pool.running[reference]
        pool.fill(actor, 1)
        yield from zip(lease.items, results, strict=True)


def _leases(items: Iterator[Any], size: int) -> Iterator[_Lease]:
    while some := list(islice(items, size)):
        yield _Lease(some)


class _Worker:
    def __init__(self, start: Callable[[], Callable[[Any], Any]]) -> None:
        self.do = start()

    def ready(self) -> bool:
        return True

    def work(self, items: list[Any]) -> list[Any]:
        return [self._one(item) for item in items]

    def _one(self, item: Any) -> Any:
        try:
            return self.do(item)
        except Exception as error:  # an item that fails is reported by its reason and must not cost the others
            return _portable(error)


def _portable(error: Exception) -> Exception:
    """An exception that survives the way to the driver: some forget how they were made."""
    try:
        copy.copy(error)  # is made anew as pickling would make it
    except Exception:
        return RuntimeError(f"{type(error).__name__}: {error}")
    return error
