"""A forest's arrays answer as scikit-learn does, and arrays that would lead a search astray are refused."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from sklearn.ensemble import RandomForestClassifier
from torch import Tensor

from models.errors import Misfit
from models.forest import forest_of
from models.forest_fitting import classifier, fit_forest
from models.forest_settings import ForestSettings

SETTINGS = ForestSettings(bands=2, periods=1, classes=5, trees=7, depth=6, leaf=3)


def drawn(count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Pixels of classes 0, 1, 2 and 4; none of class 3."""
    random = np.random.default_rng(seed)
    truth = random.choice(np.array([0, 1, 2, 4], np.uint8), count, p=[0.6, 0.2, 0.15, 0.05])
    return (truth[:, None] * 0.7 + random.normal(0, 1, (count, 6))).astype(np.float32), truth


X, Y = drawn(800)
STATE = fit_forest(X, Y, SETTINGS)
ORACLE: RandomForestClassifier = classifier(SETTINGS).fit(X, Y)


def shares(state: dict[str, Tensor], x: np.ndarray) -> np.ndarray:
    return forest_of(state, 7, 6, 5, "checkpoint test").shares(x)


def test_the_answer_is_that_of_scikit_learn_to_the_last_bit() -> None:
    x, _ = drawn(40_000, seed=1)
    found = shares(STATE, x)
    np.testing.assert_array_equal(found[:, [0, 1, 2, 4]], ORACLE.predict_proba(x))
    assert not found[:, 3].any()
    np.testing.assert_array_equal(shares(STATE, np.asfortranarray(x)), found)
    assert shares(STATE, x[:0]).shape == (0, 5)


def test_fitting_is_the_same_each_time_and_with_any_workers() -> None:
    again = fit_forest(X, Y, SETTINGS, workers=2)
    assert all(torch.equal(STATE[name], again[name]) for name in STATE)
    other = fit_forest(X, Y, ForestSettings(**SETTINGS.as_dict() | {"seed": 1}))
    assert not torch.equal(STATE["threshold"][:5], other["threshold"][:5])


@pytest.mark.parametrize(
    ("change", "counted"),
    [({"depth": 3}, "nodes"), ({"leaf": 60}, "nodes"), ({"depth": 0, "leaf": 1}, "nodes"), ({"trees": 3}, "trees")],
)
def test_every_setting_matters(change: dict[str, int], counted: str) -> None:
    state = fit_forest(X, Y, ForestSettings(**SETTINGS.as_dict() | change))
    sizes = [len(one["feature" if counted == "nodes" else "nodes"]) for one in (STATE, state)]
    assert sizes[1] != sizes[0]


def changed(name: str, change: Callable[[Tensor], Tensor]) -> dict[str, Tensor]:
    return STATE | {name: change(STATE[name].clone())}


def put(index: int, value: float) -> Callable[[Tensor], Tensor]:
    def change(values: Tensor) -> Tensor:
        values[index] = value
        return values

    return change


LEAF = int((STATE["left"] == -1).nonzero()[0])

BROKEN = {
    "a feature that is not there": changed("feature", put(0, 6)),
    "a feature that is not there ": changed("feature", put(0, -2)),
    "children before their parents": changed("right", put(1, 0)),
    "children before their parents ": changed("left", put(0, 10**6)),
    "a node with no parent, or with two": changed("right", put(0, int(STATE["left"][0]))),
    "a node with one child": changed("right", put(LEAF, LEAF + 1)),
    "a threshold that is not finite": changed("threshold", put(0, float("nan"))),
    "class shares": changed("share", lambda share: share * 2),
    "class shares ": changed("share", lambda share: share - 0.2 * torch.tensor([1.0, -1, 0, 0, 0])),
    "instead of nodes": {name: value for name, value in STATE.items() if name != "right"},
    "instead of nodes ": STATE | {"more": STATE["left"]},
    "threshold is torch.float32": changed("threshold", lambda values: values.float()),
    "share is torch.float64": changed("share", torch.flatten),
    "7 are named": changed("nodes", lambda nodes: torch.cat([nodes[:-2], nodes[-2:].sum()[None]])),
    "trees of other sizes": changed("nodes", put(0, -1)),
    "trees of other sizes ": changed("nodes", lambda nodes: nodes + 1),
    "arrays of several lengths": changed("threshold", lambda values: values[:-1]),
    "leaves": changed("share", lambda share: share[:-1]),
    "shares ": changed("share", lambda share: share[:, :-1]),
    "": changed("nodes", lambda nodes: nodes + torch.tensor([2, -2, 0, 0, 0, 0, 0])),
    "a node with one child ": changed("left", put(1, -1)) | {"share": torch.cat([STATE["share"][:1], STATE["share"]])},
}


@pytest.mark.parametrize("wrong", BROKEN)
def test_broken_trees_are_refused(wrong: str) -> None:
    with pytest.raises(Misfit, match=f"checkpoint test: these are not the trees of its card: .*{wrong.strip()}"):
        shares(BROKEN[wrong], X)


def test_what_cannot_be_fitted_is_refused() -> None:
    with pytest.raises(Misfit, match="class 4 of 3"):
        fit_forest(X, Y, ForestSettings(classes=3))
    with pytest.raises(Misfit, match="finite"):
        fit_forest(X * np.float32("nan"), Y, SETTINGS)
    with pytest.raises(Misfit, match="float32"):
        fit_forest(X.astype(np.float64), Y, SETTINGS)
    with pytest.raises(Misfit, match="Sample"):
        fit_forest(X[:0], Y[:0], SETTINGS)
