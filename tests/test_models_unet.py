"""The U-Net: its size, how far it sees, and that a window's shape and place do not show in its answers."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

import models
from models.errors import Misfit
from models.network import start_from_frequencies
from models.unet import UNet, UNetSettings

NARROW = UNetSettings(bands=3, periods=2, classes=5, widths=(8, 16, 24))


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Small arrays gain nothing from more, and lose much while something else runs."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("norm", ["batch", "group"])
@pytest.mark.parametrize(
    ("widths", "count"),
    [
        ((32, 64, 128, 256, 512), 7_765_387),
        ((48, 96, 192, 384, 768), 17_464_907),
        ((64, 128, 256, 512, 1024), 31_042_315),
        ((32, 64, 128, 256), 1_929_355),
        ((64, 128, 256, 512), 7_704_843),
    ],
)
def test_parameter_count(norm: str, widths: tuple[int, ...], count: int) -> None:
    with torch.device("meta"):
        network = UNet(UNetSettings(widths=widths, norm=norm))
    assert sum(parameter.numel() for parameter in network.parameters()) == count


def test_reach_of_the_usual_shapes() -> None:
    four_levels, four_resolutions = UNetSettings(widths=(32, 64, 128, 256, 512)), UNetSettings()
    assert (four_levels.stride, four_levels.receptive_radius, four_levels.halo) == (16, 107, 112)
    assert (four_resolutions.stride, four_resolutions.receptive_radius, four_resolutions.halo) == (8, 51, 56)


def test_radius_is_reached_and_never_passed() -> None:
    """With positive weights nothing cancels and a bright column wins every pooling, so all that is seen shows."""
    network = UNet(NARROW).eval()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.abs_().add_(0.01)
    radius, plain = NARROW.receptive_radius, torch.ones(1, 6, 4, 64)
    farthest = 0
    with torch.inference_mode():
        before = answer_of(network, plain)
        for column in range(28, 28 + NARROW.stride):
            bright = plain.clone()
            bright[..., column] = 1000.0
            changed = (answer_of(network, bright) != before).any(dim=(0, 1, 2)).nonzero()
            farthest = max(farthest, int((changed - column).abs().max()))
    assert farthest == radius


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("core", [4, 64])
def test_batch_norm_answers_the_same_bits_in_every_window(core: int, threads: int) -> None:
    """Small windows matter: PyTorch switches kernels on a CPU below a certain size, and for a single thread."""
    whole, parts = windows_of("batch", core, threads)
    for expected, found in zip(whole, parts, strict=True):
        assert torch.equal(found.argmax(dim=1), expected.argmax(dim=1))
        assert torch.equal(found, expected)


def test_batch_norm_with_four_levels_answers_the_same_bits() -> None:
    settings = UNetSettings(bands=4, classes=3, widths=(8, 8, 8, 8, 16))
    whole, parts = windows_of("batch", 16, threads=1, settings=settings, side=320)
    assert all(torch.equal(found, expected) for found, expected in zip(parts, whole, strict=True))


def test_group_norm_lets_the_window_show() -> None:
    whole, parts = windows_of("group", 64, threads=1)
    assert all((found - expected).abs().max() > 1e-3 for found, expected in zip(parts, whole, strict=True))


def windows_of(
    norm: str, core: int, threads: int, settings: UNetSettings = NARROW, side: int = 144
) -> tuple[list[Tensor], list[Tensor]]:
    """Cores of windows with halo at three places, cut from the answer for the whole and answered alone."""
    settings = UNetSettings(**settings.as_dict() | {"norm": norm})
    network, edge, step = trained_like(UNet(settings)), settings.halo, settings.stride
    x = torch.randn(1, settings.bands * settings.periods, side, side, generator=torch.Generator().manual_seed(1))
    whole, parts = [], []
    with torch.inference_mode():
        answer = answer_of(network, x)
        torch.set_num_threads(threads)
        for top, left in [(0, 0), (step, 5 * step), (3 * step, 2 * step)]:
            rows, columns = slice(top, top + core + 2 * edge), slice(left, left + core + 2 * edge)
            inner = (..., slice(edge, edge + core), slice(edge, edge + core))
            whole.append(answer[..., rows, columns][inner])
            parts.append(answer_of(network, x[..., rows, columns])[inner])
    return whole, parts


def answer_of(network: UNet, x_BCYX: Tensor) -> Tensor:
    """Its logits for periods that are given as channels."""
    x_BTCYX = x_BCYX.unflatten(1, (network.settings.periods, network.settings.bands))
    logits: Tensor = network(x_BTCYX, (x_BTCYX != 0).any(dim=2), torch.zeros(x_BTCYX.shape[:2]))
    return logits


def trained_like(network: UNet) -> UNet:
    """Statistics and scales as after training: none is 0 or 1."""
    random = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for value in [*network.parameters(), *network.buffers()]:
            if value.ndim == 1:
                value.copy_(0.5 + torch.rand(value.shape, generator=random))
    return network.eval()


def test_golden_logits() -> None:
    torch.manual_seed(7)
    network = UNet(UNetSettings(bands=2, classes=3, widths=(8, 16), norm="group"))
    x = torch.linspace(-1, 1, 2 * 16 * 16).reshape(1, 2, 16, 16)
    with torch.inference_mode():
        found = answer_of(network, x)[0, :, 8, 8]
    torch.testing.assert_close(found, torch.tensor(GOLDEN), rtol=1e-4, atol=1e-4)


# Of this code with torch 2.13 on a CPU; a change means that old checkpoints answer differently.
GOLDEN = [-1.498668, -0.624156, -0.414783]


def test_norms_differ_only_in_the_norm() -> None:
    kinds = {norm: [type(part) for part in UNet(UNetSettings(norm=norm)).modules()] for norm in ("batch", "group")}
    swapped = [nn.GroupNorm if kind is nn.BatchNorm2d else kind for kind in kinds["batch"]]
    assert swapped == kinds["group"]


def test_initial_answer_is_the_class_frequencies() -> None:
    network = UNet(NARROW).eval()
    start_from_frequencies(network, [70, 20, 9, 1, 0])
    nn.init.zeros_(network.head.weight)
    share = answer_of(network, torch.zeros(1, 6, 8, 8)).softmax(dim=1)[0, :, 0, 0]
    torch.testing.assert_close(share, torch.tensor([0.7, 0.2, 0.09, 0.01, 0.0]), atol=1e-5, rtol=0)
    with pytest.raises(Misfit):
        start_from_frequencies(network, [1, 2])


def test_kaiming_fan_out() -> None:
    torch.manual_seed(0)
    weight = UNet(UNetSettings(widths=(32, 64, 128))).get_parameter("down.2.0.weight")
    assert float(weight.detach().std()) == pytest.approx((2 / (128 * 9)) ** 0.5, rel=0.02)


@pytest.mark.parametrize(
    "wrong",
    [{"norm": "layer"}, {"widths": [8]}, {"widths": [12, 24], "norm": "group"}, {"bands": 0}, {"depth": 5}],
)
def test_settings_that_build_nothing_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(Misfit) as caught:
        UNetSettings.of(wrong)
    assert caught.value.remedy


def test_settings_survive_a_card() -> None:
    assert UNetSettings.of(NARROW.as_dict()) == NARROW


def test_models_is_ours_even_after_torch_hub() -> None:
    """torch.hub puts foreign repositories with a `models` folder of their own on the path."""
    root = Path(__file__).parents[1]
    assert Path(str(models.__file__)) == root / "models" / "__init__.py"
    program = "import torch.hub, models, models.unet; print(models.__file__)"
    printed = subprocess.run([sys.executable, "-c", program], cwd=root, capture_output=True, text=True, check=True)
    assert Path(printed.stdout.strip()) == root / "models" / "__init__.py"
