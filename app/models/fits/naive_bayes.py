"""Multinomial naive Bayes for a whole grid: the terms of each class are counted once.

What ``MultinomialNB`` computes, operation for operation, so the floats are the same; only the counts, which no
parameter changes, are shared, and the log probabilities by the points of one alpha.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from app.errors import Cancelled

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
    classes: int,
    seed: int,  # noqa: ARG001 - nothing is drawn
    cancelled: Callable[[], bool],
) -> NDArray[np.int64]:
    """Class numbers of shape (points, other rows); raises Cancelled."""
    membership = (target[:, np.newaxis] == np.arange(classes)).astype(np.float64)
    term_counts = np.zeros((classes, train.width))
    term_counts += membership.T @ train.scipy()
    class_counts = membership.sum(axis=0)
    priors = {
        True: np.log(class_counts) - np.log(class_counts.sum()),
        False: np.full(classes, -np.log(classes)),
    }
    rows = other.scipy()
    likelihoods: dict[float, NDArray[np.float64]] = {}
    predicted = np.empty((len(points), len(other.starts) - 1), np.int64)
    for index, point in enumerate(points):
        if cancelled():
            raise Cancelled
        alpha = float(point.get("alpha", 1.0))  # type: ignore[arg-type]
        if alpha not in likelihoods:
            smoothed = term_counts + alpha
            log_probabilities = np.log(smoothed) - np.log(smoothed.sum(axis=1).reshape(-1, 1))
            likelihoods[alpha] = rows @ log_probabilities.T
        joint = likelihoods[alpha] + priors[bool(point.get("fit_prior", True))]
        predicted[index] = joint.argmax(axis=1)
    return predicted
