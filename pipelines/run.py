"""run: every verb in its order; what is finished is skipped by the verb itself."""

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any

from catalogs.errors import BadInput
from cluster.kept import kept
from cluster.progress import Progress
from pipelines.outcomes import disk_full, is_disk_full
from pipelines.plan import Plan

Verb = Callable[..., dict[str, Any]]
"""Takes a plan, a progress and its own options."""

VERBS: Mapping[str, tuple[str, str]] = {
    "ingest": ("pipelines.ingest", "ingest"),
    "label": ("pipelines.label", "label"),
    "patch": ("pipelines.patch", "patch"),
    "train": ("pipelines.train", "train"),
    "map": ("pipelines.map", "make_map"),
    "validate": ("pipelines.validate", "validate"),
    "publish": ("pipelines.publish", "publish"),
}
"""Verb -> module and function, imported when it is their turn: torch and GDAL are slow to load."""


PREPARING = ("ingest", "label", "patch")
LEARNING = ("train", "map", "validate", "publish")
"""Verbs that share workers: Dask's, and Ray's."""

BESIDE: Mapping[str, tuple[str, str]] = {
    "audit": ("pipelines.audit", "audit"),
    "compare": ("pipelines.compare", "compare"),
    "crossfold": ("pipelines.crossfold", "crossfold"),
    "selftrain": ("pipelines.selftrain", "selftrain"),
}
"""Verbs that `run` has no need of: label audits what it rasterises, one model is enough for a map, crossfold is for
places too small for patches, and selftrain for regions without labels."""

ABOUT: Mapping[str, tuple[str, str]] = {
    "plan": ("pipelines.show_plan", "show_plan"),
    "run": ("pipelines.run", "run"),
    "status": ("pipelines.status", "status"),
    "verify": ("pipelines.verify", "verify"),
    "export": ("pipelines.export", "export"),
    "versions": ("pipelines.versions", "list_versions"),
}
"""Commands about a run."""


def run(plan: Plan, progress: Progress) -> dict[str, Any]:
    """All of them; the result is the last one's."""
    result: dict[str, Any] = {}
    plan.project.check_declared()
    plan.model  # noqa: B018  (what is wrong with [model] is told before hours of reading, not after)
    for verbs in (PREPARING, LEARNING):
        with kept():
            for name in verbs:
                result = call(name, plan, progress)
    return result


def check_verb(name: str) -> None:
    """Refuse what is none."""
    if name not in {**VERBS, **BESIDE, **ABOUT}:
        known = ", ".join(sorted({**VERBS, **BESIDE, **ABOUT}))
        raise BadInput(f"verb {name!r}", "there is none of that name.", f"Write one of {known}.")


def call(name: str, plan: Plan, progress: Progress, max_cost: float | None = None, **options: Any) -> dict[str, Any]:
    """What a command of the command line does with a plan, once its root is known to be of use."""
    plan.root.check_readable() if name in ABOUT else plan.root.check_writable()
    module, function = {**VERBS, **BESIDE, **ABOUT}[name]
    found: Verb = getattr(import_module(module), function)
    try:
        with kept():  # a verb may need workers more than once
            if max_cost is not None:
                from pipelines.spending import within

                progress = within(plan, name, progress, max_cost)
            return found(plan, progress, **options)
    except OSError as error:
        if is_disk_full(error):
            raise disk_full(f"store root {plan.root.url}") from error
        raise
