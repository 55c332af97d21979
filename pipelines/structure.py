"""The structure that a network learns beside its classes: a map of each patch, made while the patch is prepared."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from catalogs.elevation import Square, read_elevation
from catalogs.patch_store import read_index
from catalogs.root import Root
from models.depth_teacher import DepthTeacher, natural_colours
from models.normalisation import NO_DATA
from models.structure_targets import TARGETS
from pipelines.patch_reading import STORE
from pipelines.pretrained import WeightsFile, make_teacher
from pipelines.recipe import Recipe

# Axis legend: B patch, T period, C band, Y row, X column.

Maps = NDArray[np.float32]

Targets = Callable[[Sequence[int], NDArray[np.uint16]], Maps]
"""Numbers of patches, and their stored counts (B, T, C, Y, X), to maps (B, Y, X) with NaN where nothing is known."""


def make_targets(recipe: Recipe, device: torch.device) -> Targets | None:
    """What a recipe's network learns; None if it learns classes alone."""
    structure = recipe.structure
    if structure is None:
        return None
    if structure.target in TARGETS and TARGETS[structure.target].needs == "season":
        return OfSeason(structure.target)
    if structure.target in TARGETS:
        squares = [squares_of(root) for root in (recipe.root, *recipe.also)]
        return OfElevation(structure.target, structure.elevation, squares)
    assert structure.teacher is not None
    return taught(structure.teacher, recipe.card.settings, device)


@dataclass(frozen=True)
class OfSeason:
    """Made of the patches themselves."""

    target: str

    def __call__(self, members: Sequence[int], pictures_BTCYX: NDArray[np.uint16]) -> Maps:
        return np.stack([TARGETS[self.target].make(picture) for picture in pictures_BTCYX])


@dataclass(frozen=True)
class OfElevation:
    """Made of what a file says of the ground under the patches; it is looked at anew each time, which takes little."""

    target: str
    path: str
    squares: Sequence[Sequence[Square]]
    """Of the patches of each root."""

    def __call__(self, members: Sequence[int], pictures_BTCYX: NDArray[np.uint16]) -> Maps:
        ground = [self.squares[number // STORE][number % STORE] for number in members]
        return np.stack([TARGETS[self.target].make(plane) for plane in read_elevation(self.path, ground)])


@dataclass(frozen=True, eq=False)
class OfTeacher:
    """What a teacher sees in the mean of a season; it stays on the device of the training."""

    teacher: DepthTeacher
    red_green_blue: tuple[int, int, int]
    device: torch.device

    def __call__(self, members: Sequence[int], pictures_BTCYX: NDArray[np.uint16]) -> Maps:
        seen = pictures_BTCYX[:, :, list(self.red_green_blue)].astype(np.float32)
        colours = natural_colours(torch.from_numpy(seen), (0, 1, 2))
        depth: Maps = self.teacher(colours.to(self.device))[:, 0].cpu().numpy()
        depth[(pictures_BTCYX == NO_DATA).all(axis=(1, 2))] = np.nan
        return depth


def taught(weights: WeightsFile, settings: dict[str, Any], device: torch.device) -> OfTeacher:
    """The teacher looks as closely as the network does, at the same three bands."""
    teacher = make_teacher(weights.read(), settings["token"]).to(device)
    red, green, blue = settings["red_green_blue"]
    return OfTeacher(teacher, (red, green, blue), device)


def squares_of(root: Root) -> list[Square]:
    """The ground of each patch of a root."""
    index: Any = read_index(root)
    crs, rows = index.crs.to_wkt(), zip(index.geometry.bounds.to_numpy(float), index["size"], strict=True)
    return [Square(crs, (west, south, east, north), int(size)) for (west, south, east, north), size in rows]
