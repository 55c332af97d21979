"""Sums of money and of time, with the ends of their intervals, in words."""

from __future__ import annotations

from math import isinf
from typing import TYPE_CHECKING

from pipelines.pages import duration

if TYPE_CHECKING:  # it loads scipy, which `status` has no need of
    from models.ratio import Total


def money(amount: float, currency: str) -> str:
    return f"{currency} {amount:,.2f}"


def told(cost: Total, currency: str) -> str:
    if isinf(cost.high):
        return f"about {money(cost.value, currency)}"
    return f"{money(cost.value, currency)} ({cost.low:,.2f} to {cost.high:,.2f})"


def lasting(seconds: Total) -> str:
    if isinf(seconds.high):
        return f"about {duration(seconds.value)}"
    return f"{duration(seconds.value)} ({duration(seconds.low)} to {duration(seconds.high)})"
