"""A random forest as plain arrays: written from scikit-learn's, checked before use, and rebuilt without a pickle.

The arrays of all trees lie one after the other. A node's children are counted from the first node of its tree and come
after it; -1 is no child. Shares are those of the leaves, in the order of the leaves.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.errors import Misfit

NO_CHILD = -1
BATCH = 16_384  # pixels that go through all trees before the next: measured best of 1,024 to 65,536

_KINDS = {
    "nodes": (torch.int64, 1),
    "feature": (torch.int32, 1),
    "threshold": (torch.float64, 1),
    "left": (torch.int32, 1),
    "right": (torch.int32, 1),
    "share": (torch.float64, 2),
}

Values = NDArray[np.float64]

# Axis legend: N pixel, F feature, K class.


@dataclass(frozen=True, eq=False)
class TreeArrays:
    """One tree. `share_LK` has a row for each leaf."""

    feature: NDArray[np.int32]
    threshold: Values
    left: NDArray[np.int32]
    right: NDArray[np.int32]
    share_LK: Values

    @property
    def leaf(self) -> NDArray[np.bool_]:
        return np.equal(self.left, NO_CHILD)


class CompiledTree(Protocol):
    """What is asked of scikit-learn's tree."""

    def predict(self, x_NF: NDArray[np.float32]) -> Values: ...


@dataclass(frozen=True, eq=False)
class Forest:
    """Trees that answer together."""

    trees: tuple[CompiledTree, ...]
    classes: int

    def shares(self, x_NF: NDArray[np.float32]) -> Values:
        """(N, K): the mean over trees of the class shares in the leaf of each pixel, as scikit-learn adds them up."""
        parts = [self._batch(x_NF[start : start + BATCH]) for start in range(0, len(x_NF), BATCH)]
        return np.concatenate(parts) if parts else np.zeros((0, self.classes))

    def _batch(self, x_NF: NDArray[np.float32]) -> Values:
        total = np.zeros((len(x_NF), self.classes))
        for tree in self.trees:
            total += tree.predict(x_NF)
        total /= len(self.trees)
        return total


def forest_state(trees: list[TreeArrays]) -> dict[str, Tensor]:
    """What a checkpoint holds of a forest."""
    whole = {name: np.concatenate([getattr(tree, name) for tree in trees]) for name in ("feature", "threshold", "left")}
    whole["right"] = np.concatenate([tree.right for tree in trees])
    whole["nodes"] = np.array([len(tree.feature) for tree in trees], np.int64)
    whole["share"] = np.concatenate([tree.share_LK for tree in trees])
    return {name: torch.from_numpy(np.ascontiguousarray(whole[name])) for name in _KINDS}


def forest_of(state: Mapping[str, Tensor], trees: int, features: int, classes: int, given: str) -> Forest:
    """The forest in a checkpoint named `given`; whatever could send its search astray is refused before it is built."""
    try:
        split = _split(state, trees, classes)
        for tree in split:
            _check(tree, features)
    except _Wrong as wrong:
        raise Misfit(
            given, f"these are not the trees of its card: {wrong}.", "Copy it again, or train again."
        ) from None
    return Forest(tuple(_built(tree, features, classes) for tree in split), classes)


class _Wrong(Exception):
    """What is wrong with the arrays."""


def _require(holds: bool, wrong: str) -> None:
    if not holds:
        raise _Wrong(wrong)


def _split(state: Mapping[str, Tensor], trees: int, classes: int) -> list[TreeArrays]:
    _require(set(state) == set(_KINDS), f"arrays {', '.join(sorted(state))} instead of {', '.join(_KINDS)}")
    for name, (kind, axes) in _KINDS.items():
        _require(state[name].dtype == kind and state[name].ndim == axes, f"{name} is {state[name].dtype}")
    arrays = {name: value.detach().cpu().contiguous().numpy() for name, value in state.items()}
    nodes, total = arrays["nodes"], len(arrays["feature"])
    _require(len(nodes) == trees, f"{len(nodes)} trees, and {trees} are named")
    _require(bool(((nodes >= 1) & (nodes <= total)).all()) and int(nodes.sum()) == total, "trees of other sizes")
    _require(all(len(arrays[name]) == total for name in ("threshold", "left", "right")), "arrays of several lengths")
    leaf = arrays["left"] == NO_CHILD
    _require(arrays["share"].shape == (leaf.sum(), classes), f"shares {arrays['share'].shape} of {leaf.sum()} leaves")
    ends = np.cumsum(nodes)[:-1]
    leaves = np.cumsum([part.sum() for part in np.split(leaf, ends)])[:-1]
    parts = [np.split(arrays[name], ends) for name in ("feature", "threshold", "left", "right")]
    return [TreeArrays(*tree) for tree in zip(*parts, np.split(arrays["share"], leaves), strict=True)]


def _check(tree: TreeArrays, features: int) -> None:
    inner = ~tree.leaf
    _require(bool((tree.right[tree.leaf] == NO_CHILD).all()), "a node with one child")
    _require(bool(((tree.feature[inner] >= 0) & (tree.feature[inner] < features)).all()), "a feature that is not there")
    _require(bool(np.isfinite(tree.threshold).all()), "a threshold that is not finite")
    parent = np.flatnonzero(inner)
    children = np.stack([tree.left[inner], tree.right[inner]])
    _require(bool(((children > parent) & (children < len(tree.left))).all()), "children before their parents")
    once = np.bincount(children.ravel(), minlength=len(tree.left))
    _require(bool((once[1:] == 1).all()), "a node with no parent, or with two")
    share = tree.share_LK
    fair = np.isfinite(share).all() and (share >= 0).all() and (np.abs(share.sum(axis=1) - 1) < 1e-6).all()
    _require(bool(fair), "class shares that do not add up to 1")


def _built(tree: TreeArrays, features: int, classes: int) -> CompiledTree:
    """scikit-learn's compiled tree; its own search is several times as fast as one written with numpy."""
    from sklearn.tree._tree import NODE_DTYPE, Tree  # seconds that workers with networks need not wait

    nodes = np.zeros(len(tree.left), NODE_DTYPE)
    nodes["left_child"], nodes["right_child"] = tree.left, tree.right
    nodes["feature"], nodes["threshold"] = np.where(tree.leaf, -2, tree.feature), tree.threshold
    values = np.zeros((len(nodes), 1, classes))
    values[tree.leaf, 0] = tree.share_LK
    tree_state = {"max_depth": len(nodes), "node_count": len(nodes), "nodes": nodes, "values": values}
    built = Tree(features, np.array([classes], np.intp), 1)
    built.__setstate__(tree_state)
    ready: CompiledTree = built
    return ready
