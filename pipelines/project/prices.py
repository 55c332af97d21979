"""The table [prices] of a project file: what a run and its results cost."""

from typing import Annotated

from pydantic import Field

from pipelines.project.tables import Table, Text, key

Price = Annotated[float, Field(ge=0)]


class Prices(Table):
    worker_hour: Price = key("One worker for an hour: its share of a machine.", 0.05, "currency per hour", 0.0)
    gpu_hour: Price = key("One GPU for an hour, besides the worker that it is given to.", 2.5, "currency per hour", 0.0)
    storage_month: Price = key("Keeping a terabyte (1e12 bytes) for a month.", 22.0, "currency per TB and month", 0.0)
    currency: Text = key("What they are in.", "EUR", "", "EUR", max_length=10)

    @property
    def are_given(self) -> bool:
        """Whether work costs anything."""
        return bool(self.worker_hour or self.gpu_hour)
