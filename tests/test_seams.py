"""No seams: the map of a cube does not depend on how it was cut, and the seam count finds seams that are there."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from pathlib import Path

import numpy as np
import torch
from shapely import box

from catalogs import cube
from catalogs.bands import BANDS
from catalogs.grid import Grid, Window
from catalogs.periods import split_season
from catalogs.root import Root
from catalogs.stores import Store, write_shard
from models.card import Card
from models.normalisation import Normalisation
from models.predictor import load_predictor
from models.seams import SeamCount, count_changes
from models.unet import UNet, UNetSettings
from pipelines.predicting import Mapping, predict_ground

BOUNDS = (0, -3840, 3840, 0)
SMALL = {"widths": (8, 16, 24, 32)}
PERIODS = split_season(date(2021, 3, 1), date(2021, 5, 31), 2)


def network(norm: str, **choice):
    """Untrained, but with statistics that a trained one might have: every layer matters."""
    torch.manual_seed(5)
    settings = UNetSettings(periods=2, norm=norm, **choice)
    unet = UNet(settings)
    for layer in unet.modules():
        if isinstance(layer, torch.nn.BatchNorm2d):
            layer.running_mean.normal_(0, 0.2)
            layer.running_var.uniform_(0.5, 2)
    spans = [(str(p.start), str(p.end)) for p in PERIODS]
    card = Card(
        "test", "unet", settings.as_dict(), BANDS, tuple(spans), (73.5, 119.5), (0, 1), {i: str(i) for i in range(11)},
        Normalisation((2000.0,) * 10, (1500.0,) * 10), "none",
    )  # fmt: skip
    return load_predictor(unet.state_dict(), card)


def map_of(root: Root, pixels: np.ndarray, side: int, predictor, bounds=BOUNDS) -> tuple[np.ndarray, np.ndarray, Grid]:
    """The same ground as a cube of tiles of that side, mapped tile by tile."""
    grid = Grid.around(bounds, "EPSG:3035", 10, side)
    store = Store(root, cube.NAME)
    store.begin(cube.cube_layouts(grid, 2, "made up"), {}, {"side": side})
    for tile in grid.tiles():
        y, x = grid.window(tile).slices
        for period in range(2):
            write_shard(store.array("reflectance"), (period, slice(None), y, x), pixels[period, :, y, x])
    job = Mapping(root, grid, box(-1e6, -1e6, 1e6, 1e6), "test", None)
    crop, confidence = np.zeros(grid.shape, np.uint8), np.zeros(grid.shape, np.uint8)
    for tile in grid.tiles():
        here = grid.window(tile).slices
        crop[here], confidence[here] = predict_ground(job, predictor, grid.window(tile)).layers
    return crop, confidence, grid


def ground() -> np.ndarray:
    rng = np.random.default_rng(2)
    coarse = rng.integers(200, 6000, (2, 10, 48, 48))
    pixels = np.kron(coarse, np.ones((8, 8), int)) + rng.integers(-150, 150, (2, 10, 384, 384))
    pixels = pixels.clip(1, 15000).astype(np.uint16)
    pixels[:, :, 100:120, 200:260] = 0  # a cloud that hid the ground all season
    return pixels


def test_the_map_is_the_same_for_every_tile_side(tmp_path):
    pixels, predictor = ground(), network("batch", **SMALL)
    maps = {side: map_of(Root(str(tmp_path / str(side))), pixels, side, predictor) for side in (384, 192, 128, 64)}
    crop, confidence, _ = maps[384]
    assert len(np.unique(crop)) > 4 and (crop[100:120, 200:260] == 255).all()
    for side, (other, other_confidence, _) in maps.items():
        assert (other == crop).all() and (other_confidence == confidence).all(), side


SHIFTS = ((64, 64), (8, 120), (0, 72))
"""Pixels, multiples of the stride, that the ground is moved by on a grid of tiles of 128."""


def moved_maps(folder: Path, pixels: np.ndarray, predictor) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """The ground elsewhere on the lattice of tiles, with nothing around it."""
    height, width = pixels.shape[-2:]
    for down, right in SHIFTS:
        grid = Grid.around((0, -10 * (height + down), 10 * (width + right), 0), "EPSG:3035", 10, 128)
        placed = np.zeros((*pixels.shape[:2], *grid.shape), np.uint16)
        placed[:, :, down : down + height, right : right + width] = pixels
        root = Root(str(folder / f"moved{down}-{right}"))
        crop, confidence, _ = map_of(root, placed, 128, predictor, grid.bounds(Window(0, 0, *grid.shape)))
        here = slice(down, down + height), slice(right, right + width)
        yield crop[here], confidence[here]


def test_the_map_is_the_same_wherever_tiles_begin(tmp_path):
    pixels, predictor = ground(), network("batch", **SMALL)
    crop, confidence, _ = map_of(Root(str(tmp_path / "whole")), pixels, 384, predictor)
    for moved, moved_confidence in moved_maps(tmp_path, pixels, predictor):
        assert (moved == crop).all() and (moved_confidence == confidence).all()


def test_the_network_that_projects_get_unless_they_choose_leaves_no_seam(tmp_path):
    """With all its widths: three sides of tiles, and origins that are moved."""
    pixels, predictor = ground()[:, :, :256, :256], network("batch")
    assert predictor.card.settings == UNetSettings(periods=2).as_dict()
    bounds = (0, -2560, 2560, 0)
    crop, confidence, _ = map_of(Root(str(tmp_path / "256")), pixels, 256, predictor, bounds)
    assert len(np.unique(crop)) > 4
    cut = [map_of(Root(str(tmp_path / str(side))), pixels, side, predictor, bounds)[:2] for side in (128, 64)]
    for other, other_confidence in [*cut, *moved_maps(tmp_path, pixels, predictor)]:
        assert (other == crop).all() and (other_confidence == confidence).all()


def test_group_norm_shows_its_tiles(tmp_path):
    pixels, predictor = ground(), network("group", **SMALL)
    whole = map_of(Root(str(tmp_path / "a")), pixels, 384, predictor)[0]
    cut = map_of(Root(str(tmp_path / "b")), pixels, 64, predictor)[0]
    assert (whole != cut).mean() > 0.001


def seams(crop: np.ndarray, side: int) -> SeamCount:
    total = SeamCount()
    for y in range(0, crop.shape[0], side):
        for x in range(0, crop.shape[1], side):
            total += count_changes(crop[y : y + side + 1, x : x + side + 1], side, side)
    return total


def test_the_count_is_even_without_seams_and_rises_with_them():
    rng = np.random.default_rng(0)
    crop = np.where(rng.random((512, 512)) < 0.1, 3, 2).astype(np.uint8)
    even = seams(crop, 64)
    assert 0.9 < even.ratio < 1.1
    assert even.border_pairs == 2 * 512 * 7 and even.inner_pairs == 2 * 512 * (511 - 7)
    for i in range(8):  # every other tile is told by another network
        for j in range(8):
            if (i + j) % 2:
                tile = crop[64 * i : 64 * i + 64, 64 * j : 64 * j + 64]
                tile[...] = (tile + 1) % 11
    assert seams(crop, 64).ratio > 3
    crop[:] = 255
    assert seams(crop, 64) == replace(SeamCount())
