"""label: the parcel table to the label store, one tile at a time, on the cube's grid."""

from collections.abc import Mapping
from functools import partial
from typing import Any

from catalogs import crops
from catalogs.description import identity
from catalogs.parcels.table_plan import table_description
from catalogs.stores import Store, spatial_coordinates
from catalogs.taxonomy import BACKGROUND, IGNORE
from cluster.items import item_workers
from cluster.progress import Progress
from pipelines.harmonise import harmonise
from pipelines.label_plan import check_burning, describe_labels, has_other_parcels, rule_of
from pipelines.labelling import Labelling, label_tile, made_of_now
from pipelines.outcomes import Outcomes
from pipelines.plan import Plan
from pipelines.renewal import renew
from pipelines.stored import units_of


def label(plan: Plan, progress: Progress) -> dict[str, Any]:
    """Harmonise, audit, burn, audit again; what was made before of the same parcels stays as it is."""
    from pipelines.audit import audit_labels, audit_parcels, check_fit

    check_burning(plan)
    records = harmonise(plan, progress)
    check_fit(plan, audit_parcels(plan, records, progress))
    burn(plan, progress)
    return {"tiles": len(plan.tiles), **audit_labels(plan, progress)}


def burn(plan: Plan, progress: Progress) -> None:
    """Fill the label store from the parcel table."""
    store = Store(plan.root, crops.LABELS)
    table = identity(table_description(plan.root))
    job = Labelling(plan.root, plan.grid, plan.region, _outside(plan), rule_of(plan), table)
    if has_other_parcels(plan):
        _take_back_changed(plan, store, job, progress)
    store.begin(
        crops.label_layouts(plan.grid, plan.taxonomy),
        spatial_coordinates(plan.grid),
        describe_labels(plan),
        {"title": f"Declared crops of {plan.project.region.name}"},
    )
    missing = set(store.missing(units_of(plan, crops.LABELS)))
    todo = [tile for tile in plan.tiles if str(tile) in missing]
    outcomes = Outcomes(store)
    with progress.stage("label", len(plan.tiles), "tiles", already=len(plan.tiles) - len(todo)) as bar:
        if todo:
            with item_workers(plan.project.compute.address, plan.workers) as each:
                for tile, outcome in each(partial(label_tile, job), todo):
                    outcomes.add(str(tile), outcome)
                    bar.advance()
    outcomes.check()
    store.sweep()


def _take_back_changed(plan: Plan, store: Store, job: Labelling, progress: Progress) -> None:
    """Let the tiles be burnt anew over which other parcels lie now."""
    done, now, outcomes = store.ledger.done(), dict[str, Any](), Outcomes(store)
    tiles = [tile for tile in plan.tiles if str(tile) in done]
    with progress.stage("compare", len(tiles), "tiles") as bar:
        if tiles:
            with item_workers(plan.project.compute.address, plan.workers) as each:
                for tile, outcome in each(partial(made_of_now, job), tiles):
                    outcomes.add(str(tile), outcome)
                    now[str(tile)] = outcome
                    bar.advance()
    outcomes.check()

    def still(unit: str, record: Mapping[str, Any]) -> bool:
        return bool(record.get("made_of") == now.get(unit, ""))

    told = "tiles", "parcels have changed"
    renew(store, describe_labels(plan), units_of(plan, crops.LABELS), still, progress, told)


def _outside(plan: Plan) -> int:
    return {"background": BACKGROUND, "ignore": IGNORE}[plan.project.labels.outside]
