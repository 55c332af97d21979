"""The figures of an audit that need rasters: overlaps and parcels without a pixel, and curves against declarations."""

from collections import defaultdict
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray
from pyproj import Transformer

from catalogs import crops
from catalogs.curves import FEWEST, LIMIT
from catalogs.ledger import Ledger
from catalogs.root import Root
from catalogs.shifts import Shift
from catalogs.taxonomy import Taxonomy
from pipelines.audit_figures import Row, crop_classes, ids_with, names_of
from pipelines.curves import CurveFindings
from pipelines.plan import Plan

LISTED = 1000
"""Parcels without a pixel that are listed; all are counted."""


def label_figures(plan: Plan) -> Row:
    """What the commit records of the label tiles say together."""
    ledger = Ledger(plan.root, crops.LABELS)
    records = (ledger.record(str(tile)) for tile in plan.tiles)
    return raster_figures(plan.root, plan.taxonomy, records)


def raster_figures(root: Root, taxonomy: Taxonomy, records: Iterable[Row]) -> Row:
    pairs: dict[tuple[int, int], list[float]] = defaultdict(lambda: [0, 0.0])
    lacking, burnt = [np.zeros(0, np.uint32)], [np.zeros(0, np.uint32)]
    tiles = 0
    for record in records:
        tiles += 1
        for a, b, count, area in record["overlaps"]:
            pairs[a, b][0] += count
            pairs[a, b][1] += area
        lacking.append(np.array(record["without_pixel"], np.uint32))
        burnt.append(np.array(record["across"], np.uint32))
    without = np.setdiff1d(np.concatenate(lacking), np.concatenate(burnt))
    return {
        "tiles": tiles,
        "overlaps": overlap_rows(taxonomy, pairs),
        "without_pixel": {"parcels": len(without), **_reasons(root, without)},
    }


def overlap_rows(taxonomy: Taxonomy, pairs: dict[tuple[int, int], list[float]]) -> list[Row]:
    """By pair of classes, most ground first."""
    titles = names_of(taxonomy)
    rows = [
        {"classes": [a, b], "titles": [titles[a], titles[b]], "pairs": int(count), "hectares": round(area, 4)}
        for (a, b), (count, area) in pairs.items()
    ]
    return sorted(rows, key=lambda row: (-row["hectares"], row["classes"]))


def _reasons(root: Root, without: NDArray[np.uint32]) -> Row:
    """Why parcels that are larger than a pixel have none, as far as the table tells."""
    found = ids_with(root, without, ["hectares", "narrow", "inside", "code", "name"])
    rows = [
        {"parcel": number, "why": why_without(row), **{key: row[key] for key in ("code", "name", "hectares")}}
        for number, row in sorted(found.items())
    ]
    reasons = [row["why"] for row in rows]
    return {"by_reason": {why: reasons.count(why) for why in sorted(set(reasons))}, "listed": rows[:LISTED]}


def why_without(row: Row) -> str:
    if not row["inside"]:
        return "outside the region"
    if row["narrow"]:
        return "too narrow to hold the centre of a pixel"
    return "overlapped by other parcels, or holds no centre that the rule of burning asks for"


def curve_figures(plan: Plan, found: CurveFindings) -> Row:
    taxonomy, reference, verdicts = plan.taxonomy, found.reference, found.verdicts
    known = reference.known
    rows = [
        {
            "class": number,
            "title": taxonomy.titles[number],
            "parcels": int(reference.parcels[number]),
            "judged": int(verdicts.judged[number]),
            "suspects": int(verdicts.against[number].sum()),
            "fits": _fits(taxonomy, verdicts.against[number]),
            "why_not": None if known[number] else _why_not(int(reference.parcels[number])),
            "median": _numbers(reference.median[number]),
            "spread": _numbers(reference.spread[number]),
        }
        for number in [*crop_classes(taxonomy), 0]
    ]
    return {
        "periods": [str(period) for period in plan.periods],
        "limit": LIMIT,
        "parcels": verdicts.parcels,
        "classes": rows,
        "suspects": {"parcels": int(verdicts.against.sum()), "listed": _placed(plan, verdicts.listed)},
        "shift": shift_figures(found.shift, plan.grid.resolution),
    }


def shift_figures(shift: Shift, resolution: float) -> Row:
    return {
        "south": shift.south,
        "east": shift.east,
        "strength": round(shift.strength, 4),
        "unmoved": round(shift.unmoved, 4),
        "edges": shift.edges,
        "known": shift.known,
        "found": shift.found,
        "words": in_words(shift, resolution),
    }


def in_words(shift: Shift, resolution: float) -> str:
    if not shift.known:
        return "too few borders of parcels show in the images to tell"
    if not shift.found:
        return "labels and images lie on each other"
    steps = ((shift.south, "south", "north"), (shift.east, "east", "west"))
    parts = [f"{abs(n)} pixel{'s' * (abs(n) > 1)} too far {pos if n > 0 else neg}" for n, pos, neg in steps if n]
    metres = np.hypot(shift.south, shift.east) * resolution
    return f"the images lie {' and '.join(parts)} of the labels ({metres:.0f} m)"


def _placed(plan: Plan, listed: list[Row]) -> list[Row]:
    """With what the table says of each: code, name, place."""
    wanted = np.array([row["parcel"] for row in listed], np.uint32)
    sides = ["left", "bottom", "right", "top"]
    table = ids_with(plan.root, wanted, ["code", "name", "hectares", *sides])
    move = Transformer.from_crs(plan.grid.crs, "EPSG:4326", always_xy=True)
    rows = []
    for row in listed:
        known = table.get(row["parcel"])
        if known is None:
            continue
        lon, lat = move.transform((known["left"] + known["right"]) / 2, (known["bottom"] + known["top"]) / 2)
        fits = None if row["fits"] is None else plan.taxonomy.titles[row["fits"]]
        said = {key: known[key] for key in ("code", "name", "hectares")}
        place = {"lon": round(lon, 6), "lat": round(lat, 6)}
        rows.append(row | said | place | {"title": plan.taxonomy.titles[row["class"]], "fits_title": fits})
    return rows


def _fits(taxonomy: Taxonomy, counts: NDArray[np.int64]) -> Row:
    named = zip([*taxonomy.titles, "no class"], counts.tolist(), strict=True)
    return {title: count for title, count in named if count}


def _why_not(parcels: int) -> str:
    if parcels < FEWEST:
        return f"only {parcels} parcels are large enough and were seen; {FEWEST} are needed"
    return "seen in too few periods"


def _numbers(values: NDArray[np.float64]) -> list[float | None]:
    return [round(float(value), 4) if np.isfinite(value) else None for value in values]
