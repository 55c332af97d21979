"""What a parcel table was planned from: said beside its parts, in a file that readers of Parquet leave out."""

import json
from collections.abc import Mapping
from typing import Any

from catalogs.description import identity
from catalogs.errors import BadInput
from catalogs.parcels.footers import FOLDER
from catalogs.root import Root

TABLE_PLAN = f"{FOLDER}/_plan.json"


def table_description(root: Root) -> dict[str, Any]:
    described: dict[str, Any] = json.loads(root.read(TABLE_PLAN))
    return described


def describe_again(root: Root, described: Mapping[str, Any]) -> None:
    root.write(TABLE_PLAN, json.dumps(described, indent=1, sort_keys=True).encode())


def check_latest(root: Root, word: str) -> None:
    """Who wakes after the parcels have changed writes nothing more of those before; no word, no check."""
    if word and word != identity(table_description(root)):
        why = "has been planned anew since this run began."
        raise BadInput(root.path(FOLDER), why, "Give `furrow label` again.")
