"""Reads CSV tables that people write and programs export, and says in which line something is wrong."""

import csv
from dataclasses import dataclass
from io import StringIO
from pathlib import Path

from catalogs.errors import BadInput

Row = dict[str, str]


@dataclass(frozen=True)
class CsvTable:
    """All values are text, as they stand: a code such as NA, 000 or 001 means itself."""

    path: Path
    columns: tuple[str, ...]
    rows: tuple[tuple[int, Row], ...]

    def at(self, line: int) -> str:
        return f"line {line} of {self.path}"

    def need(self, *columns: str) -> None:
        if missing := ", ".join(name for name in columns if name not in self.columns):
            raise BadInput(f"table {self.path}", f"It has no column {missing}.", f"Add {missing}.")


def read_csv(path: Path) -> CsvTable:
    """Names of columns in lower case; no blanks around anything; empty lines left out."""
    try:
        # utf-8-sig: spreadsheet programs put a byte order mark before the first column's name
        text = path.read_text(encoding="utf-8-sig")
        lines = csv.reader(StringIO(text, newline=""), delimiter=_delimiter(text), strict=True)
        columns = tuple(name.strip().lower() for name in next(lines, []))
        rows = tuple((lines.line_num, _row(columns, values)) for values in lines if any(map(str.strip, values)))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise BadInput(f"table {path}", f"It cannot be read ({error}).", "Give a CSV file in UTF-8.") from error
    if len(set(columns)) < len(columns):
        raise BadInput(f"table {path}", "Two of its columns have the same name.", "Rename or remove one.")
    return CsvTable(path, columns, rows)


def _delimiter(text: str) -> str:
    """Where the comma is the decimal sign, spreadsheet programs part columns by semicolons."""
    head = text.partition("\n")[0]
    return max(",;\t", key=head.count)


def _row(columns: tuple[str, ...], values: list[str]) -> Row:
    return {name: values[i].strip() if i < len(values) else "" for i, name in enumerate(columns)}
