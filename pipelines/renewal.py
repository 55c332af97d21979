"""What is made anew when the inputs of a store have changed: the units that are made of them, and no others."""

from collections.abc import Callable, Mapping
from typing import Any

from catalogs.renewal import redescribe
from catalogs.stores import Store
from cluster.progress import Progress
from pipelines.stored import Units


def renew(
    store: Store,
    described: Mapping[str, Any],
    units: Units,
    is_current: Callable[[str, Mapping[str, Any]], bool],
    progress: Progress,
    told: tuple[str, str],
) -> None:
    """Take back the units whose records say that they were made of something else; `told` names units and reason.

    The store's description comes last: who is killed before that finds the same change again, and goes on.
    """
    done, objects = store.ledger.done(), dict(units)
    records = store.ledger.records([unit for unit in objects if unit in done])
    touched = [unit for unit, record in records if not is_current(unit, record)]
    what, why = told
    progress.say(f"{store.name}: {len(touched)} of {len(objects)} {what} are made anew: {why}")
    store.take_back((unit, objects[unit]) for unit in touched)
    redescribe(store, described)
