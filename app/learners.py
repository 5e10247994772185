"""Which module fits a model's grid."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

import numpy as np

from app import passive_aggressive
from app.errors import Cancelled
from app.models import estimator, sklearn_parameters

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from app.grids import Point
    from app.tfidf import Matrix

UNFITTED = -1
"""Predicted "class" of every row for a point that scikit-learn refuses to fit."""


def predict_all(
    model: str,
    points: Sequence[Point],
    train: Matrix,
    target: NDArray[np.int64],
    other: Matrix,
    *,
    classes: int,
    seed: int,
    cancelled: Callable[[], bool],
) -> NDArray[np.int64]:
    """Fit every point of a model's grid on the training rows and predict the other rows.

    Returns:
        Class numbers of shape (points, other rows), UNFITTED for points that cannot be fitted.

    Raises:
        Cancelled: ``cancelled`` returned True.
    """
    if model == "pac":
        return passive_aggressive.predict_all(
            points, train, target, other, classes=classes, seed=seed, cancelled=cancelled
        )
    train_matrix, other_matrix = train.scipy(), other.scipy()
    predicted = np.full((len(points), len(other.starts) - 1), UNFITTED)
    for index, point in enumerate(points):
        if cancelled():
            raise Cancelled
        fitting = estimator(model, seed).set_params(**sklearn_parameters(model, point))
        with suppress(ValueError):  # such as more neighbours than texts; GridSearchCV goes on with a NaN, too
            predicted[index] = fitting.fit(train_matrix, target).predict(other_matrix)
    return predicted
