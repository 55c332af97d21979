"""What an audit found, in words: how much of it, what it means, and whether it is grave."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pipelines.audit_figures import Row
from pipelines.pages import number

REASONS = {
    "empty": "without an outline",
    "not_polygon": "points or lines, not ground",
    "stray": "with a corner far away or nowhere",
    "sliver": "slivers: narrower than 5 m and smaller than a pixel",
    "other_year": "of another year",
}


def findings(figures: Row) -> list[Row]:
    """Those that there are."""
    found = (*_of_codes(figures), *_of_outlines(figures), *_of_rasters(figures), *_of_areas(figures))
    return [row for row in found if row["count"]]


def _of_codes(figures: Row) -> Iterator[Row]:
    status = {name: row["parcels"] for name, row in figures["status"].items()}
    remedy = "Add the codes below to the mapping, or correct country and code column."
    yield _row("Code in no table", status["unknown"], f"Ignored. {remedy}", grave=True)
    yield _row("No code at all", status["null"], "Ignored: nobody said what grew there.")
    yield _row("Crop said to be not known", status["not_known"], "Ignored.")


def _of_outlines(figures: Row) -> Iterator[Row]:
    totals, same, other = figures["totals"], *(figures["duplicates"][kind] for kind in ("same_crop", "other_crop"))
    far = "They are not mapped and teach nothing. Many of them: check the region and the file's CRS."
    yield _row("Outside the region", figures["outside"]["parcels"], far)
    why = {REASONS.get(name, name.replace("_", " ")): count for name, count in totals["dropped_by"].items()}
    yield _row("Dropped", totals["dropped"], _listed(why))
    yield _row("Repaired outlines", totals["repaired"], "Rings that cross themselves were mended; areas may differ.")
    yield _row("Very narrow outlines", totals["narrow"], "Under 5 m wide on average: mostly mixed pixels.")
    harmless = "Harmless for the raster; they count twice in the totals."
    yield _row("Same outline, same class", same["parcels"], f"{_surplus(same)} {harmless}")
    unknown = "Nobody knows which crop is right: ignored in the raster."
    yield _row("Same outline, other class", other["parcels"], f"{_surplus(other)} {unknown}", grave=True)


def _of_rasters(figures: Row) -> Iterator[Row]:
    labels, curves = figures.get("labels"), figures.get("curves")
    overlaps: Sequence[Row] = labels["overlaps"] if labels else figures.get("overlaps", [])
    mixed = [row for row in overlaps if row["classes"][0] != row["classes"][1]]
    area = number(sum(row["hectares"] for row in mixed), 1)
    meaning = f"Pairs of parcels; the {area} ha that they share are ignored in the raster."
    yield _row("Overlaps of two classes", sum(row["pairs"] for row in mixed), meaning, grave=True)
    if labels:
        lacking = labels["without_pixel"]
        yield _row("Larger than a pixel, without a pixel", lacking["parcels"], _listed(lacking["by_reason"]))
    if curves:
        meaning = "They did not grow like others of their class: look at those listed below."
        yield _row("Curve contradicts the crop", curves["suspects"]["parcels"], meaning, grave=True)


def _of_areas(figures: Row) -> Iterator[Row]:
    sizes, declared = figures["sizes"], figures["declared"]
    yield _row("Smaller than a pixel", sizes["below_pixel"]["parcels"], "Most of them get no pixel.")
    large = f"Larger than {number(sizes['large']['hectares'])} ha"
    yield _row(large, sizes["large"]["parcels"], "Hardly a field: a whole block, an alp, or a mistake in the outline.")
    meaning = f"From the outline's area, of {number(declared['parcels'])} parcels that say one."
    yield _row("Declared area differs by more than a fifth", declared["differing"], meaning)


def _row(title: str, count: int, meaning: str, grave: bool = False) -> Row:
    return {"title": title, "count": count, "meaning": meaning, "grave": grave}


def _surplus(kind: Mapping[str, Any]) -> str:
    groups = kind["groups"]
    return f"Surplus parcels of {number(groups)} group{'s' if groups != 1 else ''} with one outline."


def _listed(counts: Mapping[str, int]) -> str:
    return "; ".join(f"{number(count)} {why}" for why, count in counts.items()) + "."
