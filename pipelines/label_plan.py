"""What the pixels of the label store follow from, for the verb that burns them and for the audit that looks at them."""

from typing import Any

from catalogs import crops
from catalogs.parcels.table_plan import table_description
from catalogs.rasterise import Rule
from catalogs.renewal import changed_inputs, without
from catalogs.stores import Store
from pipelines.plan import Plan

INPUTS = ("parcels",)
"""What of that may change after the labels were begun."""


def describe_labels(plan: Plan) -> dict[str, Any]:
    """What the pixels of the label store follow from."""
    return {**_burning(plan), "parcels": table_description(plan.root)}


def check_burning(plan: Plan) -> None:
    """Refuse labels that were burnt in another way, before the parcels below them are read anew."""
    store = Store(plan.root, crops.LABELS)
    if stored := store.description():
        store.check(without(stored, INPUTS), _burning(plan))


def has_other_parcels(plan: Plan) -> bool:
    """Whether there are labels of other parcels than the table has now; refuses those burnt in another way."""
    return bool(changed_inputs(Store(plan.root, crops.LABELS), describe_labels(plan), INPUTS))


def rule_of(plan: Plan) -> Rule:
    labels = plan.project.labels
    return Rule(labels.rule, labels.min_share, labels.inward)


def _burning(plan: Plan) -> dict[str, Any]:
    return {
        "store": "labels",
        "grid": plan.grid_description,
        "taxonomy": plan.taxonomy.identity,
        "outside": plan.project.labels.outside,
        **rule_of(plan).describe(),
    }
