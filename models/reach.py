"""How far a network sees: walking from the pixels of its answer back to the pixels that these were made of."""

from collections.abc import Callable

Span = tuple[int, int]
"""The first and the last pixel of a row, in the resolution that is meant."""


def before_convolution(span: Span, kernel: int, stride: int = 1) -> Span:
    """As `steady.Convolution` pads: an odd kernel lies around its pixel, and 4x4 of stride 2 around its two pixels."""
    first = span[0] * stride - (kernel - 1) // 2
    return first, span[1] * stride - (kernel - 1) // 2 + kernel - 1


def before_doubling(span: Span, kernel: int = 4) -> Span:
    """Of a transposed convolution of stride 2, 4x4 or 2x2."""
    reach = kernel // 4
    return (span[0] - reach) // 2, (span[1] + reach) // 2


def before_magnifying(span: Span, factor: int) -> Span:
    """Of bilinear interpolation: the pixels whose centres lie around."""
    if factor == 1:
        return span
    return (2 * span[0] + 1 - factor) // (2 * factor), (2 * span[1] + 1 - factor) // (2 * factor) + 1


def before_halving(span: Span, times: int = 1) -> Span:
    """Of what is pooled, or cut, in squares of two."""
    return span[0] << times, ((span[1] + 1) << times) - 1


def union(*spans: Span) -> Span:
    return min(span[0] for span in spans), max(span[1] for span in spans)


def radius_of(seen_by: Callable[[Span], Span], stride: int) -> int:
    """The farthest input pixel of any output pixel; all differ within a stride."""
    spans = [(pixel, seen_by((pixel, pixel))) for pixel in range(stride)]
    return max(max(pixel - first, last - pixel) for pixel, (first, last) in spans)


def rounded_up(radius: int, stride: int) -> int:
    return -(-radius // stride) * stride
