"""Fitting a forest with scikit-learn, and its trees as the arrays of a checkpoint."""

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import RandomForestClassifier
from sklearn.tree._tree import Tree
from torch import Tensor

from models.errors import Misfit
from models.forest import TreeArrays, forest_state
from models.forest_settings import ForestSettings

# Axis legend: N pixel, F feature, K class.


def fit_forest(
    x_NF: NDArray[np.float32], truth_N: NDArray[np.uint8], settings: ForestSettings, workers: int = 1
) -> dict[str, Tensor]:
    """The state of a checkpoint; the same pixels and settings give the same trees, whatever the workers."""
    _check(x_NF, truth_N, settings)
    fitted = classifier(settings, workers).fit(x_NF, truth_N)
    return forest_state([_arrays(one.tree_, fitted.classes_, settings.classes) for one in fitted.estimators_])


def classifier(settings: ForestSettings, workers: int = 1) -> RandomForestClassifier:
    """Each split chooses from the square root of the features; in each tree's own draw all classes weigh alike."""
    return RandomForestClassifier(
        n_estimators=settings.trees,
        max_depth=settings.depth or None,
        min_samples_leaf=settings.leaf,
        max_features="sqrt",
        class_weight="balanced_subsample",
        random_state=settings.seed,
        n_jobs=workers,
    )


def _arrays(tree: Tree, seen: NDArray[np.uint8], classes: int) -> TreeArrays:
    """A class that no pixel had gets a share of 0 in every leaf."""
    leaf = tree.children_left == tree.children_right
    share_LK = np.zeros((int(leaf.sum()), classes))
    share_LK[:, seen] = tree.value[leaf, 0]
    feature, threshold = (np.where(leaf, 0, values) for values in (tree.feature, tree.threshold))
    left, right = (side.astype(np.int32) for side in (tree.children_left, tree.children_right))
    return TreeArrays(feature.astype(np.int32), threshold.astype(np.float64), left, right, share_LK)


def _check(x_NF: NDArray[np.float32], truth_N: NDArray[np.uint8], settings: ForestSettings) -> None:
    given = f"{x_NF.dtype} features {x_NF.shape} and truth {truth_N.shape}"
    if x_NF.ndim != 2 or x_NF.dtype != np.float32 or truth_N.shape != x_NF.shape[:1] or not len(truth_N):
        raise Misfit(given, "float32 (pixel, feature) and one class a pixel are needed.", "Sample some pixels.")
    if not np.isfinite(x_NF).all():
        raise Misfit(given, "some features are not finite.", "Make them with models.forest_features.")
    if truth_N.max() >= settings.classes:
        raise Misfit(given, f"it holds class {truth_N.max()} of {settings.classes}.", "Leave ignored pixels out.")
