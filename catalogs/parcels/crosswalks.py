"""Leads from the crops that farmers declared to the classes of a map, for every kind of parcel file."""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from catalogs.errors import BadInput
from catalogs.parcels.corrections import Correction, corrections
from catalogs.parcels.mapping_tables import FORMATS, Entry, read_mapping
from catalogs.parcels.matching import Index
from catalogs.taxonomy import IGNORE, Taxonomy, family, plain_code

Objects = NDArray[np.object_]

MAPPED, NULL, NOT_KNOWN, UNKNOWN = 0, 1, 2, 3
"""Has a class (background counts) | no code | the code says that it is not known | not in the tables."""

Outcome = tuple[int, str | None, int]
"""Class, HCAT code, status."""


@dataclass(frozen=True, eq=False)
class Harmonised:
    """Parcel by parcel; the class is 255 unless the status is MAPPED, hcat None where no HCAT code is known."""

    classes: NDArray[np.uint8]
    hcat: Objects
    status: NDArray[np.uint8]


@dataclass(frozen=True)
class Crosswalk:
    """`entries` None: the file's codes are HCAT codes already. `corrected` says which rows of the table were mended."""

    identity: str
    taxonomy: Taxonomy
    entries: tuple[Entry, ...] | None
    titles: tuple[tuple[str, str], ...]
    corrected: tuple[Correction, ...]

    def harmonise(self, codes: Objects, names: Objects) -> Harmonised:
        """Each different pair of code and name is looked up once: a country has a few hundred of them."""
        places: dict[tuple[Any, Any], int] = {}
        where = np.array([places.setdefault(pair, len(places)) for pair in zip(codes, names, strict=True)], dtype=int)
        outcomes = [self._outcome(plain_code(code), _name(name)) for code, name in places]
        classes, hcat, status = zip(*outcomes, strict=True) if outcomes else ((), (), ())
        return Harmonised(
            np.array(classes, dtype=np.uint8)[where],
            np.array(hcat, dtype=object)[where],
            np.array(status, dtype=np.uint8)[where],
        )

    def title(self, hcat: str) -> str:
        """The English name of an HCAT code if the table gave one, else the code."""
        return self._titles.get(hcat, hcat)

    def english(self, code: str | None, name: str | None) -> str:
        """What a crop of the country is called in the table's English, with its usage; empty if it is not there."""
        return "" if self._index is None or (entry := self._index.find(code, name)) is None else entry.english

    @property
    def ambiguous(self) -> tuple[str, ...]:
        """Codes and names that the table leads to several classes: alone they are unknown."""
        return () if self._index is None else self._index.ambiguous

    def _outcome(self, code: str | None, name: str | None) -> Outcome:
        if code is None and (name is None or self._index is None):
            return IGNORE, None, NULL
        if self._index is None:
            return self._translated(code or "", name)
        entry = self._index.find(code, name)
        return (IGNORE, None, UNKNOWN) if entry is None else _settled(entry.number, entry.hcat)

    def _translated(self, code: str, name: str | None) -> Outcome:
        """Of a file that EuroCrops translated: also its wrong rows are mended, as far as a name tells them."""
        wrong = (c for c in self.corrected if name is not None and c.fits_parcel(name, code))
        hcat = next((correction.right for correction in wrong), code)
        if family(hcat) not in self.taxonomy.families:
            return IGNORE, None, UNKNOWN
        return _settled(self.taxonomy.class_of(hcat), hcat)

    @cached_property
    def _index(self) -> Index | None:
        return None if self.entries is None else Index(self.entries)

    @cached_property
    def _titles(self) -> dict[str, str]:
        return dict(self.titles)


def open_crosswalk(kind: str, mapping: Path | None, taxonomy: Taxonomy, country: str) -> Crosswalk:
    """`eurocrops` has HCAT codes in the file, so its mapping, if any, only gives titles; the others need one."""
    if mapping is None and kind != "eurocrops":
        raise BadInput(f"a parcel file of kind {kind}", "It needs a mapping.", f"Give a CSV file with {FORMATS}.")
    table = read_mapping(mapping, taxonomy, country) if mapping else None
    if table and kind == "eurocrops" and table.format != "eurocrops":
        why = "EuroCrops files hold HCAT codes, so that only a country table of EuroCrops fits, for the titles."
        remedy = "Leave it out and change classes by a crosswalk of prefixes, or use the kind national."
        raise BadInput(f"mapping {mapping}", why, remedy)
    entries = table.entries if table else ()
    titles = tuple(sorted(_titles(entries).items()))
    if kind == "eurocrops":
        corrected = tuple(c for c in corrections() if c.country == country)
        return Crosswalk(_digest(taxonomy, None, corrected), taxonomy, None, titles, corrected)
    corrected = table.corrected if table else ()
    return Crosswalk(_digest(taxonomy, entries, corrected), taxonomy, entries, titles, corrected)


def _titles(entries: Iterable[Entry]) -> dict[str, str]:
    return {entry.hcat: entry.title for entry in entries if entry.hcat and entry.title}


def _settled(number: int, hcat: str | None) -> Outcome:
    return number, hcat, NOT_KNOWN if number == IGNORE else MAPPED


def _name(value: object) -> str | None:
    return None if value is None or value != value else str(value).strip() or None


def _digest(taxonomy: Taxonomy, entries: tuple[Entry, ...] | None, corrected: tuple[Correction, ...]) -> str:
    """What changes a class or an HCAT code; the order of the table's rows counts, since it settles ties."""
    rows = entries and [[entry.code, entry.names, entry.number, entry.hcat] for entry in entries]
    content = [taxonomy.identity, rows, [asdict(c) for c in corrected]]
    return sha256(json.dumps(content).encode()).hexdigest()[:16]
