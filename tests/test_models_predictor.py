"""The predictor: any window in, crops and confidence out, and a cube that does not fit is refused."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from small_networks import SMALL, built
from torch import Tensor

from models.architectures import NETWORKS
from models.card import Card, Period
from models.checkpoint import CARD, WEIGHTS, decode, encode
from models.errors import Misfit
from models.normalisation import Normalisation, normalise
from models.predictor import NetworkPredictor, Predictor, _highest, as_floats, check_fits, counts_on, load_predictor
from models.swift import Swift, SwiftSettings
from models.unet import UNet, UNetSettings
from models.window import Blocks

SETTINGS = UNetSettings(bands=2, periods=2, classes=4, widths=(8, 16, 16))
CARD_OF_TEST = Card(
    name="season",
    architecture="unet",
    settings=SETTINGS.as_dict(),
    bands=("B04", "B08"),
    periods=(("2021-02-01", "2021-03-01"), ("2021-03-01", "2021-04-01"), ("2021-04-01", "2021-05-01")),
    middles=(45.0, 74.5, 105.0),
    period_index=(0, 2),
    classes={0: "background", 1: "maize", 2: "wheat", 3: "barley"},
    normalisation=Normalisation((4000.0, 5000.0), (2000.0, 2500.0)),
    training_identity="none",
)


def weights() -> dict[str, Tensor]:
    random = torch.Generator().manual_seed(3)
    state = UNet(SETTINGS).state_dict()
    for value in state.values():
        if value.is_floating_point():
            drawn = torch.randn(value.shape, generator=random) * 0.15
            value.copy_(drawn if value.ndim > 1 else drawn.abs() + 0.5)
    return state


STATE = weights()
PREDICTOR: Predictor = load_predictor(STATE, CARD_OF_TEST)


def window(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(1, 12_000, (3, 2, height, width), dtype=np.uint16)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Small arrays gain nothing from more, and lose much while something else runs."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@settings(deadline=None, max_examples=15)
@given(st.integers(1, 40), st.integers(1, 40))
def test_any_window_gives_its_own_size(height: int, width: int) -> None:
    crop, confidence = PREDICTOR.predict(window(height, width)).layers
    assert crop.shape == confidence.shape == (height, width)
    assert crop.dtype == confidence.dtype == np.uint8
    assert crop.max() < 4
    assert 25 <= confidence.min() <= confidence.max() <= 100


def test_answer_is_the_softmax_of_the_used_periods() -> None:
    x = window(16, 20)
    network = UNet(SETTINGS).eval()
    network.load_state_dict(STATE)
    with torch.inference_mode():
        used = normalise(x[[0, 2]], CARD_OF_TEST.normalisation)[None]
        share = network(used, torch.ones(1, 2, 16, 20).bool(), torch.tensor([[45.0, 105.0]])).softmax(dim=1)[0].numpy()
    crop, confidence = PREDICTOR.predict(x).layers
    np.testing.assert_array_equal(crop, share.argmax(axis=0))
    assert np.abs(confidence - 100 * share.max(axis=0)).max() <= 0.501
    assert len(np.unique(crop)) > 1
    assert confidence.std() > 1


@pytest.mark.parametrize("temperature", [1.0, 2.5])
def test_probabilities_are_the_calibrated_softmax(temperature: float) -> None:
    x = window(16, 20)
    x[:, :, 3, 4] = 0
    card = replace(CARD_OF_TEST, scores={"temperature": temperature})
    predictor, network = load_predictor(STATE, card), UNet(SETTINGS).eval()
    network.load_state_dict(STATE)
    with torch.inference_mode():
        used = normalise(x[[0, 2]], card.normalisation)[None]
        seen = torch.from_numpy(x[[0, 2]].max(axis=1) != 0)[None]
        logits = network(used, seen, torch.tensor([[45.0, 105.0]]))
    share = logits.div(temperature).softmax(dim=1)[0].numpy()
    answer, known = predictor.predict(x, probabilities=True), np.ones((16, 20), bool)
    known[3, 4] = False
    assert np.abs(answer.probability_KYX - 100 * share).max(axis=0)[known].max() <= 0.501
    assert (answer.probability_KYX[:, 3, 4] == 255).all()
    assert_same(answer.layers[:2], predictor.predict(x).layers)
    np.testing.assert_array_equal(answer.probability_KYX.max(axis=0), answer.confidence)


def test_unused_periods_do_not_matter() -> None:
    x = window(16, 16)
    other = x.copy()
    other[1] = 7
    assert_same(PREDICTOR.predict(other).layers, PREDICTOR.predict(x).layers)


def test_no_data_in_all_used_periods_is_no_class() -> None:
    x = window(12, 12)
    x[[0, 2], :, 3, 4] = 0
    x[0, :, 5, 6] = 0
    x[:, 0, 7, 8] = 0
    crop, confidence = PREDICTOR.predict(x).layers
    assert np.argwhere(crop == 255).tolist() == np.argwhere(confidence == 255).tolist() == [[3, 4]]


def test_windows_with_halo_agree_with_the_whole() -> None:
    x, halo = window(128, 128), PREDICTOR.halo
    whole = [layer[halo : 128 - halo, halo : 128 - halo] for layer in PREDICTOR.predict(x).layers]
    core = (128 - 2 * halo) // 2 // PREDICTOR.stride * PREDICTOR.stride
    for top in (0, core):
        for left in (0, core):
            part = x[:, :, top : top + core + 2 * halo, left : left + core + 2 * halo]
            found = [layer[halo:-halo, halo:-halo] for layer in PREDICTOR.predict(part).layers]
            assert_same(found, [layer[top : top + core, left : left + core] for layer in whole])


@pytest.mark.parametrize("kind", ["unet", "swift"])
@pytest.mark.parametrize("halo", [1, 8, 30])
def test_of_a_halo_nothing_is_said(kind: str, halo: int) -> None:
    """The swift network looks at two pieces of pixels here."""
    x = window(104, 90)
    x[:, :, 40, 50] = 0
    predictor = PREDICTOR if kind == "unet" else of_swift()
    whole = predictor.predict(x, True).layers
    assert_same(predictor.predict(x, True, halo).layers, [layer[..., halo:-halo, halo:-halo] for layer in whole])


@pytest.mark.parametrize("kind", ["unet", "swift"])
@pytest.mark.parametrize("heights", [(104,), (1, 100, 3), (40, 40, 24)])
@pytest.mark.parametrize("widths", [(90,), (1, 64, 25)])
@pytest.mark.parametrize("halo", [0, 9, 40])
def test_a_window_may_come_in_blocks(
    kind: str, heights: tuple[int, ...], widths: tuple[int, ...], halo: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And flow through the network a few rows at a time, whatever halo was asked for; the width is no whole number of
    strides."""
    x, predictor = window(104, 90), PREDICTOR if kind == "unet" else of_swift()
    x[:, :, 38:41, 50] = 0
    expected = predictor.predict(x, True, halo)
    monkeypatch.setattr("models.slabs.SLAB", 16 * 92)
    rows, columns = (
        [slice(end - length, end) for end, length in zip(np.cumsum(lengths).tolist(), lengths, strict=True)]
        for lengths in (heights, widths)
    )
    blocks = Blocks(104, 90, ((place, x[..., *place]) for place in product(rows, columns)))
    assert_same(predictor.predict(blocks, True, halo).layers, expected.layers)


@given(st.integers(2, 12), st.integers(0, 2**32 - 1))
def test_of_equal_ones_the_first_is_the_highest(classes: int, seed: int) -> None:
    logits = torch.from_numpy(np.random.default_rng(seed).integers(-2, 3, (classes, 4, 5)).astype(np.float32))
    for mine, theirs in zip(_highest(logits), logits.max(dim=0), strict=True):
        assert torch.equal(mine, theirs.to(mine.dtype))


def test_pixels_in_pieces_are_what_the_whole_network_says() -> None:
    """Also where only some periods, or bands, have data."""
    predictor, x = of_swift(), window(104, 88)[[0, 2]]
    x[0, :, :9], x[1, :, 7:12, :50], x[1, 0, 40:60] = 0, 0, 0
    seen = torch.from_numpy((x != 0).any(axis=1))[None]
    with torch.inference_mode():
        shown = normalise(x, predictor.card.normalisation)[None]
        whole = predictor.network(shown, seen, torch.tensor([predictor.card.used_middles]))
        assert torch.equal(predictor.logits(x), whole)


def of_swift() -> NetworkPredictor:
    settings = SwiftSettings(bands=2, periods=2, classes=4, widths=(4, 8, 8))
    torch.manual_seed(3)
    card = replace(CARD_OF_TEST, architecture="swift", settings=settings.as_dict())
    predictor = load_predictor(Swift(settings).state_dict(), card)
    assert isinstance(predictor, NetworkPredictor)
    return predictor


def test_a_window_of_any_size_keeps_its_place() -> None:
    """As if no data had been added below and to the right up to the stride."""
    x = window(13, 18)
    filled = np.pad(x, ((0, 0), (0, 0), (0, 3), (0, 2)))
    assert_same(PREDICTOR.predict(x).layers, [layer[:13, :18] for layer in PREDICTOR.predict(filled).layers])


def test_window_is_left_as_it_was() -> None:
    x = window(9, 9)
    x.setflags(write=False)
    PREDICTOR.predict(x)


def test_checkpoint_is_enough() -> None:
    files = encode(STATE, CARD_OF_TEST)
    again = load_predictor(*decode(files[WEIGHTS], files[CARD]))
    assert_same(again.predict(window(24, 24)).layers, PREDICTOR.predict(window(24, 24)).layers)


def assert_same(found: Any, expected: Any) -> None:
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("wrong", [window(8, 8)[:2], window(8, 8)[:, :1], window(8, 8)[0], window(8, 8).astype(float)])
def test_window_of_another_cube_is_refused(wrong: np.ndarray) -> None:
    with pytest.raises(Misfit, match="window of"):
        PREDICTOR.predict(wrong)


def test_checkpoint_that_is_not_whole_is_refused() -> None:
    with pytest.raises(Misfit, match="architecture"):
        load_predictor(STATE, replace(CARD_OF_TEST, architecture="oracle"))
    with pytest.raises(Misfit, match="weights are not those"):
        load_predictor({key: STATE[key] for key in list(STATE)[1:]}, CARD_OF_TEST)
    with pytest.raises(Misfit, match="built for"):
        load_predictor(STATE, replace(CARD_OF_TEST, period_index=(0, 1, 2)))
    with pytest.raises(Misfit, match="depth"):
        load_predictor(STATE, replace(CARD_OF_TEST, settings=SETTINGS.as_dict() | {"depth": 4}))
    wider = SETTINGS.as_dict() | {"widths": [16, 16, 16]}
    with pytest.raises(Misfit, match="weights are not those"):
        load_predictor(STATE, replace(CARD_OF_TEST, settings=wider))
    assert "unet" in NETWORKS


def test_cube_that_fits() -> None:
    check_fits(CARD_OF_TEST, CARD_OF_TEST.bands, CARD_OF_TEST.periods)
    next_leap_year = (("2024-02-01", "2024-03-01"), ("2024-03-01", "2024-04-01"), ("2024-03-31", "2024-05-01"))
    check_fits(CARD_OF_TEST, ["B04", "B08"], next_leap_year)


def test_season_over_the_turn_of_the_year_fits() -> None:
    card = replace(CARD_OF_TEST, periods=(("2020-10-01", "2020-12-31"), ("2020-12-31", "2021-02-28"), "end"))
    check_fits(card, card.bands, (("2021-10-01", "2022-01-01"), ("2022-01-01", "2022-02-28"), "end"))


@pytest.mark.parametrize(
    ("bands", "periods", "words"),
    [
        (("B08", "B04"), CARD_OF_TEST.periods, "B04 B08, and the cube has B08 B04"),
        (("B04",), CARD_OF_TEST.periods, "the cube has B04"),
        (CARD_OF_TEST.bands, CARD_OF_TEST.periods[:2], "3 periods, and the cube has 2"),
        (CARD_OF_TEST.bands, (*CARD_OF_TEST.periods[:2], ("2021-04-15", "2021-05-01")), "period 2 was 2021-04-01"),
        (CARD_OF_TEST.bands, (*CARD_OF_TEST.periods[:2], "April"), "April"),
    ],
)
def test_cube_that_does_not_fit_is_refused(bands: tuple[str, ...], periods: tuple[Period, ...], words: str) -> None:
    with pytest.raises(Misfit, match=words):
        check_fits(CARD_OF_TEST, bands, periods)


@pytest.mark.parametrize("architecture", SMALL)
def test_in_bf16_most_crops_are_those_of_fp32_and_some_confidence_is_another(architecture: str) -> None:
    network, settings = built(architecture), SMALL[architecture]
    card = replace(
        CARD_OF_TEST,
        architecture=architecture,
        settings=settings.as_dict(),
        bands=tuple(f"B{number}" for number in range(settings.bands)),
        periods=tuple(f"part {number}" for number in range(settings.periods)),
        middles=tuple(100.0 + 30 * number for number in range(settings.periods)),
        period_index=tuple(range(settings.periods)),
        normalisation=Normalisation((2000.0,) * settings.bands, (1500.0,) * settings.bands),
    )
    seen = np.random.default_rng(0).integers(1, 5000, (settings.periods, settings.bands, 32, 32), dtype=np.uint16)
    exact, fast = (load_predictor(network.state_dict(), card, precision=name) for name in ("fp32", "bf16"))
    assert (exact.predict(seen).crop == fast.predict(seen).crop).mean() > 0.9
    logits = [predictor.logits(seen) for predictor in (exact, fast)]
    assert not torch.equal(*logits) and torch.allclose(*logits, atol=0.2)


def test_what_travels_as_bytes_is_the_same_number_there() -> None:
    counts = np.array([[0, 1, 32_767], [32_768, 40_000, 65_535]], np.uint16)
    assert as_floats(counts_on(counts, torch.device("cpu"))).tolist() == counts.astype(float).tolist()
    seen = window(20, 30)
    normalisation = CARD_OF_TEST.normalisation
    there = normalise(as_floats(counts_on(seen, torch.device("cpu"))), normalisation)
    assert torch.equal(there, normalise(seen, normalisation))
