"""How far the seamless networks see; that the size and place of a window and the threads do not show in answers."""

from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from small_networks import SMALL, as_trained, built, season
from torch import Tensor, nn

from models import flow, steady
from models.architectures import NETWORKS
from models.flow import Flow, Whole, room_for
from models.network import Network, NetworkSettings
from models.steady import Convolution, Doubling, Gelu, Layer, magnified, sigmoid, softmax
from models.swift import PIXELS_AT_ONCE, Swift, SwiftSettings
from models.utae import UTAESettings
from models.vista_settings import VistaSettings

SEAMLESS: dict[str, tuple[str, NetworkSettings]] = {
    "utae": ("utae", SMALL["utae"]),
    "utae that reflects": ("utae", replace(SMALL["utae"], padding="reflect", aggregation="att_mean")),
    "utae of means": ("utae", replace(SMALL["utae"], aggregation="mean", published_head=True)),
    "tsvit": ("tsvit", SMALL["tsvit"]),
    "vista": ("vista", SMALL["vista"]),
    "vista of squares": ("vista", replace(SMALL["vista"], mixing="attention")),
    "swift": ("swift", SMALL["swift"]),
    "presto": ("presto", SMALL["presto"]),
}
CONVOLVE = [case for case in SEAMLESS if case not in ("tsvit", "vista of squares", "presto")]


@pytest.fixture(autouse=True)
def threads_as_before() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def test_reach_of_the_usual_shapes() -> None:
    usual = [UTAESettings(), VistaSettings(), VistaSettings(mixing="attention"), SwiftSettings()]
    assert [(s.stride, s.receptive_radius, s.halo) for s in usual] == [
        (8, 67, 72),
        (8, 67, 72),
        (32, 0, 0),
        (4, 25, 28),
    ]


@pytest.mark.parametrize("case", SEAMLESS)
@pytest.mark.parametrize("threads", [1, 2])
def test_every_window_answers_the_same_bits(case: str, threads: int) -> None:
    """Small windows matter: PyTorch switches kernels on a CPU below a certain size, and for a single thread."""
    name, settings = SEAMLESS[case]
    network, edge, step = as_trained(_network(name, settings)), settings.halo, settings.stride
    assert settings.is_seamless
    side = 2 * edge + 4 * step
    x, seen, when = season(settings, side, side)
    with torch.inference_mode():
        whole = network(x, seen, when)
        torch.set_num_threads(threads)
        for top, left, height, width in [(0, 0, 1, 1), (1, 2, 3, 2), (3, 0, 1, 4)]:
            rows = slice(top * step, (top + height) * step + 2 * edge)
            columns = slice(left * step, (left + width) * step + 2 * edge)
            part = network(x[..., rows, columns], seen[..., rows, columns], when)
            assert torch.equal(_core(part, edge), _core(whole[..., rows, columns], edge)), (top, left)


@pytest.mark.parametrize("case", ["group", "frame"])
def test_what_is_not_seamless_says_so_rightly(case: str) -> None:
    """As published, U-TAE's encoder, and what counts as padded, depend on the whole window."""
    settings = replace(SMALL["utae"], **({"norm": case} if case == "group" else {"mask": case}))
    assert not settings.is_seamless
    network, edge, step = as_trained(_network("utae", settings)), settings.halo, settings.stride
    x, seen, when = season(settings, 2 * edge + 4 * step, 2 * edge + 4 * step)
    seen[:, 0] = False
    seen[:, 0, -1] = True  # seen in the window, but not in its part
    with torch.inference_mode():
        part = network(x[..., : 2 * edge + step, :], seen[..., : 2 * edge + step, :], when)
        whole = network(x, seen, when)[..., : 2 * edge + step, :]
    assert (_core(part, edge) - _core(whole, edge)).abs().max() > 1e-4


@pytest.mark.parametrize("case", CONVOLVE)
def test_radius_is_reached_and_never_passed(case: str) -> None:
    """With positive weights little cancels, and in double precision what is left of it shows."""
    name, settings = SEAMLESS[case]
    network = _positive(_network(name, settings))
    radius = settings.receptive_radius  # type: ignore[attr-defined]
    side = 2 * settings.halo + 2 * settings.stride
    x, seen, when = season(settings, 4 * settings.stride, side)
    x, seen = x.double().abs(), torch.ones_like(seen)
    farthest = 0
    with torch.inference_mode():
        before = network(x, seen, when.double())
        for column in range(settings.halo, settings.halo + settings.stride):
            bright = x.clone()
            bright[..., column] += 1000
            changed = (network(bright, seen, when.double()) != before).any(dim=2).any(dim=1).any(dim=0).nonzero()
            farthest = max(farthest, int((changed - column).abs().max()))
    assert farthest == radius


@pytest.mark.parametrize("widths", [(24, 48, 96), (8, 16), (4, 4, 8, 8)])
@pytest.mark.parametrize("margin", [0, 1, 8, 11, 24, 60])
def test_what_only_a_margin_needs_is_not_missed(widths: tuple[int, ...], margin: int) -> None:
    """Also of margins that are less than the network sees, and more."""
    settings = SwiftSettings(bands=3, periods=2, widths=widths)
    network, stride = as_trained(Swift(settings)), settings.stride
    maps = torch.randn(1, widths[0], 144, 136, generator=torch.Generator().manual_seed(1))
    maps, cut = maps.contiguous(memory_format=torch.channels_last), margin // stride * stride
    with torch.inference_mode():
        whole, found = network.around(Whole(maps)).x, network.around(Whole(maps), margin).x
    assert torch.equal(found, whole[..., cut : 144 - cut, cut : 136 - cut])


@settings(max_examples=40)
@given(data=st.data())
@pytest.mark.parametrize("widths", [(24, 48, 96), (8, 16), (4, 4, 8, 8)])
def test_what_flows_is_what_is_whole(widths: tuple[int, ...], data: st.DataObject) -> None:
    """In slabs of any heights, with or without rows that are free, which come one after the other."""
    network = as_trained(Swift(SwiftSettings(bands=3, periods=2, widths=widths)))
    stride, margin = network.settings.stride, data.draw(st.sampled_from([0, 1, 8, 11, 24]), "margin")
    height = 2 * margin // stride * stride + stride * data.draw(st.integers(1, 12), "strides")
    maps = torch.randn(1, widths[0], height, 64, generator=torch.Generator().manual_seed(1))
    maps = maps.contiguous(memory_format=torch.channels_last)
    ends = sorted(data.draw(st.sets(st.integers(1, height - 1), max_size=6), "ends"))
    free = data.draw(st.sampled_from([0, 1, Flow.most_kept(stride)]), "free")
    slabs = (_below(free, slab) for slab in torch.tensor_split(maps, ends, dim=2))
    with pytest.MonkeyPatch.context() as patch, torch.inference_mode():
        for module in (flow, steady):
            patch.setattr(module, "room_for", _room_of_nothing)
        whole = network.around(Whole(maps), margin).x
        parts = [*network.around(Flow.of(slabs, height, stride, free), margin)]
    assert torch.equal(torch.cat(parts, dim=2), whole)


def _below(rows: int, slab: torch.Tensor) -> torch.Tensor:
    found = _room_of_nothing(slab, rows)
    found[:, :, rows:] = slab
    return found


def _room_of_nothing(like: torch.Tensor, above: int) -> torch.Tensor:
    """Whoever looks at a row that nobody has filled shows it."""
    return room_for(like, above).fill_(torch.nan)


@pytest.mark.parametrize("threads", [1, 2])
def test_a_pixel_has_the_same_bits_in_every_place_of_a_piece(threads: int) -> None:
    """Of the usual shape; a row is moved along the pieces, and seen in windows of other widths."""
    network = as_trained(Swift(SwiftSettings(bands=10, periods=6)))
    x, seen, when = (each[0] for each in season(network.settings, 40, 500))
    torch.set_num_threads(threads)

    def maps(rows: slice, columns: slice) -> Tensor:
        part, known = x[..., rows, columns], seen[..., rows, columns]
        return network.each_pixel(part.flatten(-2), known.flatten(-2), when).unflatten(0, part.shape[-2:])

    with torch.inference_mode():
        whole = maps(slice(None), slice(None))
        assert PIXELS_AT_ONCE * 2 < 40 * 500
        for rows, columns in [(slice(3, 40), slice(None)), (slice(7, 31), slice(1, 498)), (slice(9, 10), slice(5, 6))]:
            assert torch.equal(maps(rows, columns), whole[rows, columns])


def test_fixed_moments_are_those_that_were_learned() -> None:
    """Reckoned in another order, with the norm folded in."""
    torch.manual_seed(1)
    network = as_trained(Swift(SwiftSettings(bands=3, periods=4)))
    x, seen, when = season(network.settings, 5, 7)
    x, seen = (x * seen[:, :, None]).flatten(-2), seen.flatten(-2)
    with torch.inference_mode():
        learned = network.moments(x, seen, when)
        for found, expected in zip(network.moments.of(when[0])(x[0], seen[0]), learned, strict=True):
            torch.testing.assert_close(found, expected[0], rtol=1e-4, atol=1e-5)
        maps = network.each_pixel(x[0], seen[0], when[0])
        torch.testing.assert_close(maps, network._learning(x, seen, when)[0], rtol=1e-4, atol=1e-4)


def test_squares_do_not_see_each_other() -> None:
    network = built("tsvit")
    x, seen, when = season(network.settings, 16, 16)
    other = x.clone()
    other[..., :8, :8] += 1
    with torch.inference_mode():
        changed = (network(x, seen, when) != network(other, seen, when)).any(dim=1)[0]
    assert changed[:8, :8].any() and not changed[8:].any() and not changed[:, 8:].any()


@pytest.mark.parametrize("inputs", [3, 8])
def test_doubling_is_the_transposed_convolution(inputs: int) -> None:
    torch.manual_seed(0)
    layer, x = Doubling(inputs, 5), torch.randn(2, inputs, 7, 9)
    torch.testing.assert_close(layer(x), nn.ConvTranspose2d.forward(layer, x), rtol=1e-5, atol=1e-6)


def test_a_folded_norm_says_the_same() -> None:
    torch.manual_seed(0)
    layer, x = Layer(3, 4, 3, last=True), torch.randn(2, 3, 8, 8)
    layer(x)
    layer.eval()
    torch.testing.assert_close(layer(x), layer.norm(layer.convolution(x)), rtol=1e-5, atol=1e-6)


def test_steady_functions_are_those_of_torch() -> None:
    x = torch.randn(2, 5, 6, 7, generator=torch.Generator().manual_seed(1)) * 4
    torch.testing.assert_close(sigmoid(x), x.sigmoid())
    torch.testing.assert_close(Gelu()(x), nn.functional.gelu(x), rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(softmax(x, dim=1), x.softmax(dim=1))
    torch.testing.assert_close(magnified(x, 2), nn.functional.interpolate(x, scale_factor=2, mode="bilinear"))


@pytest.mark.parametrize("function", [sigmoid, Gelu(), torch.exp, torch.tanh])
def test_steady_functions_round_alike_anywhere(function: Callable[[Tensor], Tensor]) -> None:
    x = 3 * torch.randn(70_001, generator=torch.Generator().manual_seed(1))
    whole = function(x)
    for threads in (1, 2, 3):
        torch.set_num_threads(threads)
        for first, last in [(0, 33), (3, 50), (5, 40_022), (1, 70_000)]:
            assert torch.equal(function(x[first:last].clone()), whole[first:last])


@pytest.mark.parametrize("kernel", [1, 3])
def test_a_small_single_map_is_convolved_as_a_large_one(kernel: int) -> None:
    torch.manual_seed(0)
    layer, x = Convolution(40, 24, kernel).eval(), torch.randn(1, 40, 64, 64)
    x = x.contiguous(memory_format=torch.channels_last)
    with torch.inference_mode():
        assert torch.equal(_core(layer(x[..., 20:36, 20:36]), 2), _core(layer(x)[..., 20:36, 20:36], 2))


def _network(name: str, settings: NetworkSettings) -> Network:
    torch.manual_seed(7)
    network: Network = NETWORKS[name].network(settings)
    return network.eval()


def _positive(network: Network) -> Network:
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.abs_().add_(0.01)
    return network.double()


def _core(x: Tensor, edge: int) -> Tensor:
    return x[..., edge : x.shape[-2] - edge, edge : x.shape[-1] - edge]


def test_what_flows_by_wide_has_the_bits_of_narrow_windows() -> None:
    """Of the usual widths and as wide as maps are made: kernels are chosen by shape."""
    settings = SwiftSettings(bands=10, periods=4)
    network, halo = as_trained(Swift(settings)), settings.halo
    height, width = 3 * halo + 100, settings.flow + 2 * halo
    x, seen, when = season(network.settings, height, width)
    with torch.inference_mode():
        maps = network.each_pixel(x[0].flatten(-2), seen[0].flatten(-2), when[0]).unflatten(0, (height, width))
        maps = maps.permute(2, 0, 1)[None]
        slabs = iter(torch.split(maps, 64, dim=2))
        wide = torch.cat([*network.around(Flow.of(slabs, height, settings.stride), halo)], dim=2)
        for left in (0, 256, 1000, width - 2 * halo - 300):
            columns = slice(left // 4 * 4, left // 4 * 4 + 300 + 2 * halo)
            narrow = network.around(Whole(maps[..., columns].contiguous(memory_format=torch.channels_last)), halo).x
            assert torch.equal(narrow, wide[..., columns.start : columns.start + narrow.shape[-1]])
