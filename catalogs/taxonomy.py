"""The crop classes of a map, and the tables that lead from EuroCrops' HCAT codes to them.

The tables are data: `tables/classes.csv` (id, name, title, colour), `tables/hcat3.csv` and `tables/hcat4.csv` (prefix,
class). The longest prefix of a code wins. A prefix ends where a level of the code ends: an HCAT3 code (and an HCAT2
code, of the same shape) is `33` and four two-digit pairs from coarse to fine; an HCAT4 code, EuroCropsV2's, is `33`, a
digit, three pairs and a digit for the season. The third digit tells the families apart.
"""

import json
import re
from dataclasses import dataclass
from functools import cached_property, lru_cache
from hashlib import sha256
from pathlib import Path
from typing import Literal

import numpy as np

from catalogs.csv_rows import CsvTable, Row, read_csv
from catalogs.errors import BadInput

BACKGROUND = 0
IGNORE = 255
NO_DATA_COLOUR = "#00000000"
TABLES = Path(__file__).parent / "tables"

Family = Literal["HCAT3", "HCAT4"]
HCAT3 = re.compile(r"330\d{7}|3399000000|3000000000")
HCAT4 = re.compile(r"33[1-7]\d{7}|3390000000")
PREFIX3 = re.compile(r"33|330\d(\d\d){0,3}|3399(00){0,3}|3000000000")
PREFIX4 = re.compile(r"33|33[1-7](\d\d){0,3}|33[1-7]\d{7}|339(00){0,3}|3390000000")
LEVELS: dict[Family, tuple[int, ...]] = {"HCAT3": (10, 8, 6, 4, 2), "HCAT4": (10, 9, 7, 5, 3, 2)}
"""How many digits of a code name it, its parent, and so on."""

NOT_KNOWN = {"3399000000": "HCAT3", "3390000000": "HCAT4", "3000000000": "HCAT3"}
"""`not_known_and_other` of both families, and the root of `characteristics`: no crop is said."""


RESERVED = {
    *("ignore", "no_data"),
    *(
        "patch",
        "split",
        "block",
        "country",
        "year",
        "y",
        "x",
        "size",
        "inside",
        "labelled",
        "clear",
        "classes",
        "geometry",
    ),
}
"""No names of classes: two are added to CF's flag_meanings, where names are words parted by blanks; the others are
columns of the patch index, where each class has one."""


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

    @cached_property
    def families(self) -> tuple[Family, ...]:
        """The families of codes that the crosswalk speaks of: codes of another would all be background unnoticed."""
        patterns: dict[Family, re.Pattern[str]] = {"HCAT3": PREFIX3, "HCAT4": PREFIX4}
        said = [prefix for prefix, _ in self.crosswalk if not prefix.startswith(("339", "30"))]
        return tuple(name for name, pattern in patterns.items() if any(map(pattern.fullmatch, said)))

    def class_of(self, code: str | None) -> int:
        """255 for no code and for codes that the crosswalk says to ignore, 0 for every crop that it does not name."""
        plain = plain_code(code)
        if plain is None:
            return IGNORE
        found = family(plain)
        if found is None or found not in self.families:
            raise _no_class(plain, found)
        unnamed = IGNORE if plain in NOT_KNOWN else BACKGROUND
        return next((self._classes[plain[:n]] for n in LEVELS[found] if plain[:n] in self._classes), unnamed)

    def palette(self) -> np.ndarray:
        """Red, green, blue, opacity for each of the 256 values of a crop array; what is not a class is transparent."""
        table = np.zeros((256, 4), dtype=np.uint8)
        for number, colour in enumerate(self.colours):
            table[number] = (*bytes.fromhex(colour[1:]), 255)
        return table

    @cached_property
    def _classes(self) -> dict[str, int]:
        return dict(self.crosswalk)


def family(code: str) -> Family | None:
    """The family that a ten-digit code belongs to; None for what is not an HCAT code. HCAT2 has HCAT3's shape."""
    if HCAT3.fullmatch(code):
        return "HCAT3"
    return "HCAT4" if HCAT4.fullmatch(code) else None


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
    return read_taxonomy(TABLES / "classes.csv", TABLES / "hcat3.csv", TABLES / "hcat4.csv")


def read_taxonomy(classes: Path, *crosswalks: Path) -> Taxonomy:
    """Read and check the tables; prefixes of both families may stand in one file or in several."""
    table = read_csv(classes)
    _check_classes(table)
    rows = [row for _, row in table.rows]
    prefixes: dict[str, int] = {}
    for path in crosswalks:
        _add_prefixes(prefixes, read_csv(path), len(rows))
    return Taxonomy(
        names=tuple(row["name"] for row in rows),
        titles=tuple(row["title"] or row["name"] for row in rows),
        colours=tuple(row["colour"].lower() for row in rows),
        crosswalk=tuple(sorted(prefixes.items())),
    )


def _check_classes(table: CsvTable) -> None:
    table.need("id", "name", "title", "colour")
    count = len(table.rows)
    if [row["id"] for _, row in table.rows] != [str(n) for n in range(count)] or not 2 <= count <= IGNORE:
        why = "Its ids are not 0, 1, 2 ... up to 254 at most."
        raise BadInput(f"table {table.path}", why, "Number two classes or more in order, background first.")
    seen: set[str] = set()
    for line, row in table.rows:
        _check_class(row, table.at(line), seen)
        seen |= {row["name"], row["title"]} - {""}


def _check_class(row: Row, where: str, seen: set[str]) -> None:
    name, colour = row["name"], row["colour"]
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name) or name in RESERVED:
        raise BadInput(f"name {name!r} in {where}", "It is not a word, or a reserved one.", "Write it like sugar_beet.")
    if twice := sorted({name, row["title"]} & seen):
        raise BadInput(f"{twice[0]!r} in {where}", "A class above has it.", "Give each class its own name and title.")
    if not re.fullmatch(r"#[0-9a-fA-F]{6}", colour):
        raise BadInput(f"colour {colour!r} in {where}", "It is not a colour.", "Write it like #c25c16.")


def _add_prefixes(prefixes: dict[str, int], table: CsvTable, count: int) -> None:
    table.need("prefix", "class")
    if not table.rows:
        raise BadInput(f"table {table.path}", "It has no line: every crop would be background.", "Write some prefixes.")
    known = {str(n) for n in range(count)} | {str(IGNORE)}
    for line, row in table.rows:
        prefix, number = row["prefix"], row["class"]
        if not (PREFIX3.fullmatch(prefix) or PREFIX4.fullmatch(prefix)):
            remedy = "Write whole levels: 330103 (HCAT3: 33 and pairs) or 33103 (HCAT4: 33, a digit and pairs)."
            raise BadInput(f"prefix {prefix!r} in {table.at(line)}", "No HCAT code has such a level.", remedy)
        if prefix in prefixes:
            raise BadInput(f"prefix {prefix!r} in {table.at(line)}", "It is there twice.", "Keep one of the lines.")
        if number not in known:
            given = f"class {number!r} in {table.at(line)}"
            raise BadInput(given, "There is none such.", f"Use 0 to {count - 1}, or {IGNORE} to ignore the crop.")
        prefixes[prefix] = int(number)


def _no_class(code: str, found: Family | None) -> BadInput:
    if found:
        why = f"It is an {found} code, and the crosswalk has no prefix of that family."
        return BadInput(f"crop code {code!r}", why, "Add lines for it: docs/taxonomy.md shows both layouts.")
    return BadInput(
        f"crop code {code!r}",
        "It is not an HCAT code: ten digits that start with 330 (HCAT3) or 331 to 337 (HCAT4).",
        "Correct it in the file, or leave it empty so that the parcel is ignored.",
    )
