"""DepthSeg and DepthCropSeg: sizes, shapes, who learns and who does not, and a checkpoint that stands alone."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from models.architectures import NETWORKS, build
from models.card import Card
from models.checkpoint import decode, encode
from models.depthcropseg import DepthCropSeg, DepthCropSegSettings
from models.depthseg import DepthSeg, DepthSegSettings
from models.encoder import Encoder
from models.encoder_sizes import SIZES
from models.errors import Misfit
from models.network import Network, parameter_count, start_from_frequencies
from models.normalisation import Normalisation
from models.picture import SeasonPicture, enlarged, season_of
from models.predictor import load_predictor
from models.scale_adapter import ScaleAdapter
from models.structure_loss import prompted_loss, structure_loss

SEASON = {"bands": 4, "periods": 3, "classes": 5, "size": "tiny", "token": 4}
SETTINGS = {
    "depthseg": DepthSegSettings(**SEASON),
    "depthcropseg": DepthCropSegSettings(**SEASON, width=16),
    "photograph": DepthCropSegSettings(
        3, 1, 2, "tiny", 14, red_green_blue=(0, 1, 2), stem_stride=4, upsampler="dysample", width=16
    ),
    "frozen": DepthCropSegSettings(**SEASON, width=16, frozen=True),
}
ALL = pytest.mark.parametrize("name", SETTINGS)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def network_of(settings: Any, seed: int = 0) -> Network:
    torch.manual_seed(seed)
    return DepthSeg(settings) if isinstance(settings, DepthSegSettings) else DepthCropSeg(settings)


def season(settings: Any, rows: int = 28, columns: int = 44, patches: int = 2) -> tuple[Tensor, Tensor, Tensor]:
    random = torch.Generator().manual_seed(1)
    x = torch.randn(patches, settings.periods, settings.bands, rows, columns, generator=random)
    seen = torch.rand(patches, settings.periods, rows, columns, generator=random) > 0.2
    return x * seen[:, :, None], seen, torch.zeros(patches, settings.periods)


def loss_of(network: Network, shown: tuple[Tensor, Tensor, Tensor]) -> Tensor:
    """Of made-up truth and structure."""
    answer, random = network(*shown), torch.Generator().manual_seed(2)
    patches, _, _, rows, columns = shown[0].shape
    truth = torch.randint(0, network.settings.classes, (patches, rows, columns), generator=random)
    if isinstance(answer, Tensor):
        return torch.nn.functional.cross_entropy(answer, truth)
    return prompted_loss(answer, truth, torch.rand(patches, 1, rows, columns, generator=random))


@pytest.mark.parametrize(("size", "count"), [("s", 594_432), ("b", 2_368_512), ("l", 4_206_592)])
def test_parameters_of_the_light_adapter(size, count):
    with torch.device("meta"):
        adapter = ScaleAdapter(SIZES[size].dim)
    assert parameter_count(adapter) == count
    maps = [torch.zeros(1, 32, 5, 7)] * 4
    assert [x.shape for x in ScaleAdapter(32).eval()(maps)] == [x.shape for x in maps]


@pytest.mark.parametrize(("size", "count"), [("s", 22_056_192), ("b", 86_579_712), ("l", 304_367_616)])
def test_the_encoder_has_the_official_shapes(size, count):
    """DINOv2 without its mask token: 12 D^2 + 15 D a block with its LayerScale, and what surrounds the blocks."""
    with torch.device("meta"):
        encoder = Encoder(SIZES[size])
    dim, blocks = SIZES[size].dim, SIZES[size].blocks
    assert count == blocks * (12 * dim**2 + 15 * dim) + (1 + 1 + 37**2) * dim + (3 * 14 * 14 + 1) * dim + 2 * dim
    assert parameter_count(encoder) == count


@ALL
@pytest.mark.parametrize("side", [(28, 44), (37, 30), (13, 64)])
def test_any_size_of_window_is_answered_in_its_own_size(name, side):
    settings = SETTINGS[name]
    network, shown = network_of(settings).eval(), season(settings, *side)
    with torch.inference_mode():
        assert network(*shown).shape == (2, settings.classes, *side)


def test_a_network_with_a_structure_gives_it_while_it_trains():
    settings = SETTINGS["depthseg"]
    logits, structure = network_of(settings).train()(*season(settings, 37, 30))
    assert logits.shape == (2, 5, 37, 30) and structure.shape == (2, 1, 37, 30)
    assert structure.min() >= 0 and structure.std() > 0


def test_512_pixels_become_518():
    assert enlarged(torch.zeros(1, 3, 512, 512), 14).shape[-2:] == (518, 518)
    assert enlarged(torch.zeros(1, 3, 128, 126), 4).shape[-2:] == (448, 448)


@ALL
def test_who_learns(name):
    """After a step, since gates that start at 0 hide what is behind them for the first."""
    settings = SETTINGS[name]
    network, shown = network_of(settings).train(), season(settings, 56, 70)
    optimizer = torch.optim.SGD([p for p in network.parameters() if p.requires_grad], lr=0.1)
    for _ in range(2):
        optimizer.zero_grad()
        loss_of(network, shown).backward()
        optimizer.step()
    frozen = name in ("depthseg", "frozen")
    for key, parameter in network.named_parameters():
        at_rest = "layernorm" in key if not frozen else "encoder." in key
        assert (parameter.grad is None) == at_rest, key
        assert at_rest or parameter.grad.isfinite().all(), key
    parts: dict[str, float] = {}
    for key, parameter in network.named_parameters():
        if parameter.grad is not None:
            part = ".".join(key.split(".")[:2])
            parts[part] = parts.get(part, 0.0) + float(parameter.grad.abs().sum())
    assert all(total > 0 for total in parts.values()), parts


def test_a_frozen_encoder_stays_as_in_inference():
    network = network_of(SETTINGS["depthseg"]).train()
    assert not any(part.training for part in network.encoder.modules())
    before = {key: value.clone() for key, value in network.encoder.state_dict().items()}
    optimizer = torch.optim.SGD([p for p in network.parameters() if p.requires_grad], lr=0.5)
    loss_of(network, season(network.settings)).backward()
    optimizer.step()
    assert all(torch.equal(value, before[key]) for key, value in network.encoder.state_dict().items())
    assert network_of(SETTINGS["depthcropseg"]).train().pyramid.encoder.training


def test_detached_depth_learns_from_its_target_alone():
    for detach in (False, True):
        network = network_of(DepthSegSettings(**SEASON, detach_depth=detach)).train()
        logits, _ = network(*season(network.settings))
        logits.square().sum().backward()
        assert any(p.grad is not None and p.grad.any() for p in network.depth.parameters()) != detach


@ALL
def test_training_twice_gives_the_same_numbers(name):
    found = []
    for _ in range(2):
        network = network_of(SETTINGS[name]).train()
        loss_of(network, season(SETTINGS[name])).backward()
        found.append(torch.cat([p.grad.flatten() for p in network.parameters() if p.grad is not None]))
    assert torch.equal(*found)


@pytest.mark.parametrize("name", ["depthseg", "depthcropseg", "photograph"])
def test_fields_of_two_colours_are_learned(name):
    """Squares that differ in one band: after a few steps most pixels are told apart."""
    settings = SETTINGS[name]
    field = 4 * settings.token
    network, (x, seen, when) = network_of(settings).train(), season(settings, 2 * field, 2 * field)
    truth = torch.tensor([[0, 1], [1, 0]]).repeat_interleave(field, 0).repeat_interleave(field, 1)[None].repeat(2, 1, 1)
    x = 0.3 * x
    x[:, :, 1] += 2.0 * truth[:, None] - 1
    optimizer = torch.optim.AdamW([p for p in network.parameters() if p.requires_grad], lr=5e-3)
    for _ in range(25):
        optimizer.zero_grad()
        answer = network(x, seen, when)
        if isinstance(answer, tuple):
            prompted_loss(answer, truth, truth[:, None].float()).backward()
        else:
            torch.nn.functional.cross_entropy(answer, truth).backward()
        optimizer.step()
    logits = answer
    if isinstance(answer, tuple):
        logits, structure = answer
        assert structure_loss(structure, truth[:, None].float()) < 0.3
    assert (logits.argmax(dim=1) == truth).float().mean() > 0.85


@ALL
def test_half_precision_is_near(name):
    """As training and mapping on a GPU may ask for it."""
    settings = SETTINGS[name]
    network, shown = network_of(settings).eval(), season(settings, 4 * settings.token, 5 * settings.token)
    with torch.inference_mode():
        exact = network(*shown)
        with torch.autocast("cpu", torch.bfloat16):
            half = network(*shown).float()
    assert (half - exact).abs().max() < 0.1 * exact.std() + 0.02
    with torch.autocast("cpu", torch.bfloat16):
        loss = loss_of(network.train(), shown)
    loss.backward()
    assert loss.isfinite() and all(p.grad.isfinite().all() for p in network.parameters() if p.grad is not None)


def test_the_picture_begins_as_three_bands_of_one_period():
    settings = SETTINGS["depthseg"]
    x, _, _ = season(settings)
    picture = SeasonPicture(settings)(x.flatten(1, 2))
    assert torch.equal(picture, x[:, 1, [2, 1, 0]])


def test_a_gap_shows_the_mean_of_the_other_periods():
    x, seen = torch.tensor([3.0, 5.0, 0.0, 0.0]), torch.tensor([True, True, False, False])
    filled = season_of(x.view(1, 4, 1, 1, 1), seen.view(1, 4, 1, 1))
    assert filled.flatten().tolist() == [3, 5, 4, 4]
    assert not season_of(torch.zeros(1, 2, 1, 1, 1), torch.zeros(1, 2, 1, 1, dtype=torch.bool)).any()


@ALL
def test_a_window_shows_and_the_settings_say_so(name):
    """Attention sees the whole window: the same ground is answered otherwise in another window."""
    settings = SETTINGS[name]
    assert not settings.is_seamless and settings.halo % settings.stride == 0 and settings.stride == settings.token
    network = network_of(settings).eval()
    x, seen, when = season(settings, 112, 112, patches=1)
    with torch.inference_mode():
        whole = network(x, seen, when)[..., 28:56, 28:56]
        part = network(x[..., :84, :84], seen[..., :84, :84], when)[..., 28:56, 28:56]
    assert not torch.equal(whole, part)


@ALL
def test_the_first_answer_is_the_class_frequencies(name):
    settings = SETTINGS[name]
    network = network_of(settings).eval()
    start_from_frequencies(network, range(1, settings.classes + 1))
    last = network.decoder.classes if isinstance(network, DepthSeg) else network.head
    torch.nn.init.zeros_(last.weight)
    with torch.inference_mode():
        share = network(*season(settings)).softmax(dim=1)[0, :, 3, 4]
    expected = torch.arange(1.0, settings.classes + 1)
    torch.testing.assert_close(share, expected / expected.sum(), atol=1e-5, rtol=0)


@pytest.mark.parametrize("architecture", ["depthseg", "depthcropseg"])
def test_a_checkpoint_stands_alone(architecture):
    """With the encoder's weights in it, whatever they were filled from; and it maps uint16 of a cube."""
    settings = SETTINGS[architecture]
    card = Card(
        name="small",
        architecture=architecture,
        settings=settings.as_dict(),
        bands=("B02", "B03", "B04", "B08"),
        periods=("one", "two", "three"),
        middles=(100.0, 150.0, 200.0),
        period_index=(0, 1, 2),
        classes=dict(enumerate("abcde")),
        normalisation=Normalisation((1000.0,) * 4, (500.0,) * 4),
        training_identity="",
    )
    torch.manual_seed(9)
    network = build(card).eval()
    assert type(network) is NETWORKS[architecture].network and network.settings == settings
    files = encode(network.state_dict(), card)
    predictor = load_predictor(*decode(*files.values()))
    x_TBYX = np.random.default_rng(1).integers(0, 4000, (3, 4, 30, 41), dtype=np.uint16)
    crop, confidence = predictor.predict(x_TBYX).layers
    assert crop.shape == confidence.shape == (30, 41) and crop.max() < 5
    shown = season(settings, patches=1)
    with torch.inference_mode():
        torch.testing.assert_close(predictor.network(*shown), network(*shown), rtol=1e-5, atol=1e-5)
    lacking = {key: value for key, value in network.state_dict().items() if "cls_token" not in key}
    with pytest.raises(Misfit, match="cls_token"):
        load_predictor(lacking, card)


@pytest.mark.parametrize(
    "wrong",
    [
        {"size": "g"},
        {"token": 0},
        {"token": 15},
        {"red_green_blue": [0, 1]},
        {"red_green_blue": [0, 1, 10]},
        {"best_period": 1},
        {"adapter": False, "residual": True},
        {"prompter": False, "detach_depth": True},
        {"stem_stride": 2},
        {"upsampler": "nearest"},
        {"width": 6},
        {"drop_path": 1.0},
        {"depth": 3},
    ],
)
def test_settings_that_build_nothing_are_refused(wrong):
    kind = DepthCropSegSettings if {"stem_stride", "upsampler", "width", "drop_path"} & set(wrong) else DepthSegSettings
    with pytest.raises(Misfit) as caught:
        kind.of(wrong)
    assert caught.value.remedy


@ALL
def test_settings_survive_a_card(name):
    settings = SETTINGS[name]
    assert type(settings).of(settings.as_dict()) == settings


# Of this code with torch 2.13 and transformers 5.23 on a CPU; a change means that old checkpoints answer differently.
GOLDEN = {
    "depthseg": [-0.033284, 0.139231, -0.002093, -0.23061, 0.089242],
    "depthcropseg": [-0.076872, -0.207864, -0.04729, 0.033711, -0.188981],
    "photograph": [0.221826, -0.323845],
}


@pytest.mark.parametrize("name", GOLDEN)
def test_golden_logits(name):
    settings = SETTINGS[name]
    network, shown = network_of(settings, seed=7), season(settings)
    with torch.inference_mode():
        network.train()(*shown)  # once, so that the running statistics are not those of a start
        found = network.eval()(*shown)[0, :, 10, 20]
    torch.testing.assert_close(found, torch.tensor(GOLDEN[name]), rtol=1e-3, atol=1e-4)
