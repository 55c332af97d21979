"""A window cut into squares that are looked at one by one, so that what lies in one says nothing about another."""

from collections.abc import Callable

import torch
from torch import Tensor

ON_A_GPU = 32  # squares at once; on a CPU one, because there small work is the fastest

Answer = Callable[[Tensor, Tensor, Tensor], Tensor]
"""(B, T, C, Y, X), (B, T, Y, X) and (B, T) to (B, K, Y, X)."""


def answered_by_squares(answer: Answer, x_BTCYX: Tensor, seen_BTYX: Tensor, when_BT: Tensor, side: int) -> Tensor:
    """Always as many squares at once, so that a square's answer is the same bits in every window.

    In training all at once: nobody compares windows then, and norms want many.
    """
    squares, seen = cut(x_BTCYX, side), cut(seen_BTYX, side)
    when = when_BT.repeat_interleave(len(squares) // len(x_BTCYX), dim=0)
    if torch.is_grad_enabled():
        answers = answer(squares, seen, when)
    else:
        at_once = 1 if x_BTCYX.is_cpu else ON_A_GPU
        groups = zip(*(torch.split(part, at_once) for part in (squares, seen, when)), strict=True)
        answers = torch.cat([_filled_up(answer, at_once, *group) for group in groups])
    return joined(answers, x_BTCYX.shape[-2] // side, x_BTCYX.shape[-1] // side)


def _filled_up(answer: Answer, count: int, *parts: Tensor) -> Tensor:
    """The last squares of a window get empty company."""
    given = len(parts[0])
    filled = [torch.cat([part, part.new_zeros(count - given, *part.shape[1:])]) for part in parts]
    return answer(*filled)[:given]


def cut(x: Tensor, side: int) -> Tensor:
    """(B, .., Y, X) to (B x squares, .., side, side), row by row."""
    rows, columns = x.shape[-2] // side, x.shape[-1] // side
    squares = x.reshape(*x.shape[:-2], rows, side, columns, side).movedim((-4, -2), (1, 2))
    return squares.flatten(0, 2).contiguous()


def joined(squares: Tensor, rows: int, columns: int) -> Tensor:
    """The inverse of `cut`."""
    parts = squares.reshape(-1, rows, columns, *squares.shape[1:])
    return parts.movedim((1, 2), (-4, -2)).flatten(-4, -3).flatten(-2, -1)
