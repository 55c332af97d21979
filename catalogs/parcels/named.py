"""Files of EuroCrops by their names: `eurocrops:AT_2021` stands for an address and, where it is known, an md5 sum."""

import csv
import difflib
from dataclasses import dataclass

from catalogs.errors import BadInput
from catalogs.taxonomy import TABLES

PREFIX = "eurocrops:"

RECORD = "https://zenodo.org/records/14094196/files"
"""Version 11 of EuroCrops on Zenodo."""


@dataclass(frozen=True)
class Named:
    name: str
    address: str
    md5: str
    """empty where it is not known"""


def named(text: str) -> Named:
    """What a name stands for; case does not count, and `.zip` may follow."""
    wished = text.removeprefix(PREFIX).strip().removesuffix(".zip").casefold()
    names = {name.casefold(): (name, md5) for name, md5 in _table()}
    if wished not in names:
        near = [names[each][0] for each in difflib.get_close_matches(wished, names, n=3, cutoff=0.5)]
        meant = f"Did you mean {' or '.join(near)}? " if near else ""
        every = ", ".join(name for name, _ in names.values())
        raise BadInput(f"parcel file {text}", "EuroCrops has no file of that name.", f"{meant}It has {every}.")
    name, md5 = names[wished]
    return Named(name, f"{RECORD}/{name}.zip", md5)


def _table() -> list[tuple[str, str]]:
    with (TABLES / "eurocrops_files.csv").open(encoding="utf-8", newline="") as file:
        return [(row["name"], row["md5"]) for row in csv.DictReader(file)]
