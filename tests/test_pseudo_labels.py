"""Pseudo-labels: rules that can only take away, caps that hold, tiles that add up, and guards that stop."""

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.consensus import Consensus, consensus
from models.errors import Misfit
from models.field_votes import FieldVotes, count_votes, merge_votes, pieces_as_fields
from models.pseudo_labels import (
    PIXEL_RULES,
    RULES,
    STAGE_A,
    STAGE_B,
    Painted,
    PseudoLabelSettings,
    Selection,
    paint,
    raised_shares,
    select_fields,
)
from models.self_training_guards import GuardSettings, Round, agreement_with, drift_between, judge_rounds

PRIOR = np.array([0.1, 0.3, 0.3, 0.3])


def country(seed: int, side: int = 48) -> tuple[Consensus, np.ndarray, np.ndarray]:
    """Fields of many sizes, each with a class that three views see more or less surely; some ground is not seen."""
    random = np.random.default_rng(seed)
    rows = np.searchsorted(np.sort(random.choice(side, 8, replace=False)), np.arange(side), side="right")
    columns = np.searchsorted(np.sort(random.choice(side, 8, replace=False)), np.arange(side), side="right")
    field = (rows[:, None] * 9 + columns + random.integers(0, 2)).astype(np.uint32)
    crop, clear = random.integers(0, 4, 100)[field], random.uniform(0.5, 6, 100)[field]
    views = []
    for _ in range(3):
        z = random.normal(0, 1, (4, side, side))
        np.put_along_axis(z, crop[None], np.take_along_axis(z, crop[None], 0) + clear, 0)
        p = np.exp(z) / np.exp(z).sum(axis=0)
        p[:, random.random((side, side)) < 0.01] = np.nan
        views.append(p)
    return consensus(views), field, random.random((side, side)) < 0.9


def labelled(seed: int, settings: PseudoLabelSettings) -> tuple[FieldVotes, Selection, Painted]:
    found, field, cropland = country(seed)
    votes = count_votes(found, field, cropland, settings.most_doubt)
    selection = select_fields(votes, PRIOR, settings)
    return votes, selection, paint(found, field, selection, settings)


LOOSE = PseudoLabelSettings(share=0.9, least_agreement=0.5, least_pixels=2, most_doubt=0.9, least_cropland=0.2)

SHARE = st.floats(0, 1)
STRICTER = st.one_of(
    st.builds(lambda by: {"share": LOOSE.share * by}, SHARE),
    st.builds(lambda by: {"least_agreement": 0.5 + 0.5 * by}, SHARE),
    st.builds(lambda more: {"least_pixels": 2 + more}, st.integers(0, 60)),
    st.builds(lambda by: {"most_doubt": LOOSE.most_doubt * by}, SHARE),
    st.builds(lambda by: {"least_cropland": 0.2 + 0.8 * by}, SHARE),
    st.builds(lambda cap: {"cap": cap}, st.integers(0, 400)),
    st.builds(lambda by: {"most_raise": 1 + by}, SHARE),
)


@given(st.integers(0, 50), st.lists(STRICTER, min_size=1, max_size=3))
def test_stricter_settings_only_take_away(seed: int, changes: list[dict[str, float]]) -> None:
    settings = LOOSE
    for change in changes:
        settings = replace(settings, **change)  # type: ignore[arg-type]
    loose, strict = labelled(seed, LOOSE), labelled(seed, settings)
    assert set(strict[1].field_F) <= set(loose[1].field_F)
    kept = strict[2].label_YX != 255
    np.testing.assert_array_equal(strict[2].label_YX[kept], loose[2].label_YX[kept])


@given(st.integers(0, 50), st.integers(1, 500))
def test_caps_hold_and_all_fields_are_accounted_for(seed: int, cap: int) -> None:
    votes, selection, painted = labelled(seed, replace(LOOSE, cap=cap))
    assert painted.pixels_K.max() <= cap
    total = selection.accepted_K + sum(selection.rejected[rule] for rule in RULES)
    np.testing.assert_array_equal(total, np.bincount(votes.crop_F, minlength=4))
    assert selection.accepted_K.sum() == len(selection.field_F)
    assert json.loads(json.dumps(selection.as_dict())) == selection.as_dict()


@given(st.integers(0, 50))
def test_what_is_painted_is_agreed_upon(seed: int) -> None:
    found, field, _ = country(seed)
    _, selection, painted = labelled(seed, LOOSE)
    label = painted.label_YX
    taken = label != 255
    assert taken.any()
    assert (found.agree_YX & (found.doubt_YX < LOOSE.most_doubt))[taken].all()
    np.testing.assert_array_equal(label[taken], found.crop_YX[taken])
    assert np.isin(field[taken], selection.field_F).all()
    np.testing.assert_allclose(painted.weight_YX, np.where(taken, found.mean_KYX.max(axis=0), 0), rtol=1e-6)
    np.testing.assert_array_equal(painted.pixels_K, np.bincount(label[taken], minlength=4))
    known = found.known_YX & np.isin(field, selection.field_F)
    assert known.sum() == taken.sum() + sum(int(painted.ignored[rule].sum()) for rule in PIXEL_RULES)


@given(st.integers(0, 50), st.integers(1, 47))
def test_tiles_add_up(seed: int, cut: int) -> None:
    found, field, cropland = country(seed)

    def part(rows: slice) -> tuple[Consensus, np.ndarray]:
        tile = Consensus(found.mean_KYX[:, rows], found.agree_YX[rows], found.known_YX[rows])
        return tile, field[rows]

    parts = [slice(cut), slice(cut, None)]
    votes = merge_votes([count_votes(*part(rows), cropland[rows], LOOSE.most_doubt) for rows in parts])
    whole = count_votes(found, field, cropland, LOOSE.most_doubt)
    for name in ("field_F", "votes_FK", "sure_FK", "cropland_F"):
        np.testing.assert_array_equal(getattr(votes, name), getattr(whole, name))
    np.testing.assert_allclose(votes.probability_FK, whole.probability_FK)
    selection = select_fields(whole, PRIOR, LOOSE)
    tiles = [paint(*part(rows), selection, LOOSE) for rows in parts]
    painted = paint(found, field, selection, LOOSE)
    np.testing.assert_array_equal(np.concatenate([tile.label_YX for tile in tiles]), painted.label_YX)
    np.testing.assert_array_equal(sum(tile.pixels_K for tile in tiles), painted.pixels_K)


def votes_of(rows: list[tuple[int, list[int], float]]) -> FieldVotes:
    """Fields by number, pixels for each of two classes, and confidence."""
    votes = np.array([row[1] for row in rows])
    probability = votes.sum(axis=1)[:, None] * np.array([[row[2]] * 2 for row in rows])
    field = np.array([row[0] for row in rows], np.uint32)
    return FieldVotes(field, votes, votes.copy(), probability, votes.sum(axis=1))


def chosen(votes: FieldVotes, settings: PseudoLabelSettings, prior: tuple[float, ...] = (0.5, 0.5)) -> Selection:
    return select_fields(votes, np.array(prior), settings)


def test_the_most_confident_fields_fill_the_quota() -> None:
    votes = votes_of([(n, [0, 20], 0.5 + n / 100) for n in range(1, 11)] + [(50, [200, 0], 0.9)])
    assert chosen(votes, STAGE_A).field_F.tolist() == [9, 10, 50]
    small = votes_of([(60, [0, 5], 0.1)])
    assert chosen(merge_votes([votes, small]), STAGE_A).field_F.tolist() == [8, 9, 10, 50]  # it counts as ground
    assert chosen(votes, STAGE_B).field_F.tolist() == [6, 7, 8, 9, 10, 50]
    assert chosen(votes, replace(STAGE_A, cap=30)).field_F.tolist() == [10]
    assert chosen(votes, STAGE_A, (0.2, 0.8)).field_F.tolist() == [7, 8, 9, 10, 50]  # 1.6 times 20 %, begun is taken
    assert chosen(votes, STAGE_A, (0.8, 0.2)).share_K.tolist() == pytest.approx([0.32, 0.2])


def test_of_two_equals_the_lower_number_goes_first() -> None:
    votes = votes_of([(n, [0, 20], 0.7) for n in range(1, 6)])
    assert chosen(votes, STAGE_A).field_F.tolist() == [1]


def test_each_rule_is_logged_under_the_class_of_the_field() -> None:
    votes = votes_of([
        (1, [0, 9], 0.9), (2, [30, 60], 0.9), (3, [0, 90], 0.9), (4, [0, 90], 0.8), (5, [0, 90], 0.7),
        (6, [0, 20], 0.1), (7, [50, 0], 0.9),
    ])  # fmt: skip
    votes.cropland_F[[2, 6]] = 0
    votes.sure_FK[3] = 0
    found = chosen(votes, replace(STAGE_B, share=0.8, cap=290))
    counted = {rule: counts.tolist() for rule, counts in found.rejected.items()}
    assert counted == {
        "small": [0, 1], "divided": [0, 1], "no_cropland": [0, 1], "unsure": [0, 1], "lower_rank": [0, 1],
        "over_cap": [0, 1],
    }  # fmt: skip
    assert found.field_F.tolist() == [7]  # background need not be cropland
    assert found.predicted_K.tolist() == [80, 359]


def test_raised_shares() -> None:
    raised = raised_shares(np.array([100, 300, 600, 0]), np.array([0.15, 0.9, 0.1, 0.1]), STAGE_A)
    np.testing.assert_allclose(raised, [0.2 * 0.15 / 1.25 / 0.1, 0.4, 0.2, 0.2])
    assert raised_shares(np.array([1, 99]), np.array([0.5, 0.5]), replace(STAGE_A, share=0.8)).max() <= 1
    with pytest.raises(Misfit, match="prior"):
        raised_shares(np.array([1, 99]), np.array([1.0]), STAGE_A)


def test_consensus_by_hand() -> None:
    one = np.array([[0.9, 0.6, 0.5, np.nan], [0.1, 0.4, 0.5, 0.5]]).reshape(2, 1, 4)
    other = np.array([[0.7, 0.2, 0.5, 0.5], [0.3, 0.8, 0.5, 0.5]]).reshape(2, 1, 4)
    found = consensus(iter([one, other]))
    assert found.agree_YX.tolist() == [[True, False, True, False]]
    assert found.known_YX.tolist() == [[True, True, True, False]]
    assert found.crop_YX.tolist() == [[0, 1, 0, 255]]
    np.testing.assert_allclose(found.confidence_YX, [[0.8, 0.6, 0.5, 0]])
    expected = -(0.8 * np.log(0.8) + 0.2 * np.log(0.2)) / np.log(2)
    np.testing.assert_allclose(found.doubt_YX[0, [0, 2, 3]], [expected, 1, 1])
    assert not consensus([np.zeros((2, 1, 1))]).known_YX.any()
    with pytest.raises(Misfit, match="no views"):
        consensus([])
    with pytest.raises(Misfit, match="differ"):
        consensus([one, other[:, :, :2]])


def test_pieces_stand_in_for_fields() -> None:
    crop = np.array([[1, 1, 2], [255, 1, 2], [1, 255, 1]], np.uint8)
    assert pieces_as_fields(crop).tolist() == [[1, 1, 4], [0, 1, 4], [2, 0, 3]]


def test_no_fields_no_labels() -> None:
    found, field, _ = country(0)
    selection = select_fields(count_votes(found, field * 0), PRIOR, LOOSE)
    assert (paint(found, field, selection, LOOSE).label_YX == 255).all()
    with pytest.raises(Misfit, match="shapes"):
        count_votes(found, field[1:])


def test_guards() -> None:
    teacher = Round(0.80, (50, 30, 20))
    assert judge_rounds([teacher]).go_on
    better = judge_rounds([teacher, Round(0.84, (48, 32, 20))])
    assert (better.go_on, better.best, better.drift) == (True, 1, pytest.approx(0.02))
    assert judge_rounds([teacher, Round(0.795, (50, 30, 20))]).go_on  # within the noise
    worse = judge_rounds([teacher, Round(0.84, (48, 32, 20)), Round(0.82, (48, 32, 20))])
    assert (worse.go_on, worse.reason, worse.best) == (False, "agreement_fell", 1)
    assert judge_rounds([teacher, Round(0.81, (20, 60, 20))]).reason == "drifted"
    slowly = [Round(0.8, (100 - n, n)) for n in (30, 20, 10, 2)]
    assert judge_rounds(slowly[:3]).go_on
    assert judge_rounds(slowly).reason == "class_vanished"
    assert judge_rounds([teacher, Round(float("nan"), (50, 30, 20))]).reason == "agreement_fell"
    assert judge_rounds(slowly, GuardSettings(least_left=0.0)).go_on
    with pytest.raises(Misfit):
        judge_rounds([])


def test_drift_and_agreement() -> None:
    assert drift_between((1, 1), (3, 1)) == pytest.approx(0.25)
    assert agreement_with((200.0, 100.0), (2, 1)) == pytest.approx(1)
    assert agreement_with((1.0, 0.0), (0, 5)) == 0
    with pytest.raises(Misfit):
        drift_between((1, 1), (1, 1, 1))
    with pytest.raises(Misfit):
        drift_between((0, 0), (1, 1))


def test_settings_are_checked() -> None:
    for wrong in ({"share": 1.5}, {"most_raise": 0.5}, {"least_pixels": -1}):
        with pytest.raises(Misfit):
            PseudoLabelSettings(**wrong)  # type: ignore[arg-type]
