"""Decision trees and random forests for a whole grid.

The rows are brought once into the form scikit-learn's trees want. What a parameter does not change is shared: with
one seed the first 50 trees of a forest of 200 are the forest of 50, and a tree that ended above a depth by itself is
the tree that is limited to that depth.

A forest's trees are grown by scikit-learn's own compiled builder, but without the estimators around it: these take
more time than the growing (each tree's parameters are cloned and checked), and hold the interpreter while they do.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.tree import DecisionTreeClassifier
from sklearn.tree._criterion import Entropy, Gini
from sklearn.tree._splitter import BestSparseSplitter
from sklearn.tree._tree import DepthFirstTreeBuilder, Tree

from app.errors import Cancelled

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import scipy.sparse as sp
    from numpy.typing import NDArray

    from app.models.parameters import Point
    from app.text.matrix import Matrix

CRITERIA = {"gini": Gini, "entropy": Entropy, "log_loss": Entropy}


def predict_all_trees(
    points: Sequence[Point],
    train: Matrix,
    target: NDArray[np.int64],
    other: Matrix,
    *,
    classes: int,  # noqa: ARG001 - the target says it
    seed: int,
    cancelled: Callable[[], bool],
) -> NDArray[np.int64]:
    """Class numbers of single trees, of shape (points, other rows); raises Cancelled."""
    fitted, rows = _tree_form(train, other)
    predicted = np.empty((len(points), rows.shape[0]), np.int64)
    grown: dict[tuple[Any, Any], DecisionTreeClassifier] = {}
    deepest_first = sorted(enumerate(points), key=lambda each: _depth(each[1]), reverse=True)
    for index, point in deepest_first:
        if cancelled():
            raise Cancelled
        kind = (point.get("criterion", "gini"), point.get("max_features"))
        # Strictly above: a node at the depth itself might still have drawn numbers in search of a split.
        if kind not in grown or grown[kind].get_depth() >= _depth(point):
            tree = DecisionTreeClassifier(
                criterion=kind[0], max_features=kind[1], max_depth=point.get("max_depth"), random_state=seed
            )
            grown[kind] = tree.fit(fitted, target)
        predicted[index] = grown[kind].predict(rows)
    return predicted


def predict_all_forests(
    points: Sequence[Point],
    train: Matrix,
    target: NDArray[np.int64],
    other: Matrix,
    *,
    classes: int,
    seed: int,
    cancelled: Callable[[], bool],
) -> NDArray[np.int64]:
    """Class numbers of forests, of shape (points, other rows); raises Cancelled."""
    fitted, rows = _tree_form(train, other)
    planter = _Planter(fitted, target, classes)
    predicted = np.empty((len(points), rows.shape[0]), np.int64)
    sizes: Any = [point.get("n_estimators", 100) for point in points]
    kinds = sorted({_forest_kind(point) for point in points}, key=lambda kind: (-kind[1], kind[0]))  # deepest first
    votes = {kind: np.zeros((rows.shape[0], classes)) for kind in kinds}
    random = np.random.RandomState(seed)
    for size in range(1, max(sizes) + 1):
        if cancelled():
            raise Cancelled
        seed_of_tree = random.randint(np.iinfo(np.int32).max)
        weights = planter.bootstrap(seed_of_tree)
        grown: dict[str, Tree] = {}
        for kind in kinds:
            members = [index for index, point in enumerate(points) if _forest_kind(point) == kind]
            if size > max(sizes[index] for index in members):
                continue
            criterion, depth = kind
            if criterion not in grown or grown[criterion].max_depth >= depth:
                grown[criterion] = planter.grow(criterion, depth, weights, seed_of_tree)
            votes[kind] += grown[criterion].predict(rows)
            for index in members:
                if sizes[index] == size:
                    predicted[index] = (votes[kind] / size).argmax(axis=1)
    return predicted


class _Planter:
    """Grows single trees of a forest as ``RandomForestClassifier`` does with its defaults."""

    def __init__(self, fitted: sp.csc_matrix, target: NDArray[np.int64], classes: int) -> None:
        self._fitted = fitted
        self._target = target.astype(np.float64).reshape(-1, 1)
        self._classes = np.array([classes], np.intp)

    def bootstrap(self, seed: int) -> NDArray[np.float64]:
        """How often each row was drawn, with replacement, for the tree of this seed."""
        rows = self._fitted.shape[0]
        return np.bincount(np.random.RandomState(seed).randint(0, rows, rows), minlength=rows).astype(np.float64)

    def grow(self, criterion: str, depth: float, weights: NDArray[np.float64], seed: int) -> Tree:
        """A tree of at most this depth on rows of these weights."""
        width = self._fitted.shape[1]
        measure = CRITERIA[criterion](1, self._classes)
        splitter = BestSparseSplitter(measure, max(1, int(np.sqrt(width))), 1, 0.0, np.random.RandomState(seed), None)
        tree = Tree(width, self._classes, 1)
        most = int(min(depth, np.iinfo(np.int32).max))
        DepthFirstTreeBuilder(splitter, 2, 1, 0.0, most, 0.0).build(tree, self._fitted, self._target, weights, None)
        return tree


def _forest_kind(point: Point) -> tuple[str, float]:
    return str(point.get("criterion", "gini")), _depth(point)


def _depth(point: Point) -> float:
    depth = point.get("max_depth")
    return float("inf") if depth is None else float(depth)  # type: ignore[arg-type]


def _tree_form(train: Matrix, other: Matrix) -> tuple[sp.csc_matrix, sp.csr_matrix]:
    """Single precision, the training rows by columns: what scikit-learn's trees would make of them for each fit."""
    fitted = train.scipy().astype(np.float32).tocsc()
    fitted.sort_indices()
    return fitted, other.scipy().astype(np.float32)
