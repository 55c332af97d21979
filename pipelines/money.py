"""Sums of money and of hours, in words."""

from math import isinf

from models.ratio import Total


def money(amount: float, currency: str) -> str:
    return f"{currency} {amount:,.2f}"


def told(cost: Total, currency: str) -> str:
    """With the ends of its interval."""
    if isinf(cost.high):
        return f"about {money(cost.value, currency)}"
    return f"{money(cost.value, currency)} ({cost.low:,.2f} to {cost.high:,.2f})"


def hours(total: Total) -> str:
    if isinf(total.high):
        return f"about {_hours(total.value)} h"
    return f"{_hours(total.value)} h ({_hours(total.low)} to {_hours(total.high)})"


def _hours(value: float) -> str:
    """Three digits that count, and no more."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
