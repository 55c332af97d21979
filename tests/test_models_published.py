"""The published shapes of U-TAE, TSViT and VistaFormer, and U-TAE's numbers against a plain computation."""

import pytest
import torch
from small_networks import built, season
from torch import Tensor, nn

from models.errors import Misfit
from models.network import Network, parameter_count
from models.steady import magnified
from models.temporal_attention import TemporalAttention, gather
from models.timecode import day_rows, sinusoids
from models.tsvit import TSViT, TSViTSettings
from models.utae import UTAE, UTAESettings
from models.utae_published import PUBLISHED, from_published
from models.vista import Vista
from models.vista_settings import VistaSettings


@pytest.mark.parametrize(
    ("network", "settings", "count"),
    [
        (UTAE, UTAESettings(**PUBLISHED), 1_087_260),
        (TSViT, TSViTSettings(bands=10, classes=19, crop=24), 1_657_476),
        (TSViT, TSViTSettings(bands=10, classes=19, crop=24, width=64), 435_524),
        (Vista, VistaSettings(bands=10, classes=20, periods=60, mixing="attention"), 1_120_724),
    ],
)
def test_published_parameter_counts(network: type[Network], settings: object, count: int) -> None:
    with torch.device("meta"):
        assert parameter_count(network(settings)) == count


def test_parameters_of_the_temporal_attention() -> None:
    with torch.device("meta"):
        assert parameter_count(UTAE(UTAESettings(**PUBLISHED)).time) == 83_200


def published_names() -> list[str]:
    """Of the public implementation with three steps."""
    both, running = ("weight", "bias"), ("running_mean", "running_var", "num_batches_tracked")
    layers = [f"in_conv.conv.conv.{i}" for i in (0, 1, 3, 4)] + [f"out_conv.conv.conv.{i}" for i in (0, 3)]
    steps = [f"down_blocks.{n}.{part}.conv" for n in range(3) for part in ("down", "conv1", "conv2")]
    layers += [f"{step}.{i}" for step in steps for i in (0, 1)]
    ups = [f"up_blocks.{n}.{part}" for n in range(3) for part in ("skip_conv", "up", "conv1.conv", "conv2.conv")]
    time = ("in_norm", "out_norm", "inconv", "attention_heads.fc1_k", "mlp.0")
    layers += [f"{up}.0" for up in ups] + [f"temporal_encoder.{part}" for part in time]
    norms = [f"{up}.1" for up in ups] + ["temporal_encoder.mlp.1", "out_conv.conv.conv.1", "out_conv.conv.conv.4"]
    names = [f"{layer}.{name}" for layer in layers for name in both]
    return [*names, *(f"{n}.{name}" for n in norms for name in both + running), "temporal_encoder.attention_heads.Q"]


def test_published_names_are_all_of_ours() -> None:
    with torch.device("meta"):
        ours = UTAE(UTAESettings(**PUBLISHED)).state_dict()
    renamed = from_published({name: torch.zeros(2, 2, 1) for name in published_names()})
    assert set(renamed) == set(ours)
    assert len(renamed) == len(published_names())


@pytest.mark.parametrize(
    ("published", "ours"),
    [
        ("in_conv.conv.conv.3.weight", "first.3.weight"),
        ("down_blocks.2.down.conv.0.bias", "down.2.halve.0.bias"),
        ("down_blocks.0.conv2.conv.1.weight", "down.0.two.1.weight"),
        ("up_blocks.1.up.0.weight", "up.1.doubled.0.weight"),
        ("up_blocks.1.skip_conv.1.running_mean", "up.1.skip.1.running_mean"),
        ("up_blocks.0.conv1.conv.0.weight", "up.0.one.0.weight"),
        ("temporal_encoder.mlp.0.bias", "time.outward.0.bias"),
        ("temporal_encoder.attention_heads.Q", "time.query"),
        ("out_conv.conv.conv.4.bias", "head.4.bias"),
    ],
)
def test_where_a_published_weight_goes(published: str, ours: str) -> None:
    assert list(from_published({published: torch.zeros(1)})) == [ours]


def test_linear_weights_become_convolutions() -> None:
    state = {"temporal_encoder.inconv.weight": torch.zeros(8, 4, 1), "temporal_encoder.mlp.0.weight": torch.zeros(4, 8)}
    assert [tuple(value.shape) for value in from_published(state).values()] == [(8, 4, 1, 1), (4, 8, 1, 1)]
    with pytest.raises(Misfit):
        from_published({"backbone.weight": torch.zeros(1)})


def test_temporal_attention_is_what_the_papers_say() -> None:
    """One position, in plain steps: norm, widen, date, score, gather, narrow, norm."""
    torch.manual_seed(3)
    heads, model, width = 2, 8, 4
    layer = TemporalAttention(width, heads, model, key_width=4, period=1000.0, dropout=0.2).eval()
    for parameter in layer.parameters():
        nn.init.normal_(parameter)
    x, when = torch.randn(1, 5, width, 2, 3), torch.tensor([[10.0, 40.0, 90.0, 120.0, 200.0]])
    seen = torch.ones(1, 5, 2, 3, dtype=torch.bool)
    seen[0, 1:3, 1, 2] = False
    found, attention = layer(x, seen, when)
    expected, weights = _one_position(layer, x[0, :, :, 1, 2], seen[0, :, 1, 2], when[0])
    torch.testing.assert_close(found[0, :, 1, 2], expected, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(attention[0, :, :, 1, 2], weights, rtol=1e-4, atol=1e-6)
    assert attention[0, 1:3, :, 1, 2].abs().sum() == 0


def _one_position(layer: TemporalAttention, x_TC: Tensor, seen_T: Tensor, when_T: Tensor) -> tuple[Tensor, Tensor]:
    heads, model = layer.heads, layer.inward.out_channels
    groups = x_TC.unflatten(1, (heads, -1)).transpose(0, 1).flatten(1)
    normed = (groups - groups.mean(1, keepdim=True)) / (groups.var(1, correction=0, keepdim=True) + 1e-5).sqrt()
    normed_TC = normed.unflatten(1, (len(x_TC), -1)).transpose(0, 1).flatten(1)
    normed_TC = normed_TC * layer.in_norm.weight + layer.in_norm.bias
    index = torch.arange(model // heads)
    angles = when_T[:, None] / 1000.0 ** (2 * (index // 2) / (model // heads))
    code = torch.where(index % 2 == 0, angles.sin(), angles.cos())
    values = normed_TC @ layer.inward.weight[:, :, 0, 0].T + layer.inward.bias + code.repeat(1, heads)
    keys = (values @ layer.keys.weight.T + layer.keys.bias).unflatten(1, (heads, -1))
    scores = (keys * layer.query).sum(-1) / 2
    scores[~seen_T] = -1000
    weights = scores.softmax(0)
    gathered = (weights[:, :, None] * values.unflatten(1, (heads, -1))).sum(0).flatten()
    narrow = layer.outward[0].weight[:, :, 0, 0] @ gathered + layer.outward[0].bias
    batch = layer.outward[1]
    narrow = ((narrow - batch.running_mean) / (batch.running_var + 1e-5).sqrt() * batch.weight + batch.bias).relu()
    return nn.functional.group_norm(narrow[None], heads, layer.out_norm.weight, layer.out_norm.bias)[0], weights


def test_heads_gather_their_own_channels_without_renormalising() -> None:
    random = torch.Generator().manual_seed(1)
    weights, x = torch.rand(2, 3, 2, 4, 4, generator=random), torch.randn(2, 3, 6, 4, 4, generator=random)
    found = gather(weights, x)
    torch.testing.assert_close(found[:, :3], (weights[:, :, :1] * x[:, :, :3]).sum(1))
    torch.testing.assert_close(found[:, 3:], (weights[:, :, 1:] * x[:, :, 3:]).sum(1))


def test_frames_that_nobody_saw_count_as_padding() -> None:
    """What stands in them, and when they would have been, changes nothing; a pixel seen makes a frame count."""
    network = built("utae", **{key: PUBLISHED[key] for key in ("norm", "padding", "mask", "published_head")})
    x, seen, when = season(network.settings, 16, 16)
    seen[:] = True
    seen[:, 3:] = False
    later = when.clone()
    later[:, 3:] += 50
    with torch.inference_mode():
        answer = network(x * seen[:, :, None], seen, when)
        assert torch.equal(network(x, seen, later), answer)
        seen[:, 3, 0, 0] = True
        assert not torch.equal(network(x * seen[:, :, None], seen, when), answer)
    assert answer.min() >= 0


def test_reflection_wants_windows_of_two_cells() -> None:
    network = built("utae", padding="reflect")
    with pytest.raises(Misfit):
        network(*season(network.settings, 4, 16))


def test_waves_of_a_date() -> None:
    """Pairs of sine and cosine; the first has a wavelength of 2 pi days, the second is slower by the root of 1000."""
    found = sinusoids(torch.tensor([[0.0, 100.0]]), 4, 1000.0)
    angles = torch.tensor([100.0, 100.0 / 1000**0.5])
    expected = torch.stack([angles.sin(), angles.cos()], dim=1).flatten()
    torch.testing.assert_close(found[0], torch.stack([torch.tensor([0.0, 1.0, 0.0, 1.0]), expected]))
    assert day_rows(torch.tensor([[-1.0, 0.4, 365.6, 400.0]])).tolist() == [[365, 0, 0, 34]]


def test_magnified_attention_keeps_its_sum() -> None:
    weights = torch.rand(1, 3, 4, 4, generator=torch.Generator().manual_seed(1))
    weights = weights / weights.sum(1, keepdim=True)
    torch.testing.assert_close(magnified(weights, 4).sum(1), torch.ones(1, 16, 16))


def test_class_tokens_answer_for_their_class() -> None:
    """With the tokens of two classes exchanged, so are their logits."""
    network = built("tsvit")
    given = season(network.settings, 8, 8)
    with torch.inference_mode():
        before = network(*given)
        network.classes[[0, 2]] = network.classes[[2, 0]]
        after = network(*given)
    torch.testing.assert_close(after[:, [2, 1, 0, 3]], before, rtol=1e-4, atol=1e-5)


def test_patches_go_back_where_they_came_from() -> None:
    """Without looking around, a pixel's logits follow its own patch."""
    network = built("tsvit", patch=4)
    x, seen, when = season(network.settings, 8, 16)
    other = x.clone()
    other[..., 4:8, 8:12] += 3
    for layer in network.over_space.layers:
        nn.init.zeros_(layer.attention.outward[0].weight)
    with torch.inference_mode():
        changed = (network(x, seen, when) != network(other, seen, when)).any(dim=1)[0]
    assert changed[4:8, 8:12].all() and changed.sum() == 16
