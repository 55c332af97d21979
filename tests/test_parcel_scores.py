"""Parcels counted whole: by hand, and tile by tile."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.errors import Misfit
from models.metrics import score
from models.parcel_scores import count_parcels, merge_parcels, parcel_confusion

PARCEL = np.zeros((6, 14), np.uint32)
PARCEL[:5, :5] = 7
PARCEL[:5, 5:9] = 3
PARCEL[:, 10:12] = 4
TRUTH = np.choose(np.searchsorted([0, 3, 4, 7], PARCEL), [255, 1, 2, 1]).astype(np.uint8)
MAP = np.full((6, 14), 2, np.uint8)
MAP[1:4, 1:3] = 1


def test_by_hand() -> None:
    """Parcel 7 has nine inner pixels, two of them not mapped; parcel 3 is taken for 2; parcel 4 has no inside."""
    predicted = MAP.copy()
    predicted[1:3, 3] = 255
    found = count_parcels(TRUTH, predicted, np.pad(PARCEL, 1), 3)
    assert found.parcel_P.tolist() == [3, 4, 7]
    assert found.pixels_P.tolist() == [20, 12, 25]
    assert found.truth_P.tolist() == [1, 2, 1]
    assert found.votes_PK.tolist() == [[0, 0, 6], [0, 0, 0], [0, 6, 1]]
    once, area = parcel_confusion(found), parcel_confusion(found, by_area=True)
    assert once.matrix.tolist() == [[0, 0, 0], [0, 1, 1], [0, 0, 0]]
    assert (once.unmapped.tolist(), area.unmapped.tolist()) == ([0, 0, 1], [0, 0, 12])
    assert area.matrix[1].tolist() == [0, 25, 20]
    assert score(area).pixel_accuracy == pytest.approx(25 / 45)


@given(st.integers(0, 1000), st.integers(0, 12))
def test_tiles_add_up(seed: int, cut: int) -> None:
    random = np.random.default_rng(seed)
    parcel = random.integers(0, 5, (4, 4)).repeat(3, 0).repeat(3, 1).astype(np.uint32)
    truth = np.where(parcel == 4, 255, parcel % 3).astype(np.uint8)
    predicted = random.choice(np.array([0, 1, 2, 255], np.uint8), (12, 12))
    framed = np.pad(parcel, 1)
    cuts = ((slice(cut), slice(cut + 2)), (slice(cut, None), slice(cut, None)))
    parts = [count_parcels(truth[rows], predicted[rows], framed[wider], 3) for rows, wider in cuts]
    merged, whole = merge_parcels(parts), count_parcels(truth, predicted, framed, 3)
    for name in ("parcel_P", "truth_P", "pixels_P", "votes_PK"):
        np.testing.assert_array_equal(getattr(merged, name), getattr(whole, name))


def test_parcels_without_a_frame_are_refused() -> None:
    with pytest.raises(Misfit, match="frame"):
        count_parcels(TRUTH, MAP, PARCEL, 3)
