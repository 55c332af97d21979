"""Codes and names as they stand in parcel files: blanks stripped, numbers written plainly, garbled letters mended."""

import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from catalogs.taxonomy import plain_code

Objects = NDArray[np.object_]

WESTERN = "cp1252"
CODE_PAGES = {
    "BG": "cp1251", "CZ": "cp1250", "EE": "cp1257", "HR": "cp1250", "HU": "cp1250", "LT": "cp1257", "LV": "cp1257",
    "PL": "cp1250", "RO": "cp1250", "SI": "cp1250", "SK": "cp1250",
}  # fmt: skip
"""The Windows code page of a country's offices; cp1252 elsewhere."""

NO_LATIN_1 = ("LT", "LV")
"""Countries whose own letters beyond ASCII are all missing in Latin-1: where a text has such letters, it is garbled."""

CONTROL = re.compile("[\x80-\x9f]")
"""Signs that no text has: where they stand, a Windows code page was read as Latin-1."""

DRIVER_IDS = {0x64: "cp852", 0x96: "cp866", 0xC8: "cp1250", 0xC9: "cp1251", 0xCB: "cp1253", 0xCC: "cp1257"}
"""Byte 29 of a .dbf, as far as it says more than that the writer was Windows (0x57, 0x03) or nothing (0)."""


def code_page(country: str) -> str:
    return CODE_PAGES.get(country[:2].upper(), WESTERN)


def mended(text: str, country: str) -> str:
    """Letters as they were before a program took their bytes for another encoding.

    UTF-8 read as Windows-1252 shows as `kalanchoÃ«` (Flanders), CP1257 read as Latin-1 as `Þieminiai` (Lithuania).
    A letter that was replaced by `?` (Latvia) is lost and stays so.
    """
    if text.isascii():
        return text
    again = _read_again(text, WESTERN, "utf-8") or _read_again(text, "latin-1", "utf-8")
    if again is None and (country[:2].upper() in NO_LATIN_1 or CONTROL.search(text)):
        again = _read_again(text, "latin-1", code_page(country))
    return again or text


def _read_again(text: str, wrong: str, right: str) -> str | None:
    try:
        return text.encode(wrong).decode(right)
    except UnicodeError:
        return None


def codes_of(values: Iterable[Any]) -> Objects:
    """Codes as text: 593.0 becomes "593", "088" stays, null and blank become None."""
    return _each(values, plain_code)


def names_of(values: Iterable[Any], country: str) -> Objects:
    """Names as text, mended; null and blank become None."""
    return _each(values, lambda value: _name(value, country))


def _name(value: Any, country: str) -> str | None:
    if value is None or value != value:
        return None
    return mended(str(value).strip(), country) or None


def _each(values: Iterable[Any], change: Callable[[Any], str | None]) -> Objects:
    """A country has a few hundred different crops, so each is worked on once."""
    known: dict[Any, str | None] = {}
    changed = []
    for value in values:
        if value not in known:
            known[value] = change(value)
        changed.append(known[value])
    return np.array(changed, dtype=object)


def encodings(shapefile: Path, country: str) -> tuple[str | None, ...]:
    """In which a shapefile's table may be written, likeliest first; None is what a .cpg file says, and may lie."""
    beside = {path.suffix.lower(): path for path in shapefile.parent.glob(f"{_literally(shapefile.stem)}.*")}
    if ".dbf" not in beside:
        return ()
    with beside[".dbf"].open("rb") as file:
        head = file.read(30)
    page = DRIVER_IDS.get(head[29]) if len(head) == 30 else None
    return None if ".cpg" in beside else "utf-8", page or code_page(country), "latin-1"


def _literally(name: str) -> str:
    return "".join(f"[{letter}]" if letter in "[*?" else letter for letter in name)


def parts_of(values: Iterable[Any], after: str, before: str = "") -> Objects:
    """What stands after the last `after` and before the first `before` of each text."""

    def part(value: Any) -> str | None:
        if value is None or value != value:
            return None
        text = str(value).rsplit(after, 1)[-1] if after else str(value)
        return text.split(before, 1)[0] if before else text

    return _each(values, part)


def numbers_of(values: Iterable[Any]) -> NDArray[np.float64]:
    """Numbers, also those written as text with a decimal comma; NaN for what is none."""
    if isinstance(values, np.ndarray) and values.dtype.kind in "iuf":
        return values.astype(np.float64)
    return np.array([_number(value) for value in values], dtype=np.float64)


def _number(value: Any) -> float:
    try:
        return float(str(value).replace(",", "."))
    except ValueError:
        return float("nan")
