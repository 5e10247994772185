"""Decision trees and random forests for a whole grid.

The rows are brought once into the form scikit-learn's trees want. What a parameter does not change is shared: with
one seed the first 50 trees of a forest of 200 are the forest of 50, and a tree that ended above a depth by itself is
the tree that is limited to that depth.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.ensemble import RandomForestClassifier
from sklearn.tree import DecisionTreeClassifier

from app.errors import Cancelled

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import scipy.sparse as sp
    from numpy.typing import NDArray

    from app.grids import Point
    from app.tfidf import Matrix

TREES_BETWEEN_LOOKS = 10


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
    predicted = np.empty((len(points), rows.shape[0]), np.int64)
    for kind in dict.fromkeys(map(_forest_kind, points)):
        members = [index for index, point in enumerate(points) if _forest_kind(point) == kind]
        sizes = {index: int(points[index].get("n_estimators", 100)) for index in members}  # type: ignore[call-overload]
        forest = RandomForestClassifier(criterion=kind[0], max_depth=kind[1], random_state=seed, warm_start=True)
        votes = np.zeros((rows.shape[0], classes))
        counted = 0
        for size in _steps(sorted(set(sizes.values()))):
            if cancelled():
                raise Cancelled
            forest.set_params(n_estimators=size).fit(fitted, target)
            for tree in forest.estimators_[counted:]:
                votes += tree.predict_proba(rows, check_input=False)
            counted = size
            for index in members:
                if sizes[index] == size:
                    predicted[index] = (votes / size).argmax(axis=1)
    return predicted


def _steps(sizes: list[int]) -> list[int]:
    """The sizes, and enough sizes between them to look for the client now and then."""
    return sorted({*sizes, *range(TREES_BETWEEN_LOOKS, sizes[-1], TREES_BETWEEN_LOOKS)})


def _forest_kind(point: Point) -> tuple[Any, Any]:
    return point.get("criterion", "gini"), point.get("max_depth")


def _depth(point: Point) -> float:
    depth = point.get("max_depth")
    return float("inf") if depth is None else float(depth)  # type: ignore[arg-type]


def _tree_form(train: Matrix, other: Matrix) -> tuple[sp.csc_matrix, sp.csr_matrix]:
    """Single precision, the training rows by columns: what scikit-learn's trees would make of them for each fit."""
    fitted = train.scipy().astype(np.float32).tocsc()
    fitted.sort_indices()
    return fitted, other.scipy().astype(np.float32)
