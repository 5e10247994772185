"""Nearest neighbours for a whole grid: one search for each weighting and number of neighbours.

scikit-learn has no tree for sparse rows: ball_tree and kd_tree fall back to brute force, so the three algorithms are
one and the same fit. The search itself is left to scikit-learn, whose order among texts at equal distances is its own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.neighbors import KNeighborsClassifier

from app.errors import Cancelled
from app.models.declaration import UNFITTED

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from app.models.parameters import Point
    from app.text.matrix import Matrix


def predict_all(
    points: Sequence[Point],
    train: Matrix,
    target: NDArray[np.int64],
    other: Matrix,
    *,
    classes: int,  # noqa: ARG001 - the target says it
    seed: int,  # noqa: ARG001 - nothing is drawn
    cancelled: Callable[[], bool],
) -> NDArray[np.int64]:
    """Class numbers of shape (points, other rows), UNFITTED for more neighbours than texts; raises Cancelled."""
    fitted, rows = train.scipy(), other.scipy()
    known: dict[tuple[Any, Any], NDArray[np.int64]] = {}
    for point in points:
        if cancelled():
            raise Cancelled
        weights, neighbours = key = _key(point)
        if key not in known and neighbours > len(target):
            known[key] = np.full(rows.shape[0], UNFITTED)
        elif key not in known:
            classifier = KNeighborsClassifier(neighbours, weights=weights, algorithm="brute")
            known[key] = classifier.fit(fitted, target).predict(rows)
    return np.stack([known[_key(point)] for point in points])


def _key(point: Point) -> tuple[Any, Any]:
    return point.get("weights", "uniform"), point.get("n_neighbors", 5)
