"""Composites against a plain numpy oracle, and reflectance that keeps no data apart from dark."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from catalogs.bands import CLEAR_SCL
from catalogs.compositing import clear_pixels, median_composite
from catalogs.reading import reflectance


@given(st.integers(1, 7).flatmap(lambda n: st.tuples(
    arrays.arrays(np.uint16, (n, 2, 3, 4), elements=st.integers(1, 15000)),
    arrays.arrays(bool, (n, 3, 4)),
)))  # fmt: skip
def test_the_median_is_numpys_where_anything_is_clear(data):
    scenes, clear = data
    picture, count = median_composite(list(scenes), list(clear))
    assert (count == clear.sum(axis=0)).all()
    for y, x in np.ndindex(3, 4):
        seen = scenes[clear[:, y, x]][:, :, y, x]
        expected = np.floor(np.median(seen, axis=0) + 0.5) if len(seen) else np.zeros(2)
        assert (picture[:, y, x] == expected).all()


@given(arrays.arrays(np.uint16, (3, 4, 4), elements=st.sampled_from([0, 0, 1, 999, 1000, 1001, 9000])),
       st.sampled_from([0, 1000]))  # fmt: skip
def test_no_data_stays_and_dark_ground_does_not_become_it(counts, offset):
    found = reflectance(counts, offset)
    empty = (counts == 0).all(axis=0)
    assert ((found == 0) == empty).all()
    bright = (counts > offset) & ~empty
    assert (found[bright] == counts[bright] - offset).all()
    assert found.dtype == np.uint16


def test_clear_needs_data_and_a_clear_class():
    picture = np.ones((2, 1, 12), np.uint16)
    picture[:, 0, 4] = 0
    clear = clear_pixels(picture, np.arange(12)[None])
    assert [scl for scl in range(12) if clear[0, scl]] == [scl for scl in CLEAR_SCL if scl != 4]
