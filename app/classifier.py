"""The eight models behind one door: fit every point of a grid on one matrix, predict another."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Protocol

import numpy as np
from sklearn.exceptions import ConvergenceWarning

from app import passive_aggressive
from app.errors import Cancelled
from app.models import estimator, sklearn_parameters

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from app.grids import Point
    from app.tfidf import Matrix


class PredictAll(Protocol):
    """Fit every point on training rows, predict other rows: class numbers of shape (points, other rows)."""

    def __call__(
        self,
        points: Sequence[Point],
        train: Matrix,
        target: NDArray[np.int64],
        other: Matrix,
        *,
        classes: int,
        seed: int,
        cancelled: Callable[[], bool],
    ) -> NDArray[np.int64]:
        """Fit and predict; raises Cancelled."""


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
    """The class numbers each point of the grid predicts for the other rows, of shape (points, other rows)."""
    if model == "pac":
        return passive_aggressive.predict_all(
            points, train, target, other, classes=classes, seed=seed, cancelled=cancelled
        )
    fitted, others = train.scipy(), other.scipy()
    predicted = np.empty((len(points), len(other.starts) - 1), np.int64)
    for index, point in enumerate(points):
        if cancelled():
            raise Cancelled
        classifier = estimator(model, seed).set_params(**sklearn_parameters(model, point))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            classifier.fit(fitted, target)
        predicted[index] = classifier.predict(others)
    return predicted
