"""Rows of EuroCrops' country tables that are known to be wrong, and what they should say.

A correction finds its row by code, name and wrong HCAT code, whatever the file is called: once the row is mended at its
source, the correction no longer applies.
"""

from dataclasses import dataclass
from functools import lru_cache

from catalogs.csv_rows import read_csv
from catalogs.parcels.crop_keys import code_keys, exact_key, readings
from catalogs.taxonomy import TABLES


@dataclass(frozen=True)
class Correction:
    country: str
    code: str
    name: str
    english: str
    wrong: str
    right: str
    reason: str

    def fits(self, code: str, name: str, hcat: str) -> bool:
        """Whether a row of a country's table is the wrong one."""
        return hcat == self.wrong and code_keys(code) == code_keys(self.code) and _is_one(name, (self.name,))

    def fits_parcel(self, name: str, hcat: str) -> bool:
        """Whether a parcel of the country that EuroCrops translated already got its code from the wrong row."""
        return hcat == self.wrong and _is_one(name, (self.name, self.english))

    def __str__(self) -> str:
        return f"{self.name} ({self.english}): {self.right} instead of {self.wrong}, {self.reason}"


@lru_cache(maxsize=1)
def corrections() -> tuple[Correction, ...]:
    columns = ("country", "code", "name", "english", "from", "to", "reason")
    table = read_csv(TABLES / "corrections.csv")
    return tuple(Correction(*(row[column] for column in columns)) for _, row in table.rows)


def _is_one(name: str, names: tuple[str, ...]) -> bool:
    return bool({exact_key(reading) for reading in readings(name)} & {exact_key(known) for known in names})
