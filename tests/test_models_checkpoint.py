"""Checkpoints: what is read is what was written, what is damaged is refused, and training goes on to the same bits."""

import copy
import json
from collections.abc import Iterator
from dataclasses import replace
from hashlib import sha256
from typing import Any

import pytest
import torch
from safetensors.torch import load, save
from torch import Tensor

from models.checkpoint import CARD, WEIGHTS, Card, decode, decode_training_state, encode, encode_training_state
from models.errors import Misfit
from models.losses import segmentation_loss
from models.normalisation import Normalisation
from models.unet import UNet, UNetSettings

SETTINGS = UNetSettings(bands=2, periods=2, classes=3, widths=(8, 16))
CARD_OF_TEST = Card(
    name="season",
    architecture="unet",
    settings=SETTINGS.as_dict(),
    bands=("B04", "B08"),
    periods=(("2021-03-01", "2021-04-01"), ("2021-04-01", "2021-05-01"), "late"),
    middles=(45.0, 74.5, 105.0),
    period_index=(0, 2),
    classes={0: "background", 1: "maize", 2: "wheat"},
    normalisation=Normalisation((400.0, 3000.0), (0.1 + 0.2, 900.0)),
    training_identity="patches 3f2a",
    training={"epochs": 3, "seed": 1, "device": "cpu"},
    scores={"mean_iou": 0.5, "classes": {"maize": None}},
)


def weights() -> dict[str, Tensor]:
    torch.manual_seed(0)
    return UNet(SETTINGS).state_dict()


def resigned(data: bytes) -> bytes:
    """A card that was written for exactly these bytes."""
    return replace(CARD_OF_TEST, weights_sha256=sha256(data).hexdigest()).to_json()


def test_what_is_read_is_what_was_written() -> None:
    written = weights()
    files = encode(written, CARD_OF_TEST)
    state, card = decode(files[WEIGHTS], files[CARD])
    assert replace(card, weights_sha256="") == CARD_OF_TEST
    assert card.weights_sha256 == sha256(files[WEIGHTS]).hexdigest()
    assert state.keys() == written.keys()
    assert all(torch.equal(state[key], written[key]) and state[key].dtype == written[key].dtype for key in written)


def test_same_weights_same_bytes() -> None:
    first = weights()
    other_order = {key: first[key] for key in reversed(first)}
    other_layout = {key: v.to(memory_format=torch.channels_last) if v.ndim == 4 else v for key, v in first.items()}
    assert encode(first, CARD_OF_TEST) == encode(other_order, CARD_OF_TEST) == encode(other_layout, CARD_OF_TEST)


def test_damaged_weights_are_refused() -> None:
    files = encode(weights(), CARD_OF_TEST)
    data = files[WEIGHTS]
    flipped = data[:-1] + bytes([data[-1] ^ 1])
    with pytest.raises(Misfit, match="not the weights"):
        decode(flipped, files[CARD])
    for cut in (data[:-4], data[:100], data[:4], b""):
        with pytest.raises(Misfit, match="cut short"):
            decode(cut, resigned(cut))


def test_weights_with_nan_are_refused() -> None:
    state = weights()
    state["head.bias"][1] = float("nan")
    with pytest.raises(Misfit, match=r"head\.bias"):
        encode(state, CARD_OF_TEST)
    data = save(state)
    with pytest.raises(Misfit, match=r"head\.bias"):
        decode(data, resigned(data))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"format_version": 3}, "newer"),
        ({"format_version": 1}, "Train again"),
        ({"format_version": None}, "version"),
        ({"bands": ["B04"]}, "bands"),
        ({"period_index": [3]}, "periods"),
        ({"period_index": []}, "periods"),
        ({"periods": [["2021-03-01", "April"], "b", "c"]}, "days"),
        ({"classes": {"0": "background", "2": "wheat"}}, "gaps"),
        ({"classes": 3}, "wrong type"),
        ({"normalisation": {"mean": [1.0, 2.0]}}, "wrong type"),
        ({"colour": "green"}, "colour"),
    ],
)
def test_cards_that_do_not_hold_are_refused(change: dict[str, Any], words: str) -> None:
    files = encode(weights(), CARD_OF_TEST)
    card = json.loads(files[CARD]) | change
    with pytest.raises(Misfit, match=words):
        decode(files[WEIGHTS], json.dumps(card).encode())


@pytest.mark.parametrize("key", ["bands", "classes", "normalisation", "weights_sha256", "architecture"])
def test_card_without_a_key_is_refused(key: str) -> None:
    files = encode(weights(), CARD_OF_TEST)
    card = json.loads(files[CARD])
    del card[key]
    with pytest.raises(Misfit, match=f"lacks {key}"):
        decode(files[WEIGHTS], json.dumps(card).encode())


@pytest.mark.parametrize("data", [b"", b"{", b"[1]", b"\xff\xfe"])
def test_card_that_is_no_json_object_is_refused(data: bytes) -> None:
    with pytest.raises(Misfit, match=r"card\.json"):
        decode(b"", data)


def test_scores_with_nan_are_refused() -> None:
    with pytest.raises(Misfit, match="JSON"):
        encode(weights(), replace(CARD_OF_TEST, scores={"mean_iou": float("nan")}))


def test_misfit_travels_between_processes() -> None:
    error = Misfit("a", "is b.", "Write c.")
    assert vars(copy.copy(error)) == vars(error)  # a copy is made as one is for another process, by __reduce__


def network_and_optimiser() -> tuple[UNet, torch.optim.AdamW]:
    torch.manual_seed(0)
    network = UNet(SETTINGS)
    kernels = [p for p in network.parameters() if p.ndim > 1]
    others = [p for p in network.parameters() if p.ndim == 1]
    groups = [{"params": kernels, "weight_decay": 0.01}, {"params": others, "weight_decay": 0.0}]
    return network, torch.optim.AdamW(groups, lr=1e-3, betas=(0.9, 0.95))


def train(network: UNet, optimiser: torch.optim.Optimizer, steps: range) -> None:
    for step in steps:
        random = torch.Generator().manual_seed(step)
        x = torch.randn(2, 2, 2, 16, 16, generator=random)
        seen, when = torch.ones(2, 2, 16, 16, dtype=torch.bool), torch.tensor([[45.0, 105.0]]).expand(2, -1)
        truth = torch.randint(0, 3, (2, 16, 16), generator=random)
        optimiser.zero_grad()
        segmentation_loss(network(x, seen, when), truth).backward()  # type: ignore[no-untyped-call]
        optimiser.step()


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Small arrays gain nothing from more, and lose much while something else runs."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def test_interrupted_training_ends_at_the_same_bits() -> None:
    network, optimiser = network_and_optimiser()
    train(network, optimiser, range(4))

    first, its_optimiser = network_and_optimiser()
    train(first, its_optimiser, range(2))
    saved = encode_training_state(first.state_dict(), its_optimiser.state_dict(), {"step": 2, "rates": [0.1, 1e-17]})

    second, other_optimiser = network_and_optimiser()
    model_state, optimiser_state, meta = decode_training_state(saved)
    second.load_state_dict(model_state)
    other_optimiser.load_state_dict(optimiser_state)
    train(second, other_optimiser, range(meta["step"], 4))

    assert meta == {"step": 2, "rates": [0.1, 1e-17]}
    assert encode(second.state_dict(), CARD_OF_TEST) == encode(network.state_dict(), CARD_OF_TEST)
    ends = [
        encode_training_state(n.state_dict(), o.state_dict(), {})
        for n, o in ((network, optimiser), (second, other_optimiser))
    ]
    assert ends[0] == ends[1]


def test_optimiser_state_is_read_back_whole() -> None:
    network, optimiser = network_and_optimiser()
    train(network, optimiser, range(1))
    written = optimiser.state_dict()
    _, read, _ = decode_training_state(encode_training_state(network.state_dict(), written, {}))
    assert read["param_groups"] == written["param_groups"]
    assert read["state"].keys() == written["state"].keys()
    for index, slots in written["state"].items():
        assert read["state"][index].keys() == slots.keys()
        assert all(torch.equal(read["state"][index][key], value) for key, value in slots.items())


def test_training_state_that_is_not_one_is_refused() -> None:
    network, optimiser = network_and_optimiser()
    data = encode_training_state(network.state_dict(), optimiser.state_dict(), {})
    with pytest.raises(Misfit, match="cut short"):
        decode_training_state(data[:-10])
    with pytest.raises(Misfit, match="no training state"):
        decode_training_state(save(load(data)))
    for meta in ({"when": object()}, {1: 2}, {"pair": (1, 2)}, {"loss": float("nan")}):
        with pytest.raises(Misfit, match="JSON"):
            encode_training_state({}, optimiser.state_dict(), meta)  # type: ignore[arg-type]
