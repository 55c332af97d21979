"""The record of a part of the parcel table: what was read, what was dropped and why, and every code that was kept."""

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from catalogs.parcels.mending import FAULTS, SOUND
from catalogs.parcels.table import Rows

NAMED = 50
"""Dropped parcels that a record names for each reason."""

OTHER_YEAR = len(FAULTS)
REASONS = (*FAULTS[1:], "other_year")
"""Why a parcel was dropped, by the number of its fault; declarations of a year that is not asked for come last."""


def dropped(numbers: NDArray[np.int64], fault: NDArray[np.int64]) -> dict[str, Any]:
    """`numbers` are places in the file, from 0; parcels are named from 1, as in the table."""
    of_reason = {reason: numbers[fault == number] + 1 for number, reason in enumerate(REASONS, start=1)}
    return {
        "read": len(fault),
        "kept": int(np.count_nonzero(fault == SOUND)),
        "dropped": {reason: len(ids) for reason, ids in of_reason.items()},
        "dropped_parcels": {reason: ids[:NAMED].tolist() for reason, ids in of_reason.items() if len(ids)},
    }


def kept_rows(rows: Rows) -> dict[str, Any]:
    told = (rows.declared > 0) & (rows.hectares > 0)
    ratio = float(np.median(rows.declared[told] / rows.hectares[told])) if told.any() else None
    years, counts = np.unique(rows.year[rows.year != 0], return_counts=True)
    abroad = ~rows.inside
    return {
        "codes": _codes(rows),
        "years": {str(year): int(count) for year, count in zip(years, counts, strict=True)},
        "outside": [int(np.count_nonzero(abroad)), round(float(rows.hectares[abroad].sum()), 4)],
        "repaired": int(np.count_nonzero(rows.repaired)),
        "narrow": int(np.count_nonzero(rows.narrow)),
        "declared_ratio": ratio,
    }


def _codes(rows: Rows) -> list[list[Any]]:
    """Code, name, HCAT code, class, status, parcels and hectares of every code and name seen."""
    found: dict[tuple[Any, ...], list[Any]] = {}
    columns: Iterable[Any] = (rows.code, rows.name, rows.hcat, rows.crop.tolist(), rows.status.tolist())
    for key, area in zip(zip(*columns, strict=True), rows.hectares.tolist(), strict=True):
        entry = found.setdefault(key, [0, 0.0])
        entry[0] += 1
        entry[1] += area
    ordered = sorted(found.items(), key=lambda item: [value or "" for value in item[0][:3]])
    return [[*key, count, round(area, 4)] for key, (count, area) in ordered]
