"""The page of an audit: the verdict first, then bars, maps, curves and tables."""

from collections.abc import Mapping, Sequence
from typing import Any

from pipelines.audit_figures import Given, Row
from pipelines.audit_findings import REASONS, findings
from pipelines.audit_pictures import IGNORED, PROBLEMS
from pipelines.pages import number, template_shelf

MOST_CODES = 400
"""Codes that the page has in its table; the JSON has all."""

MOST_SUSPECTS = 200
"""Suspect parcels that the page has in its table."""

WIDTH, HEIGHT = 260, 96
"""Of a drawing of a curve."""

LOW, HIGH = -0.1, 1.0
"""NDVI at its bottom and top."""


def render_audit(given: Given, figures: Row) -> bytes:
    """With its style inside and its pictures beside it; text from the file is escaped by the template."""
    curves = figures.get("curves")
    page = template_shelf(parcel_numbers=parcel_numbers).get_template("audit_report.html").render(
        dict.fromkeys(("labels", "curves", "region", "overlaps")) | figures,
        sentence=sentence(figures),
        bars=bars(figures["classes"]),
        findings=findings(figures),
        reasons=REASONS,
        codes_shown=figures["codes"][:MOST_CODES],
        colours={row["class"]: row["colour"] for row in figures["classes"]},
        problems=[(name, colour) for name, colour in PROBLEMS if name in figures.get("drawn", {})],
        ignored=IGNORED,
        drawings=[drawing(row, given) for row in curves["classes"] if row["why_not"] is None] if curves else [],
        not_judged=[row for row in curves["classes"] if row["why_not"] and row["parcels"]] if curves else [],
        suspects=curves["suspects"]["listed"][:MOST_SUSPECTS] if curves else [],
        made_up=given.root.exists("catalog/catalog.json"),
        size=(WIDTH, HEIGHT),
    )  # fmt: skip
    return page.encode()


def sentence(figures: Row) -> str:
    """The verdict, in one."""
    totals = figures["totals"]
    if not figures["verdict"]["fit"]:
        return "These parcels cannot teach a crop map."
    usable = [row for row in figures["classes"] if row["name"] not in ("background", "ignore") and row["parcels"]]
    share = totals["mapped"]["parcels"] / max(totals["kept"], 1)
    known = f"{number(totals['mapped']['parcels'])} of {number(totals['kept'])} parcels ({100 * share:.0f} %)"
    crops = "one crop" if len(usable) == 1 else f"{len(usable)} crops"
    return f"These parcels can teach a crop map: {known} have a known class, and they hold {crops}."


def bars(classes: Sequence[Row]) -> list[Row]:
    """Classes with parcels, by the order of the table; the width is of the largest's hectares."""
    most = max((row["hectares"] for row in classes), default=0) or 1
    total = sum(row["hectares"] for row in classes) or 1
    return [
        {**row, "width": 100 * row["hectares"] / most, "share": row["hectares"] / total}
        for row in classes
        if row["parcels"]
    ]


def drawing(row: Mapping[str, Any], given: Given) -> Row:
    """The points of a class's median and of the band of one spread around it."""
    known = [(i, m, s) for i, (m, s) in enumerate(zip(row["median"], row["spread"], strict=True)) if m is not None]
    last = max(len(row["median"]) - 1, 1)
    upper = [_point(i / last, m + s) for i, m, s in known]
    lower = [_point(i / last, m - s) for i, m, s in reversed(known)]
    return {
        **row,
        "colour": given.taxonomy.colours[row["class"]],
        "line": " ".join(_point(i / last, m) for i, m, _ in known),
        "band": " ".join(upper + lower),
        "zero": _point(0, 0).split(",")[1],
    }


def _point(along: float, ndvi: float) -> str:
    up = (min(max(ndvi, LOW), HIGH) - LOW) / (HIGH - LOW)
    return f"{4 + along * (WIDTH - 8):.1f},{HEIGHT - 4 - up * (HEIGHT - 8):.1f}"


def parcel_numbers(groups: Sequence[Any]) -> str:
    """Numbers of parcels in a line."""
    return ", ".join("+".join(map(str, each)) if isinstance(each, list | tuple) else str(each) for each in groups)
