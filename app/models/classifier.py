"""The eight models behind one door: fit every point of a grid on one matrix, predict another."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from app.models.fits import logistic, naive_bayes, neighbours, passive_aggressive, perceptron, support_vectors, trees

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from app.models.grids import Point
    from app.text.tfidf import Matrix

UNFITTED = -1
"""The "class" of every row for a point that scikit-learn refuses to fit, such as more neighbours than texts."""


class PredictAll(Protocol):
    """How a model fits every point of its grid on training rows and predicts other rows."""

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
        """Class numbers of shape (points, other rows); raises Cancelled where ``cancelled`` says so."""


OWN: dict[str, PredictAll] = {
    "pac": passive_aggressive.predict_all,
    "log": logistic.predict_all,
    "mnb": naive_bayes.predict_all,
    "mlpc": perceptron.predict_all,
    "svc": support_vectors.predict_all,
    "dt": trees.predict_all_trees,
    "kn": neighbours.predict_all,
    "rf": trees.predict_all_forests,
}
"""Models whose grids share work; each is equal to scikit-learn's estimator fitted point by point (tests/app)."""


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
    """The class numbers each point of a grid predicts for the other rows, of shape (points, other rows).

    UNFITTED stands for a point that scikit-learn refuses.

    Raises:
        Cancelled: ``cancelled`` said so.
    """
    return OWN[model](points, train, target, other, classes=classes, seed=seed, cancelled=cancelled)
