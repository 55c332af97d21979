"""What holds for every architecture: its answer's shape, what reaches it and what must not, and that it comes back."""

from collections.abc import Iterator
from dataclasses import asdict

import numpy as np
import pytest
import torch
from small_networks import SMALL, built, season

from catalogs.bands import BANDS
from models.architectures import NETWORKS
from models.card import Card
from models.network import Network, parameter_count, start_from_frequencies
from models.normalisation import Normalisation
from models.predictor import load_predictor

ARCHITECTURES = list(SMALL)
AWARE_OF_CLOUDS = [name for name in SMALL if name != "unet"]
AWARE_OF_DATES = ["utae", "tsvit", "swift", "presto"]


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def test_every_architecture_is_tested() -> None:
    assert set(SMALL) <= set(NETWORKS)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_shape_and_gradient(name: str) -> None:
    """Oblong windows, two patches; every parameter learns."""
    network = built(name).train()
    logits = network(*season(network.settings, 16, 24, patches=2))
    assert logits.shape == (2, 4, 16, 24)
    logits.square().sum().backward()
    idle = [key for key, parameter in network.named_parameters() if parameter.grad is None]
    still = [key for key, parameter in network.named_parameters() if not parameter.grad.abs().sum()]
    assert not idle and not still


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_patches_of_a_batch_do_not_meet(name: str) -> None:
    network = built(name)
    x, seen, when = season(network.settings, 16, 16, patches=3)
    when = when + torch.tensor([[0.0], [10.0], [20.0]])
    with torch.inference_mode():
        together = network(x, seen, when)
        alone = torch.cat([network(x[i : i + 1], seen[i : i + 1], when[i : i + 1]) for i in range(3)])
    torch.testing.assert_close(alone, together, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_answers_twice_the_same(name: str) -> None:
    network = built(name)
    given = season(network.settings, 16, 16)
    with torch.inference_mode():
        assert torch.equal(network(*given), network(*given))


@pytest.mark.parametrize("way", ["weights", "autocast"])
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_bf16_answers_about_the_same(name: str, way: str) -> None:
    network = built(name)
    x, seen, when = season(network.settings, 16, 16)
    with torch.inference_mode():
        exact = network(x, seen, when)
        if way == "weights":
            rough = network.bfloat16()(x.bfloat16(), seen, when)
        else:
            with torch.autocast("cpu", torch.bfloat16):
                rough = network(x, seen, when)
    assert (rough.float() - exact).abs().mean() < 0.1 * exact.std()


@pytest.mark.parametrize("name", AWARE_OF_CLOUDS)
def test_what_was_not_seen_says_nothing(name: str) -> None:
    network = built(name)
    x, seen, when = season(network.settings, 16, 24)
    noise = 100 * torch.randn(x.shape, generator=torch.Generator().manual_seed(3))
    with torch.inference_mode():
        assert torch.equal(network(torch.where(seen[:, :, None], x, noise), seen, when), network(x, seen, when))


@pytest.mark.parametrize("name", AWARE_OF_CLOUDS)
def test_seen_is_looked_at(name: str) -> None:
    """A value of 0 that was seen is the mean; one that was not seen is nothing."""
    network = built(name)
    x, seen, when = season(network.settings, 16, 16)
    with torch.inference_mode():
        assert not torch.equal(network(x, torch.ones_like(seen), when), network(x, seen, when))


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_ground_that_nobody_saw_gets_a_finite_answer(name: str) -> None:
    network = built(name)
    x, seen, when = season(network.settings, 16, 16, patches=2)
    seen[0], seen[1, :, :8] = False, False
    x = x * seen[:, :, None]
    with torch.inference_mode():
        assert network(x, seen, when).isfinite().all()
    logits = network.train()(x, seen, when)
    logits.sum().backward()
    assert all(parameter.grad.isfinite().all() for parameter in network.parameters() if parameter.grad is not None)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_dates_are_looked_at_where_they_should_be(name: str) -> None:
    network = built(name)
    x, seen, when = season(network.settings, 16, 16)
    with torch.inference_mode():
        differs = not torch.equal(network(x, seen, when + 20), network(x, seen, when))
    assert differs == (name in AWARE_OF_DATES)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_settings_and_weights_come_back(name: str) -> None:
    network = built(name)
    architecture = NETWORKS[name]
    again: Network = architecture.network(architecture.settings.of(network.settings.as_dict())).eval()
    again.load_state_dict({key: value.clone() for key, value in network.state_dict().items()})
    given = season(network.settings, 16, 16)
    with torch.inference_mode():
        assert torch.equal(again(*given), network(*given))


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_frequencies_raise_their_classes(name: str) -> None:
    """Twice as large a bias of one class raises its logits alone."""
    network = built(name)
    given = season(network.settings, 16, 16)
    with torch.inference_mode():
        start_from_frequencies(network, [1, 1, 1, 1])
        before = network(*given)
        start_from_frequencies(network, [4, 1, 1, 1])
        risen = network(*given) - before
    torch.testing.assert_close(risen[:, 0] - risen[:, 1], torch.full((1, 16, 16), np.log(4.0)), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_windows_of_any_size_go_through_the_predictor(name: str) -> None:
    """Filled up to the stride, below and to the right."""
    network, periods = built(name), ("one", "two", "three", "four", "five")
    bands = network.settings.bands
    card = Card(
        name="small",
        architecture=name,
        settings=network.settings.as_dict(),
        bands=BANDS[:bands],
        periods=periods,
        middles=(100.0, 140.0, 180.0, 220.0, 260.0),
        period_index=(0, 1, 2, 3, 4),
        classes={i: f"class {i}" for i in range(4)},
        normalisation=Normalisation((1000.0,) * bands, (500.0,) * bands),
        training_identity="none",
    )
    predictor = load_predictor(network.state_dict(), Card(**asdict(card) | {"normalisation": card.normalisation}))
    x = np.random.default_rng(1).integers(1, 3000, (5, bands, 13, 21)).astype(np.uint16)
    x[:, :, :2, :3] = 0
    crop, confidence = predictor.predict(x).layers
    assert crop.shape == confidence.shape == (13, 21)
    assert (crop[:2, :3] == 255).all() and (crop[2:] < 4).all()
    again = predictor.predict(x).crop
    assert np.array_equal(again, crop)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_golden_logits(name: str) -> None:
    network = built(name)
    bands = network.settings.bands
    x = torch.linspace(-1, 1, 5 * bands * 16 * 16).reshape(1, 5, bands, 16, 16)
    seen = torch.ones(1, 5, 16, 16, dtype=torch.bool)
    seen[0, 1, :, 5:9] = False
    when = torch.tensor([[100.0, 140.0, 180.0, 220.0, 260.0]])
    with torch.inference_mode():
        found = network(x * seen[:, :, None], seen, when)[0, :, 7, 7]
    torch.testing.assert_close(found, torch.tensor(GOLDEN[name]), rtol=1e-4, atol=1e-4)


# Of this code with torch 2.13 on a CPU; a change means that old checkpoints answer differently.
GOLDEN = {
    "unet": [0.165522, 0.068334, -0.239535, -0.046810],
    "utae": [-0.331920, 0.232030, 0.140821, 0.131171],
    "tsvit": [-0.719289, -0.386442, -0.387323, -0.227877],
    "vista": [0.085828, 0.092088, -0.121549, -0.172407],
    "swift": [0.712574, 2.117922, -0.166714, 0.546355],
    "presto": [1.007973, 2.178565, 0.211300, 1.016001],
}


@pytest.mark.parametrize(
    ("name", "count"), [("swift", 435_920), ("presto", 400_587), ("vista", 700_683), ("utae", 1_084_619)]
)
def test_parameter_count_of_the_defaults(name: str, count: int) -> None:
    architecture = NETWORKS[name]
    with torch.device("meta"):
        assert parameter_count(architecture.network(architecture.settings(periods=12))) == count
