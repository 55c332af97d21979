"""audit: what is wrong with the declarations, as JSON and as a page, before anything is trained on them."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from catalogs import crops, cube
from catalogs.grid import Bounds
from catalogs.parcels.table_plan import table_description
from catalogs.root import Root
from catalogs.stores import Store
from cluster.progress import Bar, Progress
from pipelines.audit_figures import Given, Records, Row, parcel_figures
from pipelines.audit_fit import unfit
from pipelines.audit_page import render_audit, sentence
from pipelines.audit_pictures import PROBLEMS as PROBLEM_NAMES
from pipelines.audit_pictures import Frame, ProblemIds, crop_picture, frame_of, label_picture, problem_picture
from pipelines.audit_rasters import curve_figures, label_figures
from pipelines.curves import find_contradictions
from pipelines.harmonise import harmonise
from pipelines.label_plan import check_burning, has_other_parcels
from pipelines.plan import Plan
from pipelines.stored import units_of

JSON, PAGE = "labels/audit.json", "labels/index.html"
CROPS, PROBLEMS, RASTER = "labels/crops.png", "labels/problems.png", "labels/raster.png"


def audit_parcels(plan: Plan, records: Records, progress: Progress) -> dict[str, Any]:
    """The audit of the parcel table: figures, pictures and page."""
    return audit_table(given_of(plan), records, plan.region.bounds, progress)


def check_fit(plan: Plan, figures: Mapping[str, Any]) -> None:
    """Refuse what cannot teach crops; the audit stays, to be looked at."""
    refusal = unfit(figures)
    if refusal is not None:
        raise refusal


def audit_labels(plan: Plan, progress: Progress) -> dict[str, Any]:
    """The audit again with what rasterising found and, where there is a whole cube, with the parcels' curves."""
    given, has_cube = given_of(plan), _has_cube(plan)
    figures, doubled = parcel_figures(given, table_records(plan.root))
    figures["labels"] = label_figures(plan)
    if has_cube:
        figures["curves"] = curve_figures(plan, find_contradictions(plan, progress))
    return summary(given, write_audit(given, figures, doubled, plan.region.bounds, progress, plan))


def audit(plan: Plan, progress: Progress) -> dict[str, Any]:
    """Everything that can be told with what there is: parcels always, labels and curves once they are made."""
    check_burning(plan)
    records = harmonise(plan, progress)
    if _has_labels(plan):
        return audit_labels(plan, progress)
    return summary(given_of(plan), audit_parcels(plan, records, progress))


def summary(given: Given, figures: Row) -> dict[str, Any]:
    """What a verb says of an audit; all of it is in the files."""
    return {"audit": given.root.path(PAGE), "verdict": figures["verdict"], "totals": figures["totals"]}


def audit_table(
    given: Given, records: Records, bounds: Bounds | None, progress: Progress, overlaps: Sequence[Row] = ()
) -> dict[str, Any]:
    """The audit of a parcel table alone; overlaps by pair of classes, where they were looked for."""
    figures, doubled = parcel_figures(given, records)
    return write_audit(given, figures | {"overlaps": list(overlaps)}, doubled, bounds, progress)


def write_audit(
    given: Given,
    figures: Row,
    doubled: NDArray[np.uint32],
    bounds: Bounds | None,
    progress: Progress,
    plan: Plan | None = None,
) -> dict[str, Any]:
    """Verdict, pictures, page and JSON; `doubled` are parcels to mark; `plan` where there are labels to show."""
    refusal = unfit(figures)
    figures["verdict"] = {"fit": refusal is None, "why": f"It {refusal.why}" if refusal else None}
    figures["verdict"]["remedy"] = refusal.remedy if refusal else None
    frame = frame_of(given.root, bounds)
    pictures = _pictures(frame, plan)
    if pictures:
        with progress.stage("audit", len(pictures), "pictures") as bar:
            _draw(given, figures, doubled, frame, plan, bar)
    figures["pictures"] = pictures
    given.root.write(PAGE, render_audit(given, figures))
    given.root.write(JSON, encoded(figures))
    _say(given, figures, progress)
    return figures


def _draw(
    given: Given, figures: Row, doubled: NDArray[np.uint32], frame: Frame | None, plan: Plan | None, bar: Bar
) -> None:
    if frame is not None:
        given.root.write(CROPS, crop_picture(given, frame))
        bar.advance()
        picture, counts = problem_picture(given, frame, _problem_ids(figures, doubled))
        given.root.write(PROBLEMS, picture)
        figures["drawn"] = {name: count for (name, _), count in zip(PROBLEM_NAMES, counts, strict=True) if count}
        bar.advance()
    if plan is not None:
        given.root.write(RASTER, label_picture(plan))
        bar.advance()


def given_of(plan: Plan) -> Given:
    labels, described = plan.project.labels, table_description(plan.root)
    about = {
        "file": described["file"]["name"],
        "country": labels.country,
        "source": labels.source,
        "region": plan.project.region.name,
        "year": labels.year or plan.project.season.end.year,
        "year_given": labels.year is not None,
        "table": described,
    }
    return Given(plan.root, plan.taxonomy, plan.crosswalk, about, plan.grid.resolution)


def table_records(root: Root) -> list[dict[str, Any]]:
    """The records of the table's parts, in the order of the file."""
    ledger = Store(root, "parcels").ledger
    return [ledger.record(unit) for unit in sorted(ledger.done())]


def encoded(figures: Mapping[str, Any]) -> bytes:
    return (json.dumps(figures, indent=1, sort_keys=True, ensure_ascii=False, default=_plain) + "\n").encode()


def _has_labels(plan: Plan) -> bool:
    """Of the parcels that there are now."""
    store = Store(plan.root, crops.LABELS)
    return store.description() is not None and not has_other_parcels(plan) and not _lacking(plan, store)


def _has_cube(plan: Plan) -> bool:
    """Of a cube it counts where and when it looks, not which scenes its pixels come from."""
    store = Store(plan.root, cube.NAME)
    stored = store.description()
    if stored is None:
        return False
    planned = {"grid": plan.grid_description, "periods": [str(period) for period in plan.periods]}
    store.check({key: stored.get(key) for key in planned}, planned)  # its figures would be of other ground
    return not _lacking(plan, store)


def _lacking(plan: Plan, store: Store) -> list[str]:
    return store.missing(units_of(plan, store.name))


def _problem_ids(figures: Row, doubled: NDArray[np.uint32]) -> ProblemIds:
    labels, curves = figures.get("labels", {}), figures.get("curves", {})
    lacking = _ids(row["parcel"] for row in labels.get("without_pixel", {}).get("listed", []))
    against = _ids(row["parcel"] for row in curves.get("suspects", {}).get("listed", []))
    return ProblemIds(doubled, lacking, against)


def _ids(numbers: Any) -> np.ndarray:
    return np.array(sorted(numbers), np.uint32)


def _pictures(frame: Frame | None, plan: Plan | None) -> Sequence[str]:
    names = [CROPS, PROBLEMS] * (frame is not None) + [RASTER] * (plan is not None)
    return [name.removeprefix("labels/") for name in names]


def _say(given: Given, figures: Row, progress: Progress) -> None:
    totals, unknown = figures["totals"], figures["status"]["unknown"]["parcels"]
    progress.say(
        f"audit: {totals['read']:,} parcels, {totals['kept']:,} usable, {totals['mapped']['parcels']:,} with a class, "
        f"{unknown:,} with a code in no table, {figures['outside']['parcels']:,} outside the region"
    )
    shift = figures.get("curves", {}).get("shift", {})
    if shift.get("found"):
        progress.say(f"audit: labels and images are displaced: {shift['words']}")
    verdict = figures["verdict"]
    said = [sentence(figures), verdict["why"], verdict["remedy"], f"See {given.root.path(PAGE)}"]
    progress.say(f"audit: {' '.join(filter(None, said))}")


def _plain(value: object) -> object:
    return value.item() if isinstance(value, np.generic) else str(value)
