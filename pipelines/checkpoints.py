"""Checkpoints in the root, by name."""

from catalogs.root import Root
from models.card import Card
from models.checkpoint import CARD, WEIGHTS, State, decode
from pipelines.stored import missing


def card_in(root: Root, name: str) -> Card | None:
    key = f"checkpoints/{name}/{CARD}"
    return Card.from_json(root.read(key)) if root.exists(key) else None


def read_checkpoint(root: Root, name: str) -> tuple[State, Card]:
    folder = f"checkpoints/{name}"
    if not root.exists(f"{folder}/{CARD}") or not root.exists(f"{folder}/{WEIGHTS}"):
        raise missing(root, folder, "train")
    return decode(root.read(f"{folder}/{WEIGHTS}"), root.read(f"{folder}/{CARD}"))
