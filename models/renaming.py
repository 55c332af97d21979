"""Weights under the names of their makers, renamed and given to a part of ours; whatever does not fit is refused."""

import re
from collections.abc import Mapping

from torch import Tensor, nn

from models.errors import Misfit

State = dict[str, Tensor]

Rules = tuple[tuple[str, str | None], ...]
"""A pattern of a whole name, and our name; None for what has no place in a network that is used, and is left out."""


def renamed(name: str, rules: Rules, whole: str) -> str | None:
    """Our name by the first rule that fits; `whole` is the name as the file has it."""
    for pattern, ours in rules:
        if found := re.fullmatch(pattern, name):
            return None if ours is None else found.expand(ours)
    raise Misfit(f"weights {whole}", "the network has no such part.", "Give the file as its makers published it.")


def fill(module: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Every weight has its place, and every place its weight."""
    needed = {name: tuple(value.shape) for name, value in module.state_dict().items()}
    given = {name: tuple(value.shape) for name, value in state.items()}
    remedy = "Give the whole file, of the size that the settings name."
    if lacking := sorted(set(needed) - set(given)):
        raise Misfit(f"{len(given)} weights", f"{len(lacking)} are missing: {_listed(lacking)}.", remedy)
    if foreign := sorted(set(given) - set(needed)):
        raise Misfit(f"{len(given)} weights", f"{len(foreign)} have no place: {_listed(foreign)}.", remedy)
    if unlike := sorted(name for name in needed if needed[name] != given[name]):
        shapes = f"{unlike[0]} is {given[unlike[0]]} and must be {needed[unlike[0]]}"
        raise Misfit(f"{len(given)} weights", f"{len(unlike)} have another shape: {shapes}.", remedy)
    module.load_state_dict(dict(state), strict=True)


def _listed(names: list[str]) -> str:
    return ", ".join(names[:3]) + (" .." if len(names) > 3 else "")
