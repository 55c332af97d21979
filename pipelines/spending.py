"""A limit on what a command may cost: told before it starts, and kept while it works."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from catalogs.errors import BadInput
from cluster.progress import Bar, Progress
from pipelines.estimates import PROBES, STAGES, cost_of, estimate
from pipelines.money import money, told
from pipelines.outcomes import Unfinished
from pipelines.plan import Plan
from pipelines.scene_search import find_scenes

STAGES_OF = {"ingest": ("ingest",), "map": ("map",), "run": STAGES}
"""Verbs whose cost can be told, and of what it is made up."""


def within(plan: Plan, verb: str, progress: Progress, most: float) -> Progress:
    """Refuse a verb that is expected to cost more; the progress that stops one that does all the same."""
    prices = plan.project.prices
    given = f"--max-cost {most:g}"
    if not prices.are_given:
        raise BadInput(given, "the project does not say what work costs.", "Write worker_hour or gpu_hour in [prices].")
    estimates = estimate(plan, find_scenes(plan, progress), progress, PROBES, STAGES_OF[verb])
    expected = cost_of(plan, estimates)
    known = " and ".join(one.stage for one in estimates) or "nothing"
    progress.say(f"{verb}: what is left of {known} is expected to cost {told(expected, prices.currency)}")
    if expected.value > most:
        why = f"what is left of {verb} is expected to cost {told(expected, prices.currency)}."
        raise BadInput(given, why, "Allow more, or map a smaller region; `furrow plan` shows what it is made up of.")
    rate = plan.workers * prices.worker_hour
    gpus = max((one.workers * one.gpus for one in estimates), default=0.0)
    return Metered(progress, rate + gpus * prices.gpu_hour, most, prices.currency)


@dataclass
class Metered:
    """A progress whose bars stop what has become too expensive: all workers are paid from the start on."""

    progress: Progress
    price_of_an_hour: float
    most: float
    currency: str
    began: float = field(default_factory=time.monotonic)

    @property
    def spent(self) -> float:
        return (time.monotonic() - self.began) / 3600 * self.price_of_an_hour

    @contextmanager
    def stage(self, name: str, total: int, unit: str, already: int = 0) -> Iterator[Bar]:
        with self.progress.stage(name, total, unit, already) as bar:
            yield _MeteredBar(self, bar)

    def say(self, text: str) -> None:
        self.progress.say(text)

    def result(self, values: dict[str, Any]) -> None:
        self.progress.result(values)


@dataclass
class _MeteredBar:
    meter: Metered
    bar: Bar

    def advance(self, count: int = 1, note: str = "") -> None:
        self.bar.advance(count, note)
        meter = self.meter
        if meter.spent > meter.most:
            spent, most = money(meter.spent, meter.currency), money(meter.most, meter.currency)
            raise Unfinished(f"it has cost {spent}, and --max-cost allows {most}; what was finished is kept")
