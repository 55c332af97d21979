"""A store whose inputs have changed since it was begun: which of them, and its description once these are new."""

from collections.abc import Collection, Mapping
from typing import Any

from catalogs.description import identity
from catalogs.store_attributes import set_attributes
from catalogs.stores import Store

Description = Mapping[str, Any]


def changed_inputs(store: Store, planned: Description, inputs: Collection[str]) -> list[str]:
    """Which inputs are not those of the store, if there is one; refuses a store that differs in anything else."""
    stored = store.description()
    return [] if stored is None else changed_between(store, stored, planned, inputs)


def changed_between(store: Store, stored: Description, planned: Description, inputs: Collection[str]) -> list[str]:
    """The same, of a store that says what it was planned from in a place of its own."""
    store.check(without(stored, inputs), without(planned, inputs))
    return [name for name in inputs if identity({"": stored.get(name)}) != identity({"": planned.get(name)})]


def without(description: Description, inputs: Collection[str]) -> dict[str, Any]:
    return {name: value for name, value in description.items() if name not in inputs}


def redescribe(store: Store, planned: Description) -> None:
    """Say that the store is made of other inputs, once nothing is in it that was made of those before."""
    set_attributes(store.root, store.name, {"furrow": {"identity": identity(planned), "plan": dict(planned)}})
