"""Forests to checkpoints: few pixels of each parcel of the training patches, and a score on the validation patches."""

import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from catalogs import crops
from catalogs.patch_store import patches_of, read_index
from catalogs.stores import Store
from catalogs.taxonomy import IGNORE
from cluster.progress import Bar
from models.architectures import settings_of
from models.checkpoint import encode
from models.forest_features import Features
from models.forest_fitting import fit_forest
from models.forest_predictor import load_forest
from models.forest_settings import ForestSettings
from models.metrics import Confusion, confusion, score
from models.pixel_sampling import PixelLimits, choose_pixels, thin_parcels
from pipelines.patch_reading import STORE, PatchReader
from pipelines.recipe import Recipe

PARCELS = 2**28
"""Numbers of a root's parcels, so that those of several roots do not meet."""

Pixels = NDArray[np.uint64]

# Axis legend: T period, C band, Y row, X column, N pixel, F feature.


def fit_patches(recipe: Recipe) -> int:
    """How often a patch is looked at in all."""
    return 2 * len(recipe.train) + len(recipe.validation)


def fit(recipe: Recipe, workers: int, bar: Bar) -> None:
    """Choose pixels, look at them, fit, score; then weights and card, the card last."""
    settings = settings_of(recipe.card)
    assert isinstance(settings, ForestSettings)
    began = time.monotonic()
    features = Features(settings, recipe.card.bands, recipe.card.used_middles)
    reader = PatchReader(recipe.root, *recipe.also)
    truth_N, key_N = chosen_pixels(recipe, reader, settings.halo, bar)
    state = fit_forest(_looked_at(recipe, reader, features, key_N, bar), truth_N, settings, workers)
    notes = {"pixels": len(key_N), "device": "cpu", "seconds": round(time.monotonic() - began, 1)}
    card = replace(recipe.card, training=recipe.card.training | notes)
    found = score(_counted(recipe, reader, load_forest(state, card, settings), bar))
    card = replace(card, scores={"validation_miou": found.mean_iou})
    for name, data in encode(state, card).items():
        recipe.root.write(f"{recipe.folder}/{name}", data)


def chosen_pixels(recipe: Recipe, reader: PatchReader, halo: int, bar: Bar) -> tuple[NDArray[np.uint8], Pixels]:
    """Class and key of the pixels to learn from, by rising key: the patch's number times its pixels, plus the place."""
    limits = PixelLimits(seed=recipe.training.seed)
    parts = []
    for number, (crop, parcel) in zip(recipe.train, _labels(recipe, reader), strict=True):
        key = np.uint64(number * crop.size) + np.arange(crop.size, dtype=np.uint64)
        inner = np.full_like(crop, IGNORE)
        core = slice(halo, crop.shape[0] - halo)
        inner[core, core] = crop[core, core]
        kept = thin_parcels(inner.ravel(), parcel.ravel(), key, limits)
        parts.append((crop.ravel()[kept], parcel.ravel()[kept], key[kept]))
        bar.advance()
    truth, parcel, key = (np.concatenate(column) for column in zip(*parts, strict=True))
    order = np.argsort(key)
    chosen = order[choose_pixels(truth[order], parcel[order], key[order], limits)]
    return truth[chosen], key[chosen]


def _labels(recipe: Recipe, reader: PatchReader) -> Iterator[tuple[NDArray[np.uint8], NDArray[np.uint32]]]:
    """Crop and parcel of each training patch; parcels come from the labels that patches were cut from."""
    roots = (recipe.root, *recipe.also)
    stores = [Store(root, crops.LABELS) for root in roots]
    windows = [{patch.number: patch.window for patch in patches_of(read_index(root))} for root in roots]
    for number, (_, crop) in zip(recipe.train, reader.stream(recipe.train), strict=True):
        source, own = divmod(number, STORE)
        parcel = stores[source].read("parcel", windows[source][own].slices)
        yield crop, np.where(parcel > 0, parcel + np.uint32(source * PARCELS), np.uint32(0))


def _looked_at(recipe: Recipe, reader: PatchReader, features: Features, key_N: Pixels, bar: Bar) -> NDArray[np.float32]:
    """Features (N, F) of the pixels with these keys."""
    x_NF = np.empty((len(key_N), len(features.names)), np.float32)
    members = sorted(recipe.train)
    for number, (picture_TCYX, crop) in zip(members, reader.stream(members), strict=True):
        first, last = np.searchsorted(key_N, np.uint64(crop.size) * np.array([number, number + 1], np.uint64))
        place = (key_N[first:last] - np.uint64(number * crop.size)).astype(np.int64)
        used_TCYX = picture_TCYX[list(recipe.card.period_index)]
        if last > first:
            x_NF[first:last] = features.at(used_TCYX, place // crop.shape[1], place % crop.shape[1])
        bar.advance()
    return x_NF


def _counted(recipe: Recipe, reader: PatchReader, predictor: Any, bar: Bar) -> Confusion:
    """On the validation patches, without their rims, of which a forest with context knows only one side."""
    found = Confusion.empty(len(recipe.card.classes))
    for picture_TCYX, crop in reader.stream(recipe.validation):
        core = (slice(predictor.halo, crop.shape[0] - predictor.halo),) * 2
        guess = predictor.predict(np.ascontiguousarray(picture_TCYX)).crop
        found += confusion(crop[core], guess[core], len(recipe.card.classes))
        bar.advance()
    return found
