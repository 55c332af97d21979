"""Every option of the depth networks changes what comes out: an option that changes nothing would be a mistake."""

from collections.abc import Iterator
from dataclasses import fields, replace
from typing import Any

import pytest
import torch
from torch import Tensor

from models.architectures import NETWORKS
from models.depthcropseg import DepthCropSegSettings
from models.depthseg import DepthSegSettings
from models.network import Network
from models.picture import PictureSettings
from models.structure_loss import structure_loss

SMALL = {"bands": 4, "periods": 2, "classes": 3, "size": "tiny", "token": 4}
START: dict[str, PictureSettings] = {
    "depthseg": DepthSegSettings(**SMALL),
    "depthcropseg": DepthCropSegSettings(**SMALL, width=16),
}

SHARED: dict[str, Any] = {
    "bands": 5,
    "periods": 3,
    "classes": 4,
    "size": "s",
    "token": 5,
    "red_green_blue": (0, 1, 2),
    "best_period": 0,
    "learn_picture": False,
}
OPTIONS: dict[str, dict[str, Any]] = {
    "depthseg": SHARED | {"adapter": False, "prompter": False, "residual": True, "detach_depth": True},
    "depthcropseg": SHARED | {"stem_stride": 4, "upsampler": "dysample", "width": 20, "frozen": True, "drop_path": 0.5},
}
CASES = [(name, option, value) for name, options in OPTIONS.items() for option, value in options.items()]


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def built(name: str, settings: PictureSettings, like: Network | None = None) -> Network:
    """With the same weights wherever both have them, so that no draw of weights passes for an effect."""
    torch.manual_seed(0)
    network: Network = NETWORKS[name].network(settings)
    if like is not None:
        theirs, own = like.state_dict(), network.state_dict()
        shared = {key: theirs[key] for key in own if key in theirs and own[key].shape == theirs[key].shape}
        shared = {key: value for key, value in shared.items() if not key.startswith("picture.")}  # drawn by no chance
        network.load_state_dict(own | shared)
    return network


def answer_after_a_step(network: Network, name: str) -> Tensor:
    """Some options decide what learns, so what was learned must be seen: one step, then the logits."""
    settings, random = network.settings, torch.Generator().manual_seed(1)
    x = torch.randn(2, 3, 5, 24, 36, generator=random)[:, : settings.periods, : settings.bands]
    seen, when = torch.ones(2, settings.periods, 24, 36, dtype=torch.bool), torch.zeros(2, settings.periods)
    truth = torch.randint(0, 3, (2, 24, 36), generator=random)
    target = torch.rand(2, 1, 24, 36, generator=random)
    torch.manual_seed(2)
    for parameter in network.parameters():
        parameter.grad = None
    if name == "depthcropseg":
        for injector in network.pyramid.injectors:  # gates at 0 would hide what lies behind them
            torch.nn.init.constant_(injector.gate, 0.3)
    answer = network.train()(x, seen, when)
    logits, structure = answer if isinstance(answer, tuple) else (answer, target)
    (torch.nn.functional.cross_entropy(logits, truth) + structure_loss(structure, target)).backward()
    with torch.no_grad():
        for parameter in network.parameters():
            if parameter.grad is not None:
                parameter -= 0.1 * parameter.grad
        answered: Tensor = network.eval()(x, seen, when)
    return answered


@pytest.fixture(scope="module")
def plain() -> dict[str, tuple[Network, Tensor]]:
    networks = {name: built(name, settings) for name, settings in START.items()}
    return {name: (network, answer_after_a_step(network, name)) for name, network in networks.items()}


@pytest.mark.parametrize(("name", "option", "value"), CASES)
def test_the_option_changes_the_answer(plain, name, option, value):
    assert getattr(START[name], option) != value
    like = built(name, START[name])
    network = built(name, replace(START[name], **{option: value}), like)
    answer, before = answer_after_a_step(network, name), plain[name][1]
    assert answer.isfinite().all()
    assert answer.shape != before.shape if option == "classes" else (answer - before).abs().max() > 1e-5


@pytest.mark.parametrize("name", START)
def test_without_an_option_nothing_changes(plain, name):
    network = built(name, replace(START[name]), built(name, START[name]))
    assert torch.equal(answer_after_a_step(network, name), plain[name][1])


@pytest.mark.parametrize("name", START)
def test_the_table_has_every_option(name):
    assert set(OPTIONS[name]) == {field.name for field in fields(START[name])}
