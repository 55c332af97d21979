"""Forests on a small place: pixels of the parcels themselves, each once, with the ground around them."""

import time
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from catalogs import cube
from catalogs.cube import read_cube
from catalogs.grid import Window
from catalogs.stores import Store
from catalogs.taxonomy import IGNORE
from models.architectures import settings_of
from models.checkpoint import encode
from models.forest_features import Features
from models.forest_fitting import fit_forest
from models.forest_settings import ForestSettings
from models.pixel_sampling import PixelLimits, choose_pixels
from pipelines.plan import Plan
from pipelines.predicting import cores_of
from pipelines.recipe import Recipe

BLOCK = 128
"""Pixels of a side that features are made of at once: 60 megabytes where a forest looks at the most."""

# Axis legend: Y row, X column, N pixel, F feature.


def fit_on_parcels(plan: Plan, recipe: Recipe, labels_YX: NDArray[np.uint8], parcel_YX: NDArray[np.uint32]) -> None:
    """Weights and card, the card last. Of each parcel as few pixels as elsewhere, for they are alike."""
    settings = settings_of(recipe.card)
    assert isinstance(settings, ForestSettings)
    began = time.monotonic()
    place_N = chosen_places(labels_YX, parcel_YX, PixelLimits(seed=recipe.training.seed))
    features = Features(settings, recipe.card.bands, recipe.card.used_middles)
    x_NF = _looked_at(plan, recipe, features, place_N)
    state = fit_forest(x_NF, labels_YX.ravel()[place_N], settings)
    notes = {"pixels": len(place_N), "device": "cpu", "seconds": round(time.monotonic() - began, 1)}
    for name, data in encode(state, replace(recipe.card, training=recipe.card.training | notes)).items():
        recipe.root.write(f"{recipe.folder}/{name}", data)


def chosen_places(
    labels_YX: NDArray[np.uint8], parcel_YX: NDArray[np.uint32], limits: PixelLimits
) -> NDArray[np.int64]:
    """Places in the flat grid, in rising order."""
    place_N = np.flatnonzero(labels_YX != IGNORE)
    truth_N, parcel_N = labels_YX.ravel()[place_N], parcel_YX.ravel()[place_N]
    found: NDArray[np.int64] = place_N[choose_pixels(truth_N, parcel_N, place_N.astype(np.uint64), limits)]
    return found


def _looked_at(plan: Plan, recipe: Recipe, features: Features, place_N: NDArray[np.int64]) -> NDArray[np.float32]:
    """Features (N, F) of the pixels at these places."""
    source, halo = Store(plan.root, cube.NAME), features.settings.halo
    y_N, x_N = np.divmod(place_N, plan.grid.shape[1])
    x_NF = np.empty((len(place_N), len(features.names)), np.float32)
    for core in cores_of(Window(0, 0, *plan.grid.shape), BLOCK):
        rows, columns = y_N - core.y, x_N - core.x
        here = (rows >= 0) & (rows < core.height) & (columns >= 0) & (columns < core.width)
        if here.any():
            used_TCYX = read_cube(source, core.grown(halo))[list(recipe.card.period_index)]
            x_NF[here] = features.at(used_TCYX, rows[here] + halo, columns[here] + halo)
    return x_NF
