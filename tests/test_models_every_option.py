"""Every option of every architecture changes what its network answers, or how it learns."""

from collections.abc import Iterator
from dataclasses import fields, replace
from typing import Any

import pytest
import torch
from small_networks import SMALL, as_trained, season
from torch import Tensor

from models.architectures import NETWORKS
from models.errors import Misfit
from models.network import NetworkSettings

Options = dict[str, Any]

# Another value of each option, and what must be so for it to matter. An architecture is one row.
OTHER: dict[str, dict[str, tuple[Any, Options]]] = {
    "unet": {"widths": ((4, 12), {}), "norm": ("group", {"widths": (8, 8)})},
    "utae": {
        "widths": ((8, 8, 8), {}),
        "decoder_widths": ((8, 4, 8), {}),
        "heads": (2, {}),
        "model_width": (32, {}),
        "norm": ("group", {}),
        "aggregation": ("att_mean", {}),
        "padding": ("reflect", {}),
        "mask": ("frame", {}),
        "time_period": (10000.0, {}),
        "dropout": (0.5, {}),
        "published_head": (True, {}),
    },
    "tsvit": {
        "crop": (16, {}),
        "patch": (4, {}),
        "width": (16, {}),
        "depth": (2, {}),
        "heads": (1, {}),
        "time_code": ("sinusoid", {}),
        "time_period": (10000.0, {"time_code": "sinusoid"}),
        "dropout": (0.5, {}),
    },
    "vista": {
        "widths": ((4, 8, 8), {}),
        "depth": (2, {}),
        "mixing": ("attention", {}),
        "crop": (16, {"mixing": "attention"}),
        "heads": ((2, 2, 2), {"mixing": "attention"}),
        "kernel": (5, {}),
        "head_width": (8, {}),
        "mask": (False, {}),
        "dropout": (0.5, {}),
        "drop_path": (0.5, {}),
    },
    "swift": {
        "moments": (3, {}),
        "season": ((0.0, 3500.0), {}),
        "gate_width": (8, {}),
        "widths": ((4, 8, 8), {}),
        "depth": (2, {}),
    },
    "presto": {
        "width": (32, {}),
        "depth": (1, {}),
        "heads": (4, {}),
        "expansion": (4, {}),
        "location": (None, {}),
        "frozen": (True, {}),
    },
}
ROWS = [(name, option, *other) for name, options in OTHER.items() for option, other in options.items()]
COUNTS = [field.name for field in fields(NetworkSettings)]

WRONG: list[tuple[str, Options]] = [
    ("utae", {"norm": "layer"}),
    ("utae", {"aggregation": "max"}),
    ("utae", {"padding": "none"}),
    ("utae", {"mask": "window"}),
    ("utae", {"decoder_widths": (4, 8)}),
    ("utae", {"decoder_widths": (4, 4, 4)}),
    ("utae", {"widths": (6, 8, 8)}),
    ("utae", {"heads": 3}),
    ("utae", {"model_width": 12}),
    ("utae", {"dropout": 1.0}),
    ("utae", {"time_period": 0.0}),
    ("tsvit", {"time_code": "month"}),
    ("tsvit", {"crop": 9}),
    ("tsvit", {"patch": 0}),
    ("tsvit", {"heads": 3}),
    ("tsvit", {"depth": 0}),
    ("tsvit", {"dropout": -0.1}),
    ("vista", {"mixing": "pooling"}),
    ("vista", {"widths": (4, 8)}),
    ("vista", {"heads": (3, 2, 2)}),
    ("vista", {"crop": 12}),
    ("vista", {"kernel": 4}),
    ("vista", {"depth": 0}),
    ("vista", {"drop_path": 1.0}),
    ("swift", {"season": (365.0, 0.0)}),
    ("swift", {"widths": (8,)}),
    ("swift", {"moments": 1}),
    ("swift", {"depth": 0}),
    ("presto", {"bands": 3}),
    ("presto", {"width": 20}),
    ("presto", {"heads": 3}),
    ("presto", {"depth": 0}),
    ("presto", {"expansion": 0}),
    ("presto", {"location": (16.0, 348.0)}),
    ("presto", {"location": (48.0,)}),
    ("presto", {"location": "Vienna"}),
]


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("name", OTHER)
def test_every_option_has_a_row(name: str) -> None:
    options = {field.name for field in fields(NETWORKS[name].settings)} - set(COUNTS)
    assert options == set(OTHER[name])


@pytest.mark.parametrize(("name", "option", "value", "where"), ROWS, ids=lambda part: str(part).replace(" ", ""))
def test_every_option_matters(name: str, option: str, value: Any, where: Options) -> None:
    plain = replace(SMALL[name], **where)
    changed = replace(plain, **{option: value})
    assert any(not torch.equal(a, b) for a, b in zip(_answers(name, plain), _answers(name, changed), strict=True))


def _answers(name: str, settings: NetworkSettings) -> tuple[Tensor, Tensor, Tensor]:
    """As it maps and as it trains, from the same seed; and how much of it learns."""
    torch.manual_seed(7)
    network = as_trained(NETWORKS[name].network(settings))
    given = season(settings, 16, 32, patches=2)
    given[1][:, 0, :, :10] = False
    mapped = network(*given).detach()
    torch.manual_seed(8)
    learned = sum(parameter.numel() for parameter in network.parameters() if parameter.requires_grad)
    return mapped, network.train()(*given).detach(), torch.tensor(learned)


@pytest.mark.parametrize(("name", "wrong"), WRONG)
def test_settings_that_build_nothing_are_refused(name: str, wrong: Options) -> None:
    with pytest.raises(Misfit) as caught:
        NETWORKS[name].settings.of(SMALL[name].as_dict() | wrong)
    assert caught.value.remedy


@pytest.mark.parametrize("name", OTHER)
def test_settings_survive_a_card(name: str) -> None:
    """JSON has lists, no tuples."""
    settings = SMALL[name]
    assert NETWORKS[name].settings.of(settings.as_dict()) == settings
