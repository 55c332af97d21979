"""Pages for people: the shelf of HTML templates, and numbers and days as a page shows them."""

from collections.abc import Callable, Mapping
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

SIZES = ("B", "kB", "MB", "GB", "TB", "PB")


def template_shelf(**filters: Callable[..., str]) -> Environment:
    """The templates beside this file; text from outside is escaped, and a name that is not given is an error."""
    shelf = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    shelf.filters |= FILTERS | filters
    return shelf


def number(value: float | None, digits: int = 0) -> str:
    return "–" if value is None else f"{value:,.{digits}f}"


def percent(value: float | None, digits: int = 1) -> str:
    return "–" if value is None else f"{100 * value:.{digits}f} %"


def size(count: float) -> str:
    """Bytes in steps of a thousand, to three digits or so."""
    step = 0
    while count >= 999.5 and step < len(SIZES) - 1:
        count, step = count / 1000, step + 1
    return f"{count:.{0 if count >= 100 or step == 0 else 1}f} {SIZES[step]}"


def duration(seconds: float) -> str:
    """The two largest of hours, minutes and seconds."""
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:,} h {minutes} min" if hours else f"{minutes} min {rest} s"


def days(row: Mapping[str, Any]) -> str:
    """The days from `first` to `last`, both in ISO 8601, in as few words as name them."""
    first = date.fromisoformat(row["first"])
    if row["last"] is None:
        return f"no day before {first:%-d %B %Y}"
    last = date.fromisoformat(row["last"])
    if first == last:
        return f"{first:%-d %B %Y}"
    if (first.year, first.month) == (last.year, last.month):
        whole = first.day == 1 and (last + timedelta(days=1)).day == 1
        return f"{first:%B %Y}" if whole else f"{first.day} to {last:%-d %B %Y}"
    year = "" if first.year == last.year else " %Y"
    return f"{first:%-d %B{year}} to {last:%-d %B %Y}"


FILTERS: dict[str, Callable[..., Any]] = {
    "number": number,
    "percent": percent,
    "size": size,
    "duration": duration,
    "days": days,
}
