"""Intervals by drawing blocks: their width against theory, their coverage, and what is undefined."""

import json

import numpy as np
import pytest

from models.errors import Misfit
from models.intervals import BootstrapSettings, intervals, overall_scores, paired_differences
from models.metrics import Confusion, score


def block(right: int, wrong: int, unmapped: int = 0) -> Confusion:
    """Of two classes, the labelled pixels all of class 0."""
    return Confusion(np.array([[right, wrong], [0, 0]]), np.array([unmapped, 0]))


def country(random: np.random.Generator, blocks: int = 40) -> list[Confusion]:
    """Of each block's 100 pixels as many are right as its valley allows."""
    right = random.binomial(100, random.beta(16, 4, blocks))
    return [block(int(r), 100 - int(r)) for r in right]


def test_value_is_that_of_all_blocks_and_draws_are_seeded() -> None:
    blocks = country(np.random.default_rng(0))
    found = intervals(blocks)
    total = sum(blocks[1:], blocks[0])
    assert {name: one.value for name, one in found.items()} == pytest.approx(overall_scores(total), nan_ok=True)
    accuracy = found["pixel_accuracy"]
    assert accuracy.low < accuracy.value < accuracy.high
    assert intervals(blocks)["pixel_accuracy"] == accuracy
    assert intervals(blocks, BootstrapSettings(seed=1))["pixel_accuracy"] != accuracy
    assert intervals(blocks, BootstrapSettings(level=0.5))["pixel_accuracy"].high < accuracy.high


def test_draws_are_those_of_a_loop_over_blocks() -> None:
    """Every block is drawn as often as any other, and sums stay whole."""
    random = np.random.default_rng(3)
    blocks = [Confusion(random.integers(0, 99, (3, 3)), random.integers(0, 9, 3)) for _ in range(5)]
    seen: list[Confusion] = []

    def scorer(counted: Confusion) -> dict[str, float]:
        seen.append(counted)
        return {"pixels": float(counted.matrix.sum())}

    settings = BootstrapSettings(draws=70)
    found = intervals(blocks, settings, scorer)["pixels"]
    generator = np.random.default_rng(0)
    weights = np.concatenate([generator.multinomial(5, [0.2] * 5, size=size) for size in (64, 6)])
    for weight, one in zip(weights, seen[:70], strict=True):
        drawn = [blocks[i] for i in np.repeat(np.arange(5), weight)]
        assert one == sum(drawn[1:], drawn[0])
    pixels = [one.matrix.sum() for one in seen[:70]]
    assert (found.low, found.high) == pytest.approx(tuple(np.quantile(pixels, [0.025, 0.975])))


def test_width_is_that_of_theory() -> None:
    blocks = country(np.random.default_rng(1), 400)
    found = intervals(blocks)["pixel_accuracy"]
    error = np.std([one.matrix[0, 0] / 100 for one in blocks]) / 20
    assert (found.high - found.low) / 2 == pytest.approx(1.96 * error, rel=0.1)
    pixels = np.sqrt(found.value * (1 - found.value) / 40_000)
    assert found.high - found.low > 4 * 1.96 * pixels  # as if pixels were independent: far too sure


def test_coverage() -> None:
    """Of 200 countries whose true accuracy is 0.8 about 95 in 100 intervals hold it."""
    random = np.random.default_rng(2)
    quick = BootstrapSettings(draws=300)

    def accuracy(counted: Confusion) -> dict[str, float]:
        return {"accuracy": counted.matrix[0, 0] / counted.matrix.sum()}

    found = [intervals(country(random), quick, accuracy)["accuracy"] for _ in range(200)]
    held = np.mean([one.low <= 0.8 <= one.high for one in found])
    assert 0.88 <= held <= 0.99


def test_a_pair_shares_its_draws() -> None:
    """The better map wins by one pixel in each block: certain, although both scores vary widely."""
    theirs = country(np.random.default_rng(4))
    theirs = [block(min(int(b.matrix[0, 0]), 99), 100 - min(int(b.matrix[0, 0]), 99)) for b in theirs]
    ours = [block(int(b.matrix[0, 0]) + 1, int(b.matrix[0, 1]) - 1) for b in theirs]
    found = paired_differences(ours, theirs)["pixel_accuracy"]
    assert (found.value, found.low, found.high) == pytest.approx((0.01, 0.01, 0.01))
    same = paired_differences(ours, ours)["mean_iou"]
    assert (same.low, same.high) == (0, 0)
    alone = intervals(ours)["pixel_accuracy"]
    assert alone.high - alone.low > 0.03


def test_one_block_says_nothing() -> None:
    found = intervals([block(8, 2)])["pixel_accuracy"]
    assert (found.value, found.is_defined, found.blocks) == (0.8, False, 1)
    assert json.loads(json.dumps(found.as_dict())) == {"value": 0.8, "low": None, "high": None, "blocks": 1}
    empty = intervals([block(8, 2), block(0, 0), block(0, 0)])["pixel_accuracy"]
    assert (empty.is_defined, empty.blocks) == (False, 1)
    with pytest.raises(Misfit, match="no blocks"):
        intervals([block(0, 0)])


def test_a_class_that_is_rarely_drawn_has_no_interval() -> None:
    """Class 1 lies in one of 12 blocks: about a third of draws lack it; a tenth suffices here, nine tenths do not."""
    rare = Confusion(np.array([[5, 0], [1, 4]]), np.zeros(2, np.int64))
    blocks = [block(9, 1)] * 11 + [rare]

    def recall(counted: Confusion) -> dict[str, float]:
        return {"recall": float(score(counted).recall[1])}

    found = [intervals(blocks, BootstrapSettings(least_defined=share), recall)["recall"] for share in (0.1, 0.9)]
    assert [one.is_defined for one in found] == [True, False]
    assert all(one.value == 0.8 for one in found)


def test_many_blocks_are_quick() -> None:
    random = np.random.default_rng(5)
    blocks = [Confusion(random.integers(0, 500, (11, 11)), random.integers(0, 9, 11)) for _ in range(3000)]
    found = intervals(blocks, BootstrapSettings(draws=200))
    assert all(one.is_defined for one in found.values())


def test_pairs_must_be_of_one_truth() -> None:
    with pytest.raises(Misfit, match="blocks"):
        paired_differences([block(1, 1)] * 2, [block(1, 1)])
    with pytest.raises(Misfit, match="block 1 with 2 and 3"):
        paired_differences([block(1, 1)] * 2, [block(1, 1), block(2, 1)])
    paired_differences([block(1, 1, 2)] * 2, [block(2, 2)] * 2)  # unmapped ground is labelled too
    with pytest.raises(Misfit, match="draws"):
        BootstrapSettings(draws=0)
