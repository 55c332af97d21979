"""What units of a run took, by their commit records."""

from collections.abc import Mapping
from typing import Any

from catalogs.ledger import Ledger
from pipelines.leases import TILES_IN_HAND

SAMPLED = 200
"""Records that are looked at."""

Record = Mapping[str, Any]


def sampled_records(ledger: Ledger) -> list[dict[str, Any]]:
    """Some of those that are there, evenly through the ledger."""
    done = sorted(ledger.done())
    return [ledger.record(unit) for unit in done[:: -(-len(done) // SAMPLED)]] if done else []


def tile_seconds(record: Record) -> float:
    """What a tile costs an actor that has several in hand: the time at the network, or its share of the rest."""
    in_hand = int(record.get("in_hand", TILES_IN_HAND))
    return max(float(record.get("computing", 0)), float(record.get("seconds", 0)) / in_hand)
