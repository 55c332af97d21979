"""Independent items on whatever workers a run has: Dask's on this machine, or a Ray cluster's."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, Protocol, TypeVar

from cluster.actors import Slots, each_on_actors
from cluster.session import ray_session
from cluster.tasks import dask_workers, each

Item = TypeVar("Item")
Result = TypeVar("Result")


class Each(Protocol):
    """Applies a function to every item, in any order; an item that raises gives its exception."""

    def __call__(
        self, function: Callable[[Item], Result], items: Iterable[Item]
    ) -> Iterator[tuple[Item, Result | Exception]]: ...


def each_here(function: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[tuple[Item, Result | Exception]]:
    """In this very process: for items that are not worth starting workers for."""
    for item in items:
        try:
            yield item, function(item)
        except Exception as error:
            yield item, error


@contextmanager
def item_workers(address: str, count: int) -> Iterator[Each]:
    """`count` workers of one core each: of the Ray cluster at `address`, or of this machine if there is none."""
    if not address:
        with dask_workers(count) as client:
            yield partial(each, client)
        return
    with ray_session(address, count) as ray:
        yield partial(_each_on_ray, ray, Slots(count, lease=1))


def _each_on_ray(ray: Any, slots: Slots, function: Callable[[Any], Any], items: Iterable[Any]) -> Iterator[Any]:
    return each_on_actors(ray, lambda: function, items, slots)
