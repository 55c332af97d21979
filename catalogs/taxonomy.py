"""The crop classes of a map, and the table that leads from EuroCrops HCAT3 codes to them.

The tables are data: `tables/classes.csv` (id, name, title, colour) and `tables/hcat3.csv` (prefix, class). An HCAT3
code is `33` and four two-digit pairs from coarse to fine, so a prefix ends on a whole pair and the longest one wins.
"""

import csv
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache
from hashlib import sha256
from pathlib import Path

import numpy as np

from catalogs.errors import BadInput

BACKGROUND = 0
IGNORE = 255
NO_DATA_COLOUR = "#00000000"
TABLES = Path(__file__).parent / "tables"

HCAT3 = re.compile(r"330\d{7}|3399000000|3000000000")
"""The crops, `not_known_and_other`, and the root of `characteristics`; HCAT2 codes have the same shape."""
HCAT4 = re.compile(r"33[1-7]\d{7}|3390000000")
"""EuroCropsV2's codes: ten digits that start with 33 as well, told apart by the third digit."""
PREFIX = re.compile(r"33(\d\d){1,4}|33")


@dataclass(frozen=True)
class Taxonomy:
    """The classes in the order of their ids, and the crosswalk (prefix, class id) in the order of the prefixes."""

    names: tuple[str, ...]
    titles: tuple[str, ...]
    colours: tuple[str, ...]
    crosswalk: tuple[tuple[str, int], ...]

    @property
    def identity(self) -> str:
        """The same for the same tables, wherever and in whatever order of lines they were read."""
        content = [self.names, self.titles, self.colours, self.crosswalk]
        return sha256(json.dumps(content).encode()).hexdigest()[:16]

    @property
    def flag_colours(self) -> str:
        return " ".join(self.colours)

    def class_of(self, code: str | None) -> int:
        """255 for no code and for codes that the crosswalk says to ignore, 0 for every crop that it does not name."""
        plain = plain_code(code)
        if plain is None:
            return IGNORE
        if not HCAT3.fullmatch(plain):
            raise _not_hcat3(plain)
        return next((self._classes[plain[:n]] for n in (10, 8, 6, 4, 2) if plain[:n] in self._classes), BACKGROUND)

    def palette(self) -> np.ndarray:
        """Red, green, blue, opacity for each of the 256 values of a crop array; what is not a class is transparent."""
        table = np.zeros((256, 4), dtype=np.uint8)
        for number, colour in enumerate(self.colours):
            table[number] = (*bytes.fromhex(colour[1:]), 255)
        return table

    @cached_property
    def _classes(self) -> dict[str, int]:
        return dict(self.crosswalk)


def plain_code(code: object) -> str | None:
    """A code as text without blanks; None for null, NaN and empty text.

    Readers that took the column for a number give 3301010401 or "3301010401.0": nothing is lost, so both are mended.
    """
    if code is None or code != code:
        return None
    text = str(code).strip()
    return re.sub(r"\.0+$", "", text) or None


@lru_cache(maxsize=1)
def ten_crops() -> Taxonomy:
    """Background and the ten crops that every country's EuroCrops table tells apart."""
    return read_taxonomy(TABLES / "classes.csv", TABLES / "hcat3.csv")


def read_taxonomy(classes: Path, crosswalk: Path) -> Taxonomy:
    """Read and check both tables."""
    rows = list(_rows(classes, ("id", "name", "title", "colour")))
    _check_classes(classes, rows)
    names = tuple(row["name"] for row in rows)
    pairs = [(row["prefix"], row["class"]) for row in _rows(crosswalk, ("prefix", "class"))]
    _check_crosswalk(crosswalk, pairs, len(names))
    return Taxonomy(
        names=names,
        titles=tuple(row["title"] for row in rows),
        colours=tuple(row["colour"].lower() for row in rows),
        crosswalk=tuple(sorted((prefix, int(number)) for prefix, number in pairs)),
    )


def _rows(path: Path, columns: tuple[str, ...]) -> Iterator[dict[str, str]]:
    try:
        # utf-8-sig: spreadsheet programs put a byte order mark before the first column's name
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            if missing := [name for name in columns if name not in (reader.fieldnames or ())]:
                raise BadInput(f"table {path}", f"It has no column {', '.join(missing)}.", f"Add {', '.join(missing)}.")
            yield from ({name: (row[name] or "").strip() for name in columns} for row in reader)
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"table {path}", f"It cannot be read ({error}).", "Give a CSV file in UTF-8.") from error


def _check_classes(path: Path, rows: list[dict[str, str]]) -> None:
    if [row["id"] for row in rows] != [str(n) for n in range(len(rows))] or not 2 <= len(rows) <= IGNORE:
        raise BadInput(f"table {path}", "Its ids are not 0, 1, 2 ...", "Number the classes in order, background first.")
    names = [row["name"] for row in rows]
    for name in names:
        # CF flag_meanings is a list of words parted by blanks
        if not re.fullmatch(r"[a-z][a-z0-9_]*", name) or names.count(name) > 1:
            raise BadInput(f"name {name!r} in {path}", "It is there twice or not a word.", "Write it like sugar_beet.")
    for row in rows:
        if not re.fullmatch(r"#[0-9a-fA-F]{6}", row["colour"]):
            raise BadInput(f"colour {row['colour']!r} in {path}", "It is not a colour.", "Write it like #c25c16.")


def _check_crosswalk(path: Path, pairs: list[tuple[str, str]], count: int) -> None:
    known = {str(n) for n in range(count)} | {str(IGNORE)}
    seen: set[str] = set()
    for prefix, number in pairs:
        if not PREFIX.fullmatch(prefix):
            raise BadInput(f"prefix {prefix!r} in {path}", "It is not 33 and two-digit pairs.", "Write it like 330103.")
        if prefix in seen:
            raise BadInput(f"prefix {prefix!r} in {path}", "It is there twice.", "Keep one of the lines.")
        if number not in known:
            raise BadInput(f"class {number!r} in {path}", "There is none such.", f"Use 0 to {count - 1}, or {IGNORE}.")
        seen.add(prefix)


def _not_hcat3(code: str) -> BadInput:
    if HCAT4.fullmatch(code):
        return BadInput(
            f"crop code {code!r}",
            "It is an HCAT4 code (EuroCropsV2), and the crosswalk is for HCAT3.",
            "Use the EuroCrops file of that country, or translate the codes to HCAT3 first.",
        )
    return BadInput(
        f"crop code {code!r}",
        "It is not an HCAT3 code: ten digits that start with 330, or 3399000000 for a crop not known.",
        "Correct it in the file, or leave it empty so that the parcel is ignored.",
    )
