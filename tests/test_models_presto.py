"""Presto: the published numbers, its months and reflectances, what learns, and that its pixels do not meet."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from published_presto import month_table, official_state, position_table, published_features
from small_networks import SMALL, built, season
from torch import Tensor

from catalogs.bands import BANDS
from catalogs.errors import BadInput
from models import presto
from models.architectures import NETWORKS, build
from models.card import Card
from models.network import Network, parameter_count
from models.normalisation import Normalisation, normalise
from models.presto import Presto, with_ndvi
from models.presto_encoder import PrestoEncoder
from models.presto_names import fill_presto
from models.presto_settings import PrestoSettings
from models.timecode import months_of
from pipelines.model_settings import network_settings
from pipelines.project.file import parse_project
from pipelines.project.writing import changed, template

HERE = Path("/somewhere/demo.toml")
TINY = PrestoSettings(periods=4, classes=3, width=16, depth=2, heads=8, expansion=2)
VIENNA = (48.2, 16.4)
MIDDLES = (75.0, 105.0, 166.0, 349.0)
MONTHS = [2, 3, 5, 11]

USUAL = Normalisation(tuple(1500.0 + 100 * band for band in range(10)), tuple(700.0 + 30 * band for band in range(10)))


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def card_of(settings: PrestoSettings, normalisation: Normalisation = USUAL) -> Card:
    return Card(
        name="pixels",
        architecture="presto",
        settings=settings.as_dict(),
        bands=BANDS,
        periods=tuple(f"period {number}" for number in range(settings.periods)),
        middles=MIDDLES[: settings.periods],
        period_index=tuple(range(settings.periods)),
        classes={number: f"crop {number}" for number in range(settings.classes)},
        normalisation=normalisation,
        training_identity="made",
    )


def stored_pixels(side: int = 3) -> np.ndarray:
    return np.random.default_rng(3).integers(100, 6000, (4, 10, side, side)).astype(np.uint16)


def logits_of(network: Network, stored_TCYX: np.ndarray, seen_TYX: Tensor, normalisation: Normalisation) -> Tensor:
    x_BTCYX = normalise(stored_TCYX, normalisation)[None] * seen_TYX[None, :, None]
    with torch.inference_mode():
        answer: Tensor = network.eval()(x_BTCYX, seen_TYX[None], torch.tensor([MIDDLES]))
    return answer[0]


@pytest.mark.parametrize("location", [None, VIENNA])
def test_a_pixel_gets_the_published_features(location: tuple[float, float] | None) -> None:
    """Official weights by their names, stored counts, clouds: what the authors' steps give, without masked tokens."""
    official = official_state(16, 2, 2)
    network = build(card_of(replace(TINY, location=location)))
    fill_presto(network.encoder, official)  # type: ignore[arg-type]
    stored, seen = stored_pixels(), torch.rand(4, 3, 3, generator=torch.Generator().manual_seed(4)) < 0.6
    seen[2] = True
    found = logits_of(network, stored, seen, USUAL)
    for y, x in np.ndindex(3, 3):
        series = [dict(zip(BANDS, (counts / 1e4).tolist(), strict=True)) for counts in stored[:, :, y, x]]
        expected = published_features(official, series, MONTHS, seen[:, y, x].tolist(), 8, location)
        answer = torch.nn.functional.linear(expected.float(), network.head.weight, network.head.bias)  # type: ignore
        torch.testing.assert_close(found[:, y, x], answer, rtol=1e-4, atol=1e-4)


def test_tables_that_are_not_learned_are_the_published_ones() -> None:
    encoder = PrestoEncoder(PrestoSettings(periods=24))
    torch.testing.assert_close(encoder.months, month_table(32), rtol=0, atol=1e-6)
    torch.testing.assert_close(encoder.positions, position_table(24, 64), rtol=0, atol=1e-5)
    assert not {"months", "positions"} & {name for name, _ in encoder.named_parameters()}


def test_parameter_counts_of_the_encoder() -> None:
    """Public counts of the encoder (404,160 of 24 steps) have the tables of months (12 x 32) and positions (24 x 64)
    among them, and what is shown to no network here: three groups of two channels, Dynamic World's ten rows, and the
    four codes of these."""
    encoder = PrestoEncoder(PrestoSettings(periods=24, location=VIENNA))
    tables = encoder.months.numel() + encoder.positions.numel()
    assert tables == 12 * 32 + 24 * 64
    left_out = 3 * (2 * 128 + 128) + 10 * 128 + 4 * 32
    assert parameter_count(encoder) + tables + left_out == 404_160
    assert parameter_count(Presto(PrestoSettings(classes=2))) == 404_160 - tables - left_out - 512 + 2 * 129


def test_the_normalisation_of_the_training_does_not_matter() -> None:
    """Presto sees reflectance, whatever a card's bands were divided by."""
    torch.manual_seed(0)
    network, stored, seen = build(card_of(TINY)), stored_pixels(), torch.ones(4, 3, 3, dtype=torch.bool)
    usual = logits_of(network, stored, seen, USUAL)
    other = Normalisation((900.0,) * 10, (2500.0,) * 10)
    again = build(card_of(TINY, other))
    again.load_state_dict(network.state_dict())
    torch.testing.assert_close(logits_of(again, stored, seen, other), usual, rtol=1e-4, atol=1e-4)
    assert not torch.allclose(logits_of(network, stored, seen, other), usual, rtol=1e-2, atol=1e-2)


def test_ndvi_is_finite_where_there_is_no_light() -> None:
    reflectance = torch.zeros(3, 10)
    reflectance[1, 2], reflectance[1, 6] = 0.1, 0.3
    reflectance[2, 2], reflectance[2, 6] = -0.01, 0.02
    torch.testing.assert_close(with_ndvi(reflectance)[:, 10], torch.tensor([0.0, 0.5, 1.0]))


def test_months_are_those_of_the_calendar() -> None:
    days = torch.tensor([[0.0, 30.5, 31.0, 58.9, 59.0, 181.0, 333.9, 334.0, 364.9, 365.0, 400.0, -1.0]])
    assert months_of(days).tolist() == [[0, 0, 1, 1, 2, 6, 10, 11, 11, 0, 1, 11]]
    middles_of_months = torch.tensor([[(first + last) / 2 for first, last in [(0, 31), (31, 59), (334, 365)]]])
    assert months_of(middles_of_months).tolist() == [[0, 1, 11]]


def test_a_period_is_known_by_its_month_and_its_place() -> None:
    """Within its month its day does not matter, nor does when a period was that nobody saw."""
    network = built("presto")
    x, seen, _ = season(network.settings, 4, 4)
    seen[:, 3] = False
    when = torch.tensor([[100.0, 130.0, 160.0, 190.0, 220.0]])
    with torch.inference_mode():
        answer = network(x, seen, when)
        assert torch.equal(network(x, seen, when + torch.tensor([5.0, 4, 3, 90, 2])), answer)
        assert not torch.equal(network(x, seen, when + torch.tensor([0.0, 30, 0, 0, 0])), answer)
        assert not torch.equal(network(x[:, [1, 0, 2, 3, 4]], seen[:, [1, 0, 2, 3, 4]], when), answer)


def test_thermal_time_has_no_months() -> None:
    thermal = {"imagery.time": "thermal", "imagery.periods": 12, "imagery.temperatures": "t.csv"}
    project = parse_project(changed(template(), thermal | {"model.architecture": "presto"}), HERE)
    with pytest.raises(BadInput, match=r"knows the months of its periods.*time = 'calendar'"):
        network_settings(project, 10, 12, 5)
    calendar = parse_project(changed(template(), {"model.architecture": "presto"}), HERE)
    assert network_settings(calendar, 10, 12, 5) == PrestoSettings(periods=12, classes=5)


USUAL_SHAPE = {"width": 128, "heads": 8, "expansion": 4}


@pytest.mark.parametrize(("threads", "own"), [(1, {}), (2, {"width": 32}), (1, USUAL_SHAPE), (2, USUAL_SHAPE)])
def test_a_pixel_answers_the_same_bits_wherever_it_is_in_a_group(threads: int, own: dict[str, int]) -> None:
    """Windows of many groups, cut so that pixels change their place in theirs, and the last one is part empty."""
    network = built("presto", **own)
    x, seen, when = season(network.settings, 24, 25)
    with torch.inference_mode():
        whole = network(x, seen, when)
        torch.set_num_threads(threads)
        for rows, columns in [(slice(3, 20), slice(1, 24)), (slice(5, 6), slice(2, 9)), (slice(0, 24), slice(24, 25))]:
            part = network(x[..., rows, columns], seen[..., rows, columns], when)
            assert torch.equal(part, whole[..., rows, columns])


def test_pixels_do_not_see_each_other() -> None:
    network = built("presto")
    x, seen, when = season(network.settings, 6, 7)
    other = x.clone()
    other[..., 2, 3] += 1
    with torch.inference_mode():
        changes = (network(x, seen, when) != network(other, seen, when)).any(dim=1)[0]
    assert changes[2, 3] and changes.sum() == 1


def test_layers_computed_again_give_the_gradients_of_layers_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    again = gradients()
    monkeypatch.setattr(presto, "checkpoint", lambda function, *given, **options: function(*given))
    kept = gradients()
    assert again.keys() == kept.keys() and all(torch.equal(again[name], kept[name]) for name in kept)


def gradients() -> dict[str, Tensor]:
    network = built("presto").train()
    network(*season(network.settings, 10, 10)).square().sum().backward()
    return {name: value.grad for name, value in network.named_parameters() if value.grad is not None}


def test_frozen_is_the_encoder_alone() -> None:
    network = built("presto", frozen=True).train()
    network(*season(network.settings, 4, 4)).square().sum().backward()
    assert {name for name, value in network.named_parameters() if value.grad is not None} == {
        "head.weight",
        "head.bias",
    }


def test_the_architecture_is_of_the_calendar_and_takes_weights() -> None:
    row = NETWORKS["presto"]
    assert row.months and row.network(SMALL["presto"]).get_submodule(row.encoder)
    assert SMALL["presto"].stride == 1 and SMALL["presto"].halo == 0 and SMALL["presto"].is_seamless
