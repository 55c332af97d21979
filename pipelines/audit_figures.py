"""The figures of a label audit, from the parcel table and its records, as plain JSON values.

The keys are described in docs/label-audit.md. Of ten million parcels a few columns are read, a part at a time.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import isclose, log10
from typing import Any

import numpy as np
from numpy.typing import NDArray

from catalogs.parcels.crosswalks import MAPPED, NOT_KNOWN, NULL, UNKNOWN, Crosswalk
from catalogs.parcels.table import read_columns
from catalogs.root import Root
from catalogs.taxonomy import BACKGROUND, IGNORE, Taxonomy
from pipelines.audit_duplicates import find_duplicates

VERSION = 1

SOME = 50
"""Parcels that are named as examples of a fault."""

LARGE = 500.0
"""Hectares: hardly any field in Europe is larger, so an outline that is may be a block, a farm or a mistake."""

STEPS, LOWEST, HIGHEST = 1000, -8, 8
"""The histogram of declared over measured area: steps a decade, and the decades that it spans."""

UNITS = ((0.0, "hectares"), (4.0, "square metres"), (-2.0, "square kilometres"), (2.0, "ares"), (0.3928, "acres"))
"""log10 of declared over measured area in hectares, for each unit that a file may use."""

STATUS = {MAPPED: "mapped", NULL: "null", NOT_KNOWN: "not_known", UNKNOWN: "unknown"}

Row = dict[str, Any]
Records = Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class Given:
    """What the audit is of."""

    root: Root
    taxonomy: Taxonomy
    crosswalk: Crosswalk
    about: Mapping[str, Any]
    """File, country, source, region, and the year asked for (None where any will do)."""
    resolution: float
    """metres"""

    @property
    def pixel(self) -> float:
        """Hectares."""
        return self.resolution**2 / 10_000


def parcel_figures(given: Given, records: Records) -> tuple[Row, NDArray[np.uint32]]:
    """Everything that is known before anything is rasterised, the same however the work was shared out; and the
    numbers of the parcels that share an outline with another, which would fill a file."""
    codes = code_rows(given, records)
    duplicates, doubled = find_duplicates(given.root, sum(record["kept"] for record in records))
    figures = {
        "version": VERSION,
        **given.about,
        "resolution": given.resolution,
        "totals": totals(records, codes),
        "classes": class_rows(given.taxonomy, codes),
        "status": status_rows(codes),
        "codes": codes,
        "years": dict(sorted(_added(record["years"] for record in records).items())),
        "year_named": given.about["table"]["year_named"],
        "outside": _outside(records),
        "sizes": sizes(given),
        "declared": declared_areas(given.root),
        "duplicates": duplicates,
        "corrected": [str(each) for each in given.crosswalk.corrected],
        "ambiguous": list(given.crosswalk.ambiguous),
    }
    return figures, doubled


def totals(records: Records, codes: Sequence[Row]) -> Row:
    dropped = _added(record["dropped"] for record in records)
    examples: dict[str, list[int]] = defaultdict(list)
    for record in records:
        for reason, ids in record["dropped_parcels"].items():
            examples[reason] += ids
    kept = sum(record["kept"] for record in records)
    mapped = [row for row in codes if row["status"] == "mapped"]
    return {
        "read": sum(record["read"] for record in records),
        "kept": kept,
        "dropped": dropped.total(),
        "dropped_by": {reason: count for reason, count in sorted(dropped.items()) if count},
        "dropped_parcels": {reason: sorted(ids)[:SOME] for reason, ids in sorted(examples.items()) if ids},
        "hectares": _sum(codes, "hectares"),
        "mapped": {"parcels": _sum(mapped, "parcels"), "hectares": _sum(mapped, "hectares")},
        "repaired": sum(record["repaired"] for record in records),
        "narrow": sum(record["narrow"] for record in records),
        "seconds": round(sum(record["seconds"] for record in records), 3),
    }


def code_rows(given: Given, records: Records) -> list[Row]:
    """Every code that was seen, with where it went; most ground first."""
    found: dict[tuple[Any, ...], list[float]] = defaultdict(lambda: [0, 0.0])
    for record in records:
        for *key, parcels, area in record["codes"]:
            found[tuple(key)][0] += parcels
            found[tuple(key)][1] += area
    rows = [_code_row(given, key, int(parcels), area) for key, (parcels, area) in found.items()]
    return sorted(rows, key=lambda row: (-row["hectares"], -row["parcels"], str(row["code"]), str(row["name"])))


def _code_row(given: Given, key: tuple[Any, ...], parcels: int, area: float) -> Row:
    code, name, hcat, number, status = key
    return {
        "code": code,
        "name": name,
        "hcat": hcat,
        "title": given.crosswalk.title(hcat) if hcat else None,
        "class": number,
        "status": STATUS[status],
        "went": went(given.taxonomy, number, status),
        "parcels": parcels,
        "hectares": round(area, 4),
    }


def went(taxonomy: Taxonomy, number: int, status: int) -> str:
    """Where parcels of a code are, in words."""
    if status != MAPPED or number == IGNORE:
        why = {NULL: "no code", NOT_KNOWN: "the code says that the crop is not known", UNKNOWN: "code in no table"}
        return f"Ignored: {why.get(status, 'the table says so')}"
    return taxonomy.titles[number]


def class_rows(taxonomy: Taxonomy, codes: Sequence[Row]) -> list[Row]:
    """One row a class and one for what is ignored; they add up to what was kept."""
    rows = [
        {"class": number, "name": name, "title": title, "colour": colour}
        for number, (name, title, colour) in enumerate(
            zip(taxonomy.names, taxonomy.titles, taxonomy.colours, strict=True)
        )
    ] + [{"class": IGNORE, "name": "ignore", "title": "Ignored", "colour": "#b9b8b2"}]
    for row in rows:
        mine = [code for code in codes if code["class"] == row["class"]]
        row |= {"codes": len(mine), "parcels": _sum(mine, "parcels"), "hectares": _sum(mine, "hectares")}
    return rows


def status_rows(codes: Sequence[Row]) -> Row:
    everything = max(_sum(codes, "parcels"), 1)
    rows = {}
    for name in STATUS.values():
        mine = [code for code in codes if code["status"] == name]
        parcels = _sum(mine, "parcels")
        rows[name] = {"parcels": parcels, "hectares": _sum(mine, "hectares"), "share": round(parcels / everything, 6)}
    return rows


def sizes(given: Given) -> Row:
    """Outlines too small to fill a pixel, or larger than fields are."""
    small = large = 0
    small_ids: list[int] = []
    large_rows: list[list[float]] = []
    for table in read_columns(given.root, ["parcel", "hectares"]):
        ids, areas = table["parcel"].to_numpy(), table["hectares"].to_numpy()
        tiny, huge = areas < given.pixel, areas > LARGE
        small, large = small + int(tiny.sum()), large + int(huge.sum())
        small_ids = sorted(small_ids + ids[tiny].tolist())[:SOME]
        rows = zip(ids[huge].tolist(), areas[huge].round(1).tolist(), strict=True)
        large_rows = sorted([*large_rows, *map(list, rows)], key=lambda row: (-row[1], row[0]))[:SOME]
    return {
        "pixel_hectares": given.pixel,
        "below_pixel": {"parcels": small, "examples": small_ids},
        "large": {"hectares": LARGE, "parcels": large, "examples": large_rows},
    }


def declared_areas(root: Root) -> Row:
    """The unit of the declared areas, and how many differ from the outline's by more than a fifth."""
    counts = np.zeros((HIGHEST - LOWEST) * STEPS, np.int64)
    for table in read_columns(root, ["declared", "hectares"]):
        declared, measured = table["declared"].to_numpy(), table["hectares"].to_numpy()
        usable = (declared > 0) & (measured > 0)
        ratio = np.log10(declared[usable] / measured[usable])
        places = np.clip((ratio - LOWEST) * STEPS, 0, len(counts) - 1).astype(np.int64)
        counts += np.bincount(places, minlength=len(counts))
    said = int(counts.sum())
    if not said:
        return {"parcels": 0, "unit": None, "ratio": None, "differing": 0}
    edges = LOWEST + (np.arange(len(counts)) + 0.5) / STEPS
    middle = float(edges[np.searchsorted(np.cumsum(counts), (said + 1) // 2)])
    power, unit = min(UNITS, key=lambda each: abs(each[0] - middle))
    if not isclose(power, middle, abs_tol=0.08):
        power, unit = middle, "odd"
    near = (edges >= power + log10(0.8)) & (edges <= power + log10(1.25))
    differing = said - int(counts[near].sum())
    return {"parcels": said, "unit": unit, "ratio": float(f"{10**middle:.3g}"), "differing": differing}


def names_of(taxonomy: Taxonomy) -> dict[int, str]:
    """Titles by class id."""
    return {**dict(enumerate(taxonomy.titles)), IGNORE: "Ignored"}


def crop_classes(taxonomy: Taxonomy) -> range:
    return range(BACKGROUND + 1, len(taxonomy.names))


def ids_with(root: Root, wanted: NDArray[np.uint32], columns: Sequence[str]) -> dict[int, Row]:
    """Some columns of some parcels."""
    rows: dict[int, Row] = {}
    for table in read_columns(root, ["parcel", *columns]):
        chosen = np.flatnonzero(np.isin(table["parcel"].to_numpy(), wanted))
        rows |= {row.pop("parcel"): row for row in table.take(chosen).to_pylist()}
    return rows


def _outside(records: Records) -> Row:
    parcels, area = (sum(record["outside"][i] for record in records) for i in range(2))
    return {"parcels": parcels, "hectares": round(area, 4)}


def _added(counts: Iterable[Mapping[str, int]]) -> Counter[str]:
    total: Counter[str] = Counter()
    for each in counts:
        total.update(each)
    return total


def _sum(rows: Sequence[Row], key: str) -> Any:
    total = sum(row[key] for row in rows)
    return round(total, 4) if isinstance(total, float) else total
