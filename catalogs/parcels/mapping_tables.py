"""Reads the CSV tables that lead from a country's crops to classes, in the formats that there are."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from catalogs.csv_rows import CsvTable, read_csv
from catalogs.errors import BadInput
from catalogs.parcels.corrections import Correction, corrections
from catalogs.parcels.crop_keys import code_keys, exact_key
from catalogs.taxonomy import IGNORE, Taxonomy, family, plain_code

FORMATS = (
    "original_code and/or original_name with HCAT3_code (EuroCrops); "
    "nuts, original_code, hcat4_code (EuroCropsV2); "
    "your own: code and/or name with class, or code and/or name with hcat"
)
NUTS = {"BE_VLG": "be2", "BE_WAL": "be3", "DE_BB": "de4", "DE_NRW": "dea"}
"""EuroCropsV2 calls parts of countries by their NUTS codes; others have the country's own name in small letters."""


@dataclass(frozen=True)
class Entry:
    """A crop of the table: its code and names there, where it leads, and what it is called in English."""

    code: str
    names: tuple[str, ...]
    number: int
    hcat: str | None
    title: str
    english: str


@dataclass(frozen=True)
class Mapping:
    format: str
    entries: tuple[Entry, ...]
    corrected: tuple[Correction, ...] = ()


def read_mapping(path: Path, taxonomy: Taxonomy, country: str) -> Mapping:
    """The format is told from the header."""
    table = read_csv(path)
    columns = set(table.columns)
    keyed = any(name.startswith("original_") for name in columns)
    if {"nuts", "original_code", "hcat4_code"} <= columns:
        mapping = Mapping("eurocrops-v2", tuple(_of_v2(table, taxonomy, country)))
    elif keyed and columns & {"hcat3_code", "hcat2_code"}:
        mapping = _of_eurocrops(table, taxonomy)
    elif columns & {"code", "name"} and columns & {"class", "hcat"}:
        mapping = Mapping("own", tuple(_of_own(table, taxonomy)))
    else:
        why = f"Its columns ({', '.join(table.columns) or 'none'}) are of no format that is known."
        raise BadInput(f"mapping {path}", why, f"The formats are: {FORMATS}.")
    if not mapping.entries:
        raise BadInput(f"mapping {path}", "It has no crop.", "Give the whole table.")
    return mapping


def _of_eurocrops(table: CsvTable, taxonomy: Taxonomy) -> Mapping:
    """Older tables have HCAT2 codes only; rows without code and name hold the second crop of a mixture."""
    level = "hcat3" if "hcat3_code" in table.columns else "hcat2"
    naming = [name for name in table.columns if name.startswith("original_name")]
    entries, corrected = [], []
    for line, row in table.rows:
        code, names = row.get("original_code", ""), tuple(dict.fromkeys(filter(None, map(row.__getitem__, naming))))
        hcat = plain_code(row[f"{level}_code"])
        if not (code or names) or hcat is None:
            continue
        wrong = next((c for c in corrections() if any(c.fits(code, name, hcat) for name in names)), None)
        corrected += [wrong] if wrong else []
        found = wrong.right if wrong else hcat
        title = "" if wrong else _title(row.get(f"{level}_name", ""))
        number = _class_of(found, table.at(line), taxonomy)
        entries.append(Entry(code, names, number, found, title, row.get("translated_name", "")))
    return Mapping("eurocrops", tuple(entries), tuple(corrected))


def _of_v2(table: CsvTable, taxonomy: Taxonomy, country: str) -> Iterator[Entry]:
    """The usage parts silage from grain maize, which share a code; both are one class, so it only tells the reader."""
    nuts = NUTS.get(country, country.lower())
    known = sorted({row["nuts"].lower() for _, row in table.rows})
    if nuts not in known:
        given = f"country {country!r} with mapping {table.path}"
        raise BadInput(given, "The table has no crops of it.", f"It has: {', '.join(known).upper()}.")
    for line, row in table.rows:
        if row["nuts"].lower() == nuts:
            hcat, usage = row["hcat4_code"], row.get("usage_name", "")
            how = f" ({usage})" if row.get("usage_code", "0") not in ("0", "") and usage else ""
            names = tuple(filter(None, [row.get("original_name", "")]))
            number, title = _class_of(hcat, table.at(line), taxonomy), _title(row.get("hcat4_name", ""))
            yield Entry(row["original_code"], names, number, hcat, title, row.get("translated_name", "") + how)


def _of_own(table: CsvTable, taxonomy: Taxonomy) -> Iterator[Entry]:
    """A crop that stands there twice must lead to one class; its code counts, its name where it has no code."""
    seen: dict[tuple[bool, str], int] = {}
    for line, row in table.rows:
        code, name, where = row.get("code", ""), row.get("name", ""), table.at(line)
        if not (code or name):
            raise BadInput(where, "It has no code and no name.", "Remove the line, or fill it in.")
        hcat = plain_code(row.get("hcat", ""))
        number = _own_class(row["class"], where, taxonomy) if "class" in row else _class_of(hcat or "", where, taxonomy)
        key = (True, code_keys(code)[0]) if code else (False, exact_key(name))
        if key[1] and seen.setdefault(key, number) != number:
            raise BadInput(f"crop {code or name!r} in {where}", "A line above gives it another class.", "Keep one.")
        yield Entry(code, (name,) if name else (), number, hcat, "", row.get("title", ""))


def _own_class(given: str, where: str, taxonomy: Taxonomy) -> int:
    """A class by its name or its id; `ignore` or 255 leaves the crop's parcels out."""
    numbers = {name: n for n, name in enumerate(taxonomy.names)} | {"ignore": IGNORE, str(IGNORE): IGNORE}
    numbers |= {str(n): n for n in range(len(taxonomy.names))}
    if given.lower() not in numbers:
        remedy = f"Write one of {', '.join(taxonomy.names)}, ignore, or its id."
        raise BadInput(f"class {given!r} in {where}", "There is none such.", remedy)
    return numbers[given.lower()]


def _class_of(hcat: str, where: str, taxonomy: Taxonomy) -> int:
    if family(hcat) is None:
        why = "It is not an HCAT code: ten digits that start with 33."
        raise BadInput(f"HCAT code {hcat!r} in {where}", why, "Correct it, or give the table as it was published.")
    try:
        return taxonomy.class_of(hcat)
    except BadInput as error:
        raise BadInput(f"{error.given} in {where}", error.why, error.remedy) from error


def _title(hcat_name: str) -> str:
    return hcat_name.replace("_", " ").capitalize()
