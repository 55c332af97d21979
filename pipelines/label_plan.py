"""What the pixels of the label store follow from, for the verb that burns them and for the audit that looks at them."""

from typing import Any

from catalogs.rasterise import Rule
from pipelines.harmonise import table_description
from pipelines.plan import Plan


def describe_labels(plan: Plan) -> dict[str, Any]:
    """What the pixels of the label store follow from."""
    return {
        "store": "labels",
        "grid": plan.grid_description,
        "parcels": table_description(plan.root),
        "taxonomy": plan.taxonomy.identity,
        "outside": plan.project.labels.outside,
        **rule_of(plan).describe(),
    }


def rule_of(plan: Plan) -> Rule:
    labels = plan.project.labels
    return Rule(labels.rule, labels.min_share, labels.inward)
