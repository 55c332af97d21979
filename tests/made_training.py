"""A store of small patches that can be learned, and recipes to learn them with: seconds instead of a country."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from catalogs import patch_store
from catalogs.bands import BANDS
from catalogs.patch_store import SHARD, patch_layouts
from catalogs.root import Root
from catalogs.stores import Store, write_shard
from models.card import Card
from models.normalisation import Normalisation
from models.unet import UNetSettings
from pipelines.project.learning import Training
from pipelines.recipe import Recipe

PATCHES, PERIODS, SIZE, CLASSES = 40, 2, 32, 4
TRAINED, WATCHED = range(32), range(32, 40)


def write_patches(root: Root, ignored: float = 0.1) -> Root:
    """Fields of four classes, each with its own reflectance in each period, under noise; some pixels unlabelled."""
    rng = np.random.default_rng(1)
    fields = rng.integers(0, CLASSES, (PATCHES, SIZE // 8, SIZE // 8)).repeat(8, axis=1).repeat(8, axis=2)
    spectra = rng.integers(400, 4000, (CLASSES, PERIODS, len(BANDS)))
    clean = np.moveaxis(spectra[fields], (3, 4), (1, 2))
    pictures = (clean + rng.normal(0, 250, clean.shape)).clip(1, 10_000).astype(np.uint16)
    crops = np.where(rng.random(fields.shape) < ignored, 255, fields).astype(np.uint8)
    return write_store(root, pictures, crops)


def write_store(root: Root, pictures: np.ndarray, crops: np.ndarray) -> Root:
    store = Store(root, patch_store.NAME)
    store.begin(patch_layouts(PATCHES, PERIODS, SIZE), {}, {"store": "patches"})
    for first in range(0, PATCHES, SHARD):
        rows, whole = slice(first, min(first + SHARD, PATCHES)), slice(None)
        write_shard(store.array("reflectance"), (rows, whole, whole, whole, whole), pictures[rows])
        write_shard(store.array("crop"), (rows, whole, whole), crops[rows])
    return root


def recipe_of(root: Root | Path, name: str = "season", norm: str = "batch", **training: Any) -> Recipe:
    settings = UNetSettings(periods=PERIODS, classes=CLASSES, widths=(8, 16), norm=norm)
    card = Card(
        name=name,
        architecture="unet",
        settings=settings.as_dict(),
        bands=BANDS,
        periods=("spring", "summer"),
        middles=(120.0, 210.0),
        period_index=tuple(range(PERIODS)),
        classes=dict(enumerate(("other", "maize", "wheat", "beet"))),
        normalisation=Normalisation((2000.0,) * len(BANDS), (1000.0,) * len(BANDS)),
        training_identity="made",
    )
    chosen = {"epochs": 3, "batch": 8, "learning_rate": 0.01} | training
    recipe = Recipe(
        root=root if isinstance(root, Root) else Root(str(root)),
        card=card,
        training=Training(**chosen),
        train=tuple(TRAINED),
        validation=tuple(WATCHED),
        class_pixels=(7000, 8000, 6000, 7500),
    )
    return recipe


def with_root(recipe: Recipe, root: Root) -> Recipe:
    return replace(recipe, root=root)
