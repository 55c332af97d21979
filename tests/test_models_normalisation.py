"""Normalised pixels and augmented patches: no data stays no data, and a seed gives the same patch."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from models.augmentation import Augmentation, augment, draw
from models.errors import Misfit
from models.normalisation import Normalisation, estimate_normalisation, moments, normalise
from models.showing import show

STILL = Augmentation(turn=False, gain=0.0, noise=0.0, drop=0.0)


def pixels(seed: int = 0, shape: tuple[int, ...] = (3, 2, 8, 8)) -> np.ndarray:
    """Every fifth value or so has no data."""
    random = np.random.default_rng(seed)
    x = random.integers(1, 20_000, shape, dtype=np.uint16)
    return np.where(random.random(shape) < 0.2, 0, x).astype(np.uint16)


def test_by_hand() -> None:
    x = np.array([[[0, 1000, 20_000]], [[500, 0, 1500]]], dtype=np.uint16)
    found = normalise(x, Normalisation((1500.0, 500.0), (250.0, 500.0)))
    assert found.dtype == torch.float32
    assert found.tolist() == [[[0.0, -2.0, 54.0]], [[0.0, 0.0, 2.0]]]


def test_numpy_and_torch_agree_and_nothing_given_changes() -> None:
    x, normalisation = pixels(), Normalisation((1000.0, 2000.0), (300.0, 400.0))
    x.setflags(write=False)
    as_float = torch.from_numpy(x.astype(np.float32))
    before = as_float.clone()
    found = normalise(x, normalisation)
    assert torch.equal(normalise(torch.from_numpy(x.copy()), normalisation), found)
    assert torch.equal(normalise(as_float, normalisation), found)
    assert torch.equal(as_float, before)
    assert not found[torch.from_numpy(x == 0)].any()


def test_estimate_is_that_of_the_valid_pixels() -> None:
    patches = [pixels(seed) for seed in range(3)]
    found = estimate_normalisation(patches)
    for band in range(2):
        values = np.concatenate([patch[:, band].ravel() for patch in patches])
        values = np.minimum(values[values > 0], 15_000).astype(float)
        assert found.mean[band] == pytest.approx(values.mean())
        assert found.std[band] == pytest.approx(values.std())
    assert estimate_normalisation(reversed(patches)) == found


def test_moments_add_exactly() -> None:
    x = pixels(shape=(4, 2, 6, 6))
    parts, whole = moments(x[:1]) + moments(x[1:]), moments(x)
    for name in ("count", "total", "squares"):
        np.testing.assert_array_equal(getattr(parts, name), getattr(whole, name))


def test_what_cannot_be_normalised_is_refused() -> None:
    with pytest.raises(Misfit):
        normalise(pixels(), Normalisation((1.0,), (1.0,)))
    with pytest.raises(Misfit):
        Normalisation((1.0,), (0.0,))
    with pytest.raises(Misfit):
        estimate_normalisation([np.zeros((2, 2, 4, 4), np.uint16)])
    with pytest.raises(Misfit):
        estimate_normalisation([])


@given(st.integers(0, 500), st.booleans())
def test_augmented_patches_keep_what_belongs_together(seed: int, square: bool) -> None:
    """The label of a pixel travels with it, the shape stays, and no data comes only with a lost period."""
    x = pixels(seed, (3, 2, 8, 8 if square else 6))
    truth = (x[0, 0] % 11).astype(np.uint8)
    settings = Augmentation(gain=0.0, noise=0.0, drop=0.0)
    found, labels = augment(x, truth, settings, np.random.default_rng(seed))
    assert found.shape == x.shape
    np.testing.assert_array_equal(found[0, 0] % 11, labels)
    np.testing.assert_array_equal(np.sort(found, axis=None), np.sort(x, axis=None))


@given(st.integers(0, 500))
def test_jitter_never_makes_or_unmakes_no_data(seed: int) -> None:
    x, truth = pixels(seed), np.zeros((8, 8), np.uint8)
    settings = Augmentation(turn=False, gain=0.05, noise=5000.0, drop=0.0)
    found, _ = augment(x, truth, settings, np.random.default_rng(seed))
    np.testing.assert_array_equal(found == 0, x == 0)
    assert found.min() >= 0


def test_gain_stays_within_its_bounds() -> None:
    x = np.full((1, 2, 4, 4), 1000, np.uint16)
    settings = Augmentation(turn=False, gain=0.05, noise=0.0, drop=0.0)
    for seed in range(20):
        found, _ = augment(x, np.zeros((4, 4), np.uint8), settings, np.random.default_rng(seed))
        assert 949 < found.min() <= found.max() < 1051
        assert found[0, 0, 0, 0] != found[0, 1, 0, 0]


def test_one_period_is_lost_but_never_the_only_one() -> None:
    x, truth = np.full((3, 2, 4, 4), 1000, np.uint16), np.zeros((4, 4), np.uint8)
    settings = Augmentation(turn=False, gain=0.0, noise=0.0, drop=1.0)
    found, _ = augment(x, truth, settings, np.random.default_rng(0))
    assert sorted(found.sum(axis=(1, 2, 3)).tolist()) == [0.0, 32_000.0, 32_000.0]
    alone, _ = augment(x[:1], truth, settings, np.random.default_rng(0))
    assert alone.all()


@pytest.mark.parametrize("option", [{"turn": True}, {"gain": 0.05}, {"noise": 50.0}, {"drop": 1.0}])
def test_every_option_changes_the_patch(option: dict[str, float]) -> None:
    x, truth = pixels(), np.zeros((8, 8), np.uint8)
    plain, _ = augment(x, truth, STILL, np.random.default_rng(1))
    np.testing.assert_array_equal(plain, x)
    settings = Augmentation(**{"turn": False, "gain": 0.0, "noise": 0.0, "drop": 0.0} | option)  # type: ignore[arg-type]
    varied = [augment(x, truth, settings, np.random.default_rng(seed))[0] for seed in range(4)]
    assert any(not np.array_equal(patch, plain) for patch in varied)


def test_same_seed_same_patch() -> None:
    x, truth = pixels(), np.zeros((8, 8), np.uint8)
    first, second, other = (augment(x, truth, Augmentation(), np.random.default_rng(seed))[0] for seed in (5, 5, 6))
    np.testing.assert_array_equal(first, second)
    assert not np.array_equal(first, other)


@given(st.integers(0, 300), st.booleans(), st.booleans())
def test_what_is_shown_is_the_normalised_variation(seed: int, square: bool, gaps: bool) -> None:
    """The way that training takes, against the plain one; also of pixels that are bright, dark or without data."""
    rng = np.random.default_rng(seed)
    x = rng.integers(1, 20_000, (3, 2, 8, 8 if square else 6)).astype(np.uint16)
    if gaps:
        x[:, :, :3] = 0
        x[0, 0, 4] = 0
    truth = rng.integers(0, 5, x.shape[-2:]).astype(np.uint8)
    settings = Augmentation(gain=0.3, noise=900.0, drop=0.5, warp=0.2)
    normalisation = Normalisation((3000.0, 900.0), (1500.0, 400.0))
    varied, turned = augment(x, truth, settings, np.random.default_rng(seed))
    variation = draw(settings, x.shape, np.random.default_rng(seed))
    out, seen = torch.full(x.shape, float("nan")), torch.ones((3, *x.shape[-2:]), dtype=torch.bool)
    show(x, variation, normalisation, out, seen)
    torch.testing.assert_close(out, normalise(varied, normalisation), rtol=1e-5, atol=1e-5)
    assert torch.equal(out == 0, normalise(varied, normalisation) == 0) or (varied != 0).all()
    np.testing.assert_array_equal(seen.numpy(), (varied != 0).any(axis=1))
    np.testing.assert_array_equal(variation.turned(truth), turned)
