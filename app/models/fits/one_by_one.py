"""A grid's points fitted one by one, by scikit-learn's own estimator: right for any model, and shares no work."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from app.errors import Cancelled
from app.models.declaration import UNFITTED

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from app.models.declaration import Model, PredictAll
    from app.models.parameters import Point
    from app.text.matrix import Matrix


def one_by_one(model: Model) -> PredictAll:
    """The function that fits each point of this model's grid by itself."""

    def predict_all(
        points: Sequence[Point],
        train: Matrix,
        target: NDArray[np.int64],
        other: Matrix,
        *,
        classes: int,  # noqa: ARG001 - the target says it
        seed: int,
        cancelled: Callable[[], bool],
    ) -> NDArray[np.int64]:
        """Class numbers of shape (points, other rows); raises Cancelled, but not in the middle of a fit."""
        rows = other.scipy()
        predicted = np.full((len(points), rows.shape[0]), UNFITTED, np.int64)
        for index, point in enumerate(points):
            if cancelled():
                raise Cancelled
            classifier = model.estimator(seed).set_params(**model.sklearn_point(point))
            try:
                predicted[index] = classifier.fit(train.scipy().copy(), target).predict(rows)
            except ValueError:  # as GridSearchCV's error_score: a point that cannot be fitted loses
                continue
        return predicted

    return predict_all
