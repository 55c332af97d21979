"""ViT-Adapter: deformable attention against a plain loop, a start from the plain transformer, any grid of tokens."""

import math

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from models.deformable import POINTS, DeformableAttention, centres
from models.encoder import Encoder
from models.encoder_sizes import SIZES
from models.interaction import ConvolvedFeedForward, as_maps
from models.spatial_prior import SpatialPrior
from models.vit_adapter import VitAdapter

TINY = SIZES["tiny"]
GRIDS = [(4, 6), (2, 3), (1, 2)]
RANDOM = torch.Generator().manual_seed(4)


def bilinear(map_DYX: Tensor, x: float, y: float) -> Tensor:
    """At a place from 0 to 1, cells having their values at their centres; nothing beyond the edge."""
    rows, columns = map_DYX.shape[1:]
    x, y = x * columns - 0.5, y * rows - 0.5
    total = torch.zeros(map_DYX.shape[0])
    for row in (math.floor(y), math.floor(y) + 1):
        for column in (math.floor(x), math.floor(x) + 1):
            if 0 <= row < rows and 0 <= column < columns:
                total += (1 - abs(x - column)) * (1 - abs(y - row)) * map_DYX[:, row, column]
    return total


@pytest.mark.parametrize("share", [1.0, 0.5])
def test_deformable_attention_is_a_weighted_sum_of_points(share):
    torch.manual_seed(0)
    dim, heads = 8, 2
    layer = DeformableAttention(dim, heads, 3, share)
    for parameter in layer.parameters():
        torch.nn.init.normal_(parameter, std=0.7)
    queries, values = torch.randn(2, 5, dim, generator=RANDOM), torch.randn(2, 24 + 6 + 2, dim, generator=RANDOM)
    where = torch.rand(5, 2, generator=RANDOM)
    with torch.no_grad():
        found = layer(queries, where, values, GRIDS)
        inner = layer.value(values)
        assert inner.shape[-1] == dim * share
        maps = [x.unflatten(1, (heads, -1)) for x in as_maps(inner, GRIDS)]
        offsets = layer.offsets(queries).view(2, 5, heads, 3, POINTS, 2)
        weights = layer.weights(queries).view(2, 5, heads, 3 * POINTS).softmax(-1).view(2, 5, heads, 3, POINTS)
        for patch, query in [(0, 0), (1, 3), (1, 4)]:
            heard = []
            for head in range(heads):
                total = torch.zeros(maps[0].shape[2])
                for level, (rows, columns) in enumerate(GRIDS):
                    for point in range(POINTS):
                        shift = offsets[patch, query, head, level, point]
                        x, y = where[query, 0] + shift[0] / columns, where[query, 1] + shift[1] / rows
                        at = bilinear(maps[level][patch, head], float(x), float(y))
                        total += weights[patch, query, head, level, point] * at
                heard.append(total)
            torch.testing.assert_close(found[patch, query], layer.out(torch.cat(heard)), rtol=1e-4, atol=1e-5)


def test_heads_begin_by_looking_in_their_own_directions():
    layer = DeformableAttention(8, 4, 2, 1.0)
    bias = layer.offsets.bias.detach().view(4, 2, POINTS, 2)
    torch.testing.assert_close(bias[:, 1, 2], torch.tensor([[3.0, 0], [0, 3], [-3, 0], [0, -3]]), atol=1e-5, rtol=0)
    assert not layer.offsets.weight.any() and not layer.weights.weight.any()


def test_centres_are_x_before_y_and_row_by_row():
    found = centres([(1, 2), (2, 1)], torch.zeros(1))
    assert found.tolist() == [[0.25, 0.5], [0.75, 0.5], [0.5, 0.25], [0.5, 0.75]]


def test_the_feed_forward_keeps_maps_apart():
    """A change in one map must not reach its neighbours in the row of tokens."""
    torch.manual_seed(0)
    layer = ConvolvedFeedForward(16)
    tokens = torch.randn(1, 32, 16, generator=RANDOM)
    other = tokens.clone()
    other[:, 24:30] += 1.0
    changed = (layer(tokens, GRIDS) != layer(other, GRIDS)).any(dim=2)[0]
    assert not changed[:24].any() and changed[24:30].all() and not changed[30:].any()


@pytest.mark.parametrize("stem_stride", [1, 4])
@pytest.mark.parametrize("grid", [(4, 6), (5, 7), (37, 36)])
def test_the_prior_has_the_tokens_own_grid(stem_stride, grid):
    prior = SpatialPrior(5, 8, stem_stride).eval()
    finest, tokens, grids = prior(torch.zeros(1, 5, 30, 41), grid)
    rows, columns = grid
    assert finest.shape == (1, 8, 4 * rows, 4 * columns)
    assert grids == [(2 * rows, 2 * columns), grid, (-(-rows // 2), -(-columns // 2))]
    assert tokens.shape == (1, sum(a * b for a, b in grids), 8)


def test_a_stem_of_stride_1_sees_single_pixels():
    """With 4 cells a token and 4 pixels a token, pixels go in as they are."""
    torch.manual_seed(0)
    prior = SpatialPrior(2, 8, 1).eval()
    pixels = torch.randn(1, 2, 16, 24, generator=RANDOM)
    expected = prior.projects[0](prior.stem(pixels))
    assert torch.equal(prior(pixels, (4, 6))[0], expected)


def adapter(**also: object) -> VitAdapter:
    torch.manual_seed(0)
    return VitAdapter(TINY, 2, **also)


def test_it_starts_from_the_plain_transformer():
    network = adapter().eval()
    picture, pixels = torch.randn(1, 3, 56, 84, generator=RANDOM), torch.randn(1, 2, 56, 84, generator=RANDOM)
    tokens: list[Tensor] = []
    for block in network.encoder.blocks:
        block.register_forward_hook(lambda _, __, output: tokens.append(output))
    with torch.inference_mode():
        network(picture, pixels)
        plain = Encoder(TINY)
        plain.load_state_dict(network.encoder.state_dict())
        for found, expected in zip(map(plain.backbone.layernorm, tokens), plain(picture), strict=True):
            assert torch.equal(found[:, 1:].transpose(1, 2).reshape(expected.shape), expected)
        for injector in network.injectors:
            injector.gate.fill_(0.5)
        before = tokens[-1]
        network(picture, pixels)
        assert not torch.allclose(tokens[-1], before, atol=1e-3)


@pytest.mark.parametrize("grid", [(4, 6), (5, 7)])
def test_a_pyramid_for_any_grid(grid):
    rows, columns = grid
    picture, pixels = torch.zeros(2, 3, 14 * rows, 14 * columns), torch.zeros(2, 2, 33, 47)
    sides = [tuple(level.shape[-2:]) for level in adapter().eval()(picture, pixels)]
    expected = [(4 * rows, 4 * columns), (2 * rows, 2 * columns), grid, (-(-rows // 2), -(-columns // 2))]
    assert sides == expected


def test_levels_are_the_maps_plus_the_tokens():
    """The pyramid of the paper's last step, by hand."""
    network = adapter().eval()
    finest, seen = torch.randn(1, 32, 16, 24, generator=RANDOM), [torch.randn(1, 32, 4, 6, generator=RANDOM)] * 4
    maps = [torch.randn(1, 32, *grid, generator=RANDOM) for grid in [(8, 12), (4, 6), (2, 3)]]
    with torch.no_grad():
        found = network._pyramid(finest, maps, seen)
        enlarged = [functional.interpolate(seen[0], size=x.shape[-2:], mode="bilinear") for x in (finest, *maps)]
        expected = [finest + network.finest(maps[0]) + enlarged[0], *map(torch.add, maps, enlarged[1:])]
        for norm, one, other in zip(network.norms, found, expected, strict=True):
            torch.testing.assert_close(one, norm(other))


def test_a_dropped_path_keeps_its_mean():
    network = adapter(drop_path=0.25).train()
    extractor = network.extractors[0]
    torch.manual_seed(0)
    kept = extractor._dropped(torch.ones(4000, 1, 1))
    assert kept.unique().tolist() == pytest.approx([0.0, 4 / 3])
    assert float(kept.mean()) == pytest.approx(1.0, abs=0.03)
    assert extractor.eval()._dropped(torch.ones(3, 1, 1)).tolist() == [[[1.0]]] * 3
