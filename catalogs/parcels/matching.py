"""Finds the row of a country's crop table that a declared code and name mean."""

from collections import defaultdict
from collections.abc import Iterable, Sequence

from catalogs.parcels.crop_keys import accentless_key, code_keys, damaged_key, exact_key, is_damaged, readings
from catalogs.parcels.mapping_tables import Entry

Table = dict[str, dict[int, None]]
"""A key's rows, by number, in the order of the table."""


class Index:
    """Every way to a row, from strict to loose: the first that finds something decides."""

    def __init__(self, entries: Sequence[Entry]) -> None:
        self.entries = entries
        named = [(name, n) for n, entry in enumerate(entries) for name in entry.names]
        coded = [(code_keys(entry.code), n) for n, entry in enumerate(entries) if entry.code]
        self._codes = [_table((keys[loose], n) for keys, n in coded) for loose in (0, 1)]
        self._exact = _table((exact_key(name), n) for name, n in named)
        self._accentless = _table((accentless_key(name), n) for name, n in named)
        reread = [(reading, n) for name, n in named for reading in readings(name)]
        self._reread = _table((exact_key(reading), n) for reading, n in reread)
        self._reread_accentless = _table((accentless_key(reading), n) for reading, n in reread)
        self._left = _table((damaged_key(name), n) for name, n in named)
        self._left_of_damaged = _table((damaged_key(name), n) for name, n in named if is_damaged(name))

    def find(self, code: str | None, name: str | None) -> Entry | None:
        """By code first; the name tells rows of one code apart, and finds the row where the code does not.

        Rows that agree on the class are as good as one; None where they do not, and where there is none.
        """
        by_name = self._named(name) if name else []
        by_code = self._coded(code) if code else []
        both = [n for n in by_code if n in by_name]
        # a single column that holds names may have been taken for the codes
        rows = both or by_code or by_name or (self._named(code) if code else [])
        return self.entries[rows[0]] if self._agree(rows) else None

    @property
    def ambiguous(self) -> tuple[str, ...]:
        """The codes and names whose rows lead to several classes."""
        unsettled = [key for table in (self._codes[0], self._exact) for key, rows in table.items()
                     if not self._agree(rows)]  # fmt: skip
        return tuple(dict.fromkeys(unsettled))

    def _agree(self, rows: Iterable[int]) -> bool:
        return len({self.entries[n].number for n in rows}) == 1

    def _coded(self, code: str) -> list[int]:
        return next((list(t[key]) for t, key in zip(self._codes, code_keys(code), strict=True) if key in t), [])

    def _named(self, name: str) -> list[int]:
        left = self._left if is_damaged(name) else self._left_of_damaged
        tries = [(self._exact, exact_key(name)), (self._accentless, accentless_key(name))]
        tries += [(self._reread, exact_key(reading)) for reading in readings(name)]
        tries += [(self._reread_accentless, accentless_key(reading)) for reading in readings(name)]
        tries += [(left, damaged_key(reading)) for reading in readings(name)]
        return next((list(table[key]) for table, key in tries if key in table), [])


def _table(pairs: Iterable[tuple[str, int]]) -> Table:
    table: Table = defaultdict(dict)
    for key, row in pairs:
        if key:
            table[key][row] = None
    return dict(table)
