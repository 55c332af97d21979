"""What is made of each pixel alone lies in slabs as it lies in the window, whatever blocks it came in."""

from collections.abc import Iterator
from itertools import pairwise, product

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from models import slabs
from models.slabs import pieces, slabs_of
from models.window import Blocks


def ends(data: st.DataObject, length: int) -> list[slice]:
    inner = data.draw(st.sets(st.integers(1, length - 1), max_size=4)) if length > 1 else set()
    return [slice(a, b) for a, b in pairwise([0, *sorted(inner), length])]


@settings(max_examples=60)
@given(
    data=st.data(),
    height=st.integers(1, 60),
    width=st.integers(1, 400),
    slab=st.integers(1, 9000),
    free=st.sampled_from([0, 5]),
)
def test_every_pixel_is_in_its_place(data: st.DataObject, height: int, width: int, slab: int, free: int) -> None:
    x = np.random.default_rng(0).integers(0, 3, (2, 3, height, width)).astype(np.uint16)
    places = product(ends(data, height), ends(data, width))
    known = torch.empty(height, width, dtype=torch.bool)

    def look(part: np.ndarray) -> tuple[Tensor, Tensor]:
        counts = torch.from_numpy(part.astype(np.float32)).flatten(0, 1)
        return counts[None], counts.any(dim=0)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(slabs, "SLAB", slab)
        blocks = Blocks(height, width, ((place, x[..., *place]) for place in places))
        below = [*slabs_of(blocks, look, 64, known, free)]
    found = [one[:, :, free:] for one in below]
    whole, everywhere = look(x)
    assert torch.equal(torch.cat(found, dim=2), whole) and torch.equal(known, everywhere)
    assert all((one.shape[2] - 1) * width < slab for one in found), "a row more, at most"
    assert all(one.is_contiguous(memory_format=torch.channels_last) for one in below)


def test_all_slabs_are_looked_at_before_the_next_blocks_come() -> None:
    block, looked = np.ones((1, 1, 64, 8), np.uint16), list[int]()

    def blocks() -> Iterator[tuple[tuple[slice, slice], np.ndarray]]:
        for row in range(3):
            yield (slice(64 * row, 64 * row + 64), slice(0, 8)), block
            assert sum(looked) == 64 * (row + 1)

    def look(part: np.ndarray) -> tuple[Tensor, Tensor]:
        return torch.ones(1, 2, *part.shape[2:]), torch.ones(part.shape[2:], dtype=torch.bool)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(slabs, "SLAB", 16 * 8)
        known = torch.empty(192, 8, dtype=torch.bool)
        looked += (slab.shape[2] for slab in slabs_of(Blocks(192, 8, blocks()), look, 64, known))
    assert looked == [16] * 12


@given(height=st.integers(1, 1200), width=st.integers(1, 1200))
def test_pieces_cover_a_window_once_and_are_nearly_full(height: int, width: int) -> None:
    """A piece that is not full costs as much as one that is: at most one of each 256 columns."""
    covered, count = np.zeros((height, width), np.uint8), 0
    for piece in pieces(height, width, 4096):
        covered[piece] += 1
        count += 1
        assert covered[piece].size <= 4096
    assert (covered == 1).all()
    assert count <= height * width / 4096 * 1.1 + width // 256 + 1
