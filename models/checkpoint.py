"""Checkpoints as bytes: weights and their card, and the state from which an interrupted training goes on."""

import json
from collections.abc import Mapping
from dataclasses import replace
from hashlib import sha256
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from models.card import Card
from models.errors import Misfit

__all__ = ["CARD", "WEIGHTS", "Card", "decode", "decode_training_state", "encode", "encode_training_state"]

WEIGHTS = "weights.safetensors"
CARD = "card.json"

State = dict[str, Tensor]

_HEADER = "furrow"
_AGAIN = "Copy the checkpoint again, or train again."


def encode(state: Mapping[str, Tensor], card: Card) -> dict[str, bytes]:
    """File names and their bytes; the same weights and card always give the same bytes."""
    _check_finite(state)
    weights = save(_detached(state))
    signed = replace(card, weights_sha256=sha256(weights).hexdigest())
    return {WEIGHTS: weights, CARD: signed.to_json()}


def decode(weights: bytes, card: bytes) -> tuple[State, Card]:
    """Weights that are those of the card, whole and finite; anything else is refused."""
    read = Card.from_json(card)
    state = _loaded(weights)
    if sha256(weights).hexdigest() != read.weights_sha256:
        raise Misfit(WEIGHTS, f"these are not the weights that the card of {read.name} was written for.", _AGAIN)
    _check_finite(state)
    return state, read


def encode_training_state(
    model_state: Mapping[str, Tensor], optimizer_state: Mapping[str, Any], meta: Mapping[str, Any]
) -> bytes:
    """Network, optimiser and a plain dictionary (epoch, seed, ..) in one safetensors file."""
    tensors = {f"model.{key}": value for key, value in model_state.items()}
    for index, slots in optimizer_state["state"].items():
        for key, value in slots.items():
            _check_tensor(key, value)
            tensors[f"optimizer.{index}.{key}"] = value
    header = {"param_groups": optimizer_state["param_groups"], "meta": _plain(meta)}
    return save(_detached(tensors), metadata={_HEADER: json.dumps(header, sort_keys=True)})


def decode_training_state(data: bytes) -> tuple[State, dict[str, Any], dict[str, Any]]:
    """What was encoded: for `load_state_dict` of the network, for that of the optimiser, and the dictionary."""
    tensors, header = _loaded(data), _header(data)
    model: State = {}
    slots: dict[int, State] = {}
    for name, value in tensors.items():
        kind, _, key = name.partition(".")
        if kind == "model":
            model[key] = value
        else:
            index, _, slot = key.partition(".")
            slots.setdefault(int(index), {})[slot] = value
    groups = [_group(group) for group in header["param_groups"]]
    return model, {"state": dict(sorted(slots.items())), "param_groups": groups}, header["meta"]


def _detached(state: Mapping[str, Tensor]) -> State:
    """Own, plain memory for each: safetensors refuses tensors that share it or lie in another order."""
    return {key: value.detach().cpu().contiguous().clone() for key, value in state.items()}


def _loaded(data: bytes) -> State:
    try:
        return load(data)
    except (SafetensorError, ValueError) as error:
        given = f"safetensors of {len(data)} bytes"
        raise Misfit(given, f"the file is cut short or damaged ({error}).", _AGAIN) from error


def _header(data: bytes) -> dict[str, Any]:
    """safetensors starts with the length of its JSON header, in eight bytes; its library reads ours from files only."""
    length = int.from_bytes(data[:8], "little")
    metadata = json.loads(data[8 : 8 + length]).get("__metadata__") or {}
    if _HEADER not in metadata:
        raise Misfit("safetensors", "it holds no training state.", "Give the file that training saved to go on from.")
    header: dict[str, Any] = json.loads(metadata[_HEADER])
    return header


def _group(group: dict[str, Any]) -> dict[str, Any]:
    """JSON knows no tuples; of an optimiser's lists only those of parameters are lists."""
    return {
        key: tuple(value) if isinstance(value, list) and not key.startswith("param") else value
        for key, value in group.items()
    }


def _plain(meta: Mapping[str, Any]) -> dict[str, Any]:
    plain = dict(meta)
    try:
        same = json.loads(json.dumps(plain, allow_nan=False)) == plain
    except (TypeError, ValueError):
        same = False
    if not same:
        raise Misfit(f"meta {plain}", "JSON would not give back the same.", "Use text keys, lists and finite numbers.")
    return plain


def _check_finite(state: Mapping[str, Tensor]) -> None:
    for name, value in state.items():
        if value.is_floating_point() and not value.isfinite().all():
            raise Misfit(f"weights {name}", "they hold NaN or infinity.", "Train again with a lower learning rate.")


def _check_tensor(key: str, value: Any) -> None:
    if not isinstance(value, Tensor):
        raise Misfit(f"optimiser slot {key}", "it is no tensor.", "Use an optimiser of torch such as AdamW.")
