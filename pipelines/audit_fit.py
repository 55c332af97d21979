"""Whether a parcel file can teach crops at all: what cannot is refused with the evidence, by rule and not by name."""

from collections.abc import Mapping, Sequence
from typing import Any

from catalogs.errors import BadInput
from catalogs.taxonomy import BACKGROUND, IGNORE

FEW = 0.01
"""Share of parcels: with fewer of a named crop a file is of land use, whatever its few codes say."""

MOST = 0.5
"""Share of parcels: so many with a general code and a file is of land use."""

SHOWN = 4
"""Codes that are quoted."""

Row = Mapping[str, Any]


def unfit(figures: Row) -> BadInput | None:
    """The first reason why nothing can be learnt from the file, if there is one."""
    for reason in (_nothing, _nowhere, _another_year, _unmapped, _land_use):
        found = reason(figures)
        if found is not None:
            return found
    return None


def _nothing(figures: Row) -> BadInput | None:
    totals = figures["totals"]
    if totals["kept"] or set(totals["dropped_by"]) == {"other_year"}:
        return None
    why = "; ".join(f"{count} {reason.replace('_', ' ')}" for reason, count in totals["dropped_by"].items())
    return BadInput(
        _file(figures),
        f"has no parcel that can be used, of {totals['read']} read ({why or 'it is empty'}).",
        "Check that it is the layer with the parcels and that its CRS is right.",
    )


def _nowhere(figures: Row) -> BadInput | None:
    kept, outside = figures["totals"]["kept"], figures["outside"]["parcels"]
    if not kept or outside < kept:
        return None
    return BadInput(
        _file(figures),
        f"has no parcel in the region: all {kept:,} lie outside it.",
        "Check [labels] file, the region, and whether the file's CRS is right ([labels] crs).",
    )


def _another_year(figures: Row) -> BadInput | None:
    """Where neither column nor file name says a year, there is nothing to hold against the file."""
    asked, given, named = figures["year"], figures["year_given"], figures["year_named"]
    years = figures["years"] or ({} if given or named is None else {str(named): figures["totals"]["kept"]})
    left_out = figures["totals"]["dropped_by"].get("other_year", 0)
    others = {year: count for year, count in years.items() if year != str(asked)}
    if asked is None or (figures["totals"]["kept"] and sum(others.values()) <= FEW * sum(years.values())):
        return None
    if not years:
        why = f"holds no declarations of {asked}: all {left_out:,} are of other years."
        return BadInput(_file(figures), why, "Change [labels] year, or give another file.")
    said = ", ".join(f"{year} ({count:,} parcels)" for year, count in others.items())
    return BadInput(
        _file(figures),
        f"holds declarations of {said}, and the season is of {asked}: another crop grew in another year.",
        f"Give the file of {asked}; [labels] year = {asked} uses those of {asked} alone, and year = {max(others)} "
        "those of that year.",
    )


def _unmapped(figures: Row) -> BadInput | None:
    totals, status = figures["totals"], figures["status"]
    if totals["mapped"]["parcels"] or not totals["kept"]:
        return None
    most = max(("null", "not_known", "unknown"), key=lambda name: int(status[name]["parcels"]))
    why = {
        "null": "no parcel has a crop code",
        "not_known": "every code says that the crop is not known",
        "unknown": "no code is in the table",
    }[most]
    remedy = {
        "null": "Check [labels] code_column and name_column.",
        "not_known": "Give the declarations of another year or country.",
        "unknown": "Check [labels] mapping, country and code_column: the table is of another country, or kind of file.",
    }[most]
    return BadInput(
        _file(figures), f"has no parcel with a known crop, of {totals['kept']:,}: {why}{_quoted(figures)}.", remedy
    )


def _land_use(figures: Row) -> BadInput | None:
    """Hardly a parcel of a named crop, and most with codes that only say arable land, grassland or forest."""
    kept = figures["totals"]["kept"]
    if not kept:
        return None
    named = sum(row["parcels"] for row in figures["codes"] if teaches(row))
    wide = sum(row["parcels"] for row in figures["codes"] if row["status"] != "null" and is_general(row["hcat"]))
    if named > FEW * kept or (named and wide < MOST * kept):
        return None
    if wide < MOST * kept:
        return BadInput(
            _file(figures),
            f"has no parcel of a crop to learn among {kept:,}: all are other land, grassland or ignored"
            f"{_quoted(figures)}.",
            "Give declarations with crops, or other classes ([labels] classes and crosswalk).",
        )
    return BadInput(
        _file(figures),
        f"tells land use, not crops: {wide:,} of {kept:,} parcels ({100 * wide / kept:.0f} %) have a general code"
        f"{_quoted(figures)}, and {named:,} have a crop of the classes.",
        "Give parcel declarations with crops; for Romania, Navarra and Croatia EuroCrops has land use only.",
    )


def teaches(row: Row) -> bool:
    """Whether parcels of a code are of a crop that a map tells apart, not just of arable land or grass."""
    return row["class"] not in (BACKGROUND, IGNORE) and not is_general(row["hcat"])


def is_general(hcat: str | None) -> bool:
    """Codes of HCAT down to its second level, such as arable_crops 3301000000, and those that say nothing."""
    return bool(hcat) and str(hcat)[4:] == "000000"


def _quoted(figures: Row) -> str:
    """The codes with most parcels."""
    codes: Sequence[Row] = sorted(figures["codes"], key=lambda row: (-row["parcels"], str(row["code"])))[:SHOWN]
    said = [f"{_called(row)} {row['parcels']:,}" for row in codes]
    return f" ({', '.join(said)})" if said else ""


def _called(row: Row) -> str:
    name = row["name"] or (row["title"] if row["title"] != row["hcat"] else None)
    parts = [str(part) for part in dict.fromkeys((row["code"], name)) if part]
    return " ".join(parts)[:60] or "no code"


def _file(figures: Row) -> str:
    return f"parcel file {figures['file']}"
