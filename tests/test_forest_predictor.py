"""A forest answers the predictor's call, seamless bit for bit, and travels as a checkpoint."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models import forest_predictor
from models.architectures import FORESTS, NETWORKS, build
from models.card import Card
from models.checkpoint import CARD, WEIGHTS, decode, encode
from models.errors import Misfit
from models.forest_features import Features
from models.forest_fitting import fit_forest
from models.forest_settings import ContextForestSettings, ForestSettings
from models.normalisation import Normalisation
from models.predictor import Predictor, load_predictor

BANDS = ("B04", "B05", "B08", "B8A")


def card_of(architecture: str, shape: ForestSettings) -> Card:
    return Card(
        name="season",
        architecture=architecture,
        settings=shape.as_dict(),
        bands=BANDS,
        periods=("spring", "cloudy", "summer", "late", "autumn"),
        middles=(45.0, 80.0, 120.0, 180.0, 250.0),
        period_index=(0, 2, 3),
        classes={0: "background", 1: "maize", 2: "wheat", 3: "barley"},
        normalisation=Normalisation((1.0,) * 4, (1.0,) * 4),
        training_identity="none",
    )


def window(height: int, width: int, seed: int = 0) -> np.ndarray:
    random = np.random.default_rng(seed)
    x = random.integers(1, 12_000, (5, 4, height, width), dtype=np.uint16)
    x[(random.random((5, 1, height, width)) < 0.1).repeat(4, axis=1)] = 0
    return x


def fitted(architecture: str) -> tuple[dict[str, Any], Card]:
    shape = FORESTS[architecture](bands=4, periods=3, classes=4, trees=5, depth=5)
    card = card_of(architecture, shape)
    features = Features(shape, card.bands, card.used_middles)
    x = window(40, 40, seed=9)[[0, 2, 3]]
    planes = features.planes(x, shape.halo)
    halo = shape.halo
    smooth = x.astype(float).mean(axis=(0, 1))[halo : 40 - halo, halo : 40 - halo].ravel()
    truth = np.digitize(smooth, np.quantile(smooth, [0.25, 0.5, 0.75])).astype(np.uint8)
    return fit_forest(planes.reshape(len(planes), -1).T, truth, shape), card


CHECKPOINTS = {name: fitted(name) for name in FORESTS}
PREDICTORS: dict[str, Predictor] = {name: load_predictor(*CHECKPOINTS[name]) for name in FORESTS}
EACH = pytest.mark.parametrize("name", FORESTS)


@EACH
def test_probabilities_are_the_shares_of_trees(name: str) -> None:
    """In windows of several blocks, and without data where crops have none."""
    predictor, x = PREDICTORS[name], window(30, 20)
    x[[0, 2, 3], :, 3, 4] = 0
    alone, answer = predictor.predict(x), predictor.predict(x, probabilities=True)
    assert_same(answer.layers[:2], alone.layers)
    halo, each_KYX = predictor.halo, answer.probability_KYX
    padded = np.pad(x[[0, 2, 3]], ((0, 0), (0, 0), (halo, halo), (halo, halo)))
    planes = predictor.features.planes(padded, halo)
    share = predictor.forest.shares(planes.reshape(len(planes), -1).T).T.reshape(4, 30, 20)
    known = answer.crop != 255
    np.testing.assert_array_equal(each_KYX[:, known], np.rint(100 * share)[:, known])
    assert (each_KYX[:, ~known] == 255).all() and (~known).sum() == 1


def assert_same(found: Any, expected: Any) -> None:
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one, other)


def test_reach() -> None:
    assert [(PREDICTORS[name].halo, PREDICTORS[name].stride) for name in FORESTS] == [(0, 1), (7, 1)]
    assert ContextForestSettings(windows=(3, 5)).halo == 2


@EACH
@settings(max_examples=8)
@given(st.integers(1, 30), st.integers(1, 30))
def test_any_window_gives_its_own_size(name: str, height: int, width: int) -> None:
    crop, confidence = PREDICTORS[name].predict(window(height, width)).layers
    assert crop.shape == confidence.shape == (height, width)
    assert crop.dtype == confidence.dtype == np.uint8
    known = crop != 255
    assert crop[known].max(initial=0) < 4
    assert 25 <= confidence[known].min(initial=25) <= confidence[known].max(initial=25) <= 100


@EACH
@settings(max_examples=10)
@given(st.integers(0, 25), st.integers(0, 25), st.integers(1, 20))
def test_windows_with_halo_agree_with_the_whole(name: str, top: int, left: int, side: int) -> None:
    """Also where windows begin on odd pixels: the stride is 1."""
    predictor = PREDICTORS[name]
    x, halo = window(60, 60), predictor.halo
    whole = predictor.predict(x).layers
    part = predictor.predict(x[:, :, top : top + side + 2 * halo, left : left + side + 2 * halo]).layers
    core = (slice(halo, halo + side), slice(halo, halo + side))
    there = (slice(top + halo, top + halo + side), slice(left + halo, left + halo + side))
    expected = [layer[there] for layer in whole]
    assert_same([layer[core] for layer in part], expected)
    around = x[:, :, top : top + side + 2 * halo, left : left + side + 2 * halo]
    assert_same(predictor.predict(around, halo=halo).layers, expected)


@EACH
def test_blocks_leave_no_trace(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    x = window(50, 41)
    whole = PREDICTORS[name].predict(x).layers
    monkeypatch.setattr(forest_predictor, "BLOCK", 1)
    blocks = PREDICTORS[name]._blocks((50, 41))  # type: ignore[attr-defined]
    assert len(blocks) > 6
    if name == "forest-context":
        assert_same(PREDICTORS[name].predict(x).layers, whole)


@EACH
def test_ground_beyond_the_window_is_no_data(name: str) -> None:
    x = window(20, 20)
    filled = np.pad(x, ((0, 0), (0, 0), (9, 3), (2, 8)))
    expected = [layer[9:29, 2:22] for layer in PREDICTORS[name].predict(filled).layers]
    assert_same(PREDICTORS[name].predict(x).layers, expected)


@EACH
def test_no_data_in_all_used_periods_is_no_class(name: str) -> None:
    x = np.maximum(window(12, 12), 1)
    x[[0, 2, 3], :, 3, 4] = 0
    x[0, :, 5, 6] = 0
    x[:, 0, 7, 8] = 0
    crop, confidence = PREDICTORS[name].predict(x).layers
    assert np.argwhere(crop == 255).tolist() == np.argwhere(confidence == 255).tolist() == [[3, 4]]


@EACH
def test_only_used_periods_matter(name: str) -> None:
    x = window(16, 16)
    x.setflags(write=False)
    found = PREDICTORS[name].predict(x).layers
    unused, used = x.copy(), x.copy()
    unused[[1, 4]] = 7
    used[0] = 7
    assert_same(PREDICTORS[name].predict(unused).layers, found)
    assert (PREDICTORS[name].predict(used).crop != found[0]).any()
    assert len(np.unique(found[0])) >= 4


@EACH
def test_checkpoint_is_enough(name: str) -> None:
    files = encode(*CHECKPOINTS[name])
    again = load_predictor(*decode(files[WEIGHTS], files[CARD]))
    assert_same(again.predict(window(24, 24)).layers, PREDICTORS[name].predict(window(24, 24)).layers)


@EACH
@pytest.mark.parametrize("wrong", [window(8, 8)[:2], window(8, 8)[:, :1], window(8, 8)[0], window(8, 8).astype(float)])
def test_window_of_another_cube_is_refused(name: str, wrong: np.ndarray) -> None:
    with pytest.raises(Misfit, match="window of"):
        PREDICTORS[name].predict(wrong)


def test_checkpoint_that_is_not_whole_is_refused() -> None:
    state, card = CHECKPOINTS["forest-context"]
    with pytest.raises(Misfit, match="architecture"):
        load_predictor(state, replace(card, architecture="forest"))
    with pytest.raises(Misfit, match="forest settings windows"):
        load_predictor(state, replace(card, architecture="forest-spectral"))
    with pytest.raises(Misfit, match="built for"):
        load_predictor(state, replace(card, period_index=(0, 1)))
    with pytest.raises(Misfit, match="not the trees of its card"):
        load_predictor(state, replace(card, settings=card.settings | {"trees": 6}))
    fewer = {name: value for name, value in card.settings.items() if name != "windows"}
    with pytest.raises(Misfit, match="a feature that is not there"):
        load_predictor(state, replace(card, architecture="forest-spectral", settings=fewer))
    with pytest.raises(Misfit, match="wrong type"):
        load_predictor(state, replace(card, settings=card.settings | {"trees": "many"}))


def test_a_forest_is_no_network() -> None:
    assert not set(FORESTS) & set(NETWORKS)
    with pytest.raises(Misfit, match="fitted"):
        build(CHECKPOINTS["forest-spectral"][1])
