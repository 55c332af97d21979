"""Maps that a network may learn beside its classes: worked examples, holes, and the preset of the paper."""

import numpy as np
import pytest
import torch

from models.depth_presets import DEPTHSEG
from models.depth_teacher import natural_colours
from models.errors import Misfit
from models.structure_targets import TARGETS, height, seasonal_amplitude, slope


def season(*periods: tuple[int, int]) -> np.ndarray:
    """One pixel's counts of red and near infrared in each period, in a cube's ten bands."""
    x_TCYX = np.full((len(periods), 10, 1, 1), 500, np.uint16)
    for period, (red, infrared) in enumerate(periods):
        x_TCYX[period, 2], x_TCYX[period, 6] = red, infrared
    return x_TCYX


def test_amplitude_is_the_span_of_ndvi():
    found = seasonal_amplitude(season((1000, 3000), (400, 3600), (2000, 2000)))
    assert found.dtype == np.float32 and found[0, 0] == pytest.approx(0.8)


def test_periods_without_data_do_not_count():
    assert seasonal_amplitude(season((1000, 3000), (0, 0), (2000, 2000)))[0, 0] == pytest.approx(0.5)
    assert np.isnan(seasonal_amplitude(season((1000, 3000), (0, 0)))[0, 0])


def test_amplitude_can_be_of_other_bands():
    x_TCYX = season((1, 1), (1, 1))[:, :3]
    x_TCYX[:, 0, 0, 0], x_TCYX[:, 1, 0, 0] = (100, 200), (300, 200)
    assert seasonal_amplitude(x_TCYX, red=0, near_infrared=1)[0, 0] == pytest.approx(0.5)
    with pytest.raises(Misfit):
        seasonal_amplitude(x_TCYX)


def test_slope_is_the_rise_of_a_pixel_and_a_void_is_none():
    plane = np.add.outer(3.0 * np.arange(6), 4.0 * np.arange(7))
    np.testing.assert_allclose(slope(plane), 5.0)
    plane[2, 2] = np.nan
    assert np.isnan(slope(plane)[2, 3]) and slope(plane)[5, 6] == 5
    assert height(plane).dtype == np.float32


def test_each_target_takes_the_array_it_names():
    arrays = {"season": season((1000, 3000), (400, 3600)).repeat(4, 2).repeat(4, 3), "elevation": np.eye(4)}
    for name, target in TARGETS.items():
        made = target.make(arrays[target.needs])
        assert made.shape == (4, 4) and made.dtype == np.float32, name


def test_natural_colours_are_red_green_blue_of_what_was_seen():
    x_BTCYX = torch.zeros(1, 2, 10, 1, 2)
    x_BTCYX[0, :, 2, 0, 0], x_BTCYX[0, :, 1, 0, 0] = torch.tensor([600.0, 0.0]), torch.tensor([300.0, 900.0])
    x_BTCYX[0, :, 0, 0, 0] = 9000.0
    colours = natural_colours(x_BTCYX)
    torch.testing.assert_close(colours[0, :, 0, 0], torch.tensor([0.2, 0.2, 1.0]))
    assert not colours[0, :, 0, 1].any()
    with pytest.raises(Misfit):
        natural_colours(x_BTCYX, (10, 1, 0))


def test_the_papers_schedule():
    preset = DEPTHSEG["b"]
    weight = torch.zeros(1, requires_grad=True)
    optimizer = torch.optim.AdamW([weight], preset.learning_rate, preset.betas, weight_decay=preset.weight_decay)
    schedule = torch.optim.lr_scheduler.MultiStepLR(optimizer, preset.steps(10), preset.factor)
    rates = []
    for _ in range(10):
        rates.append(schedule.get_last_lr()[0])
        optimizer.step()
        schedule.step()
    assert rates == pytest.approx(3 * [1e-4] + 3 * [2e-5] + 4 * [4e-6])
    assert {name: preset.batch for name, preset in DEPTHSEG.items() if name != "tiny"} == {"s": 8, "b": 4, "l": 2}
    assert (preset.weight_decay, preset.epochs) == (1e-3, 50)
