"""The search: every point of a grid on every fold, then the best point on all training texts."""

from __future__ import annotations

import time
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from sklearn.model_selection import ParameterGrid

from app.classifier import predict_all
from app.corpus import read_corpus
from app.errors import Cancelled
from app.tfidf import fold_matrices
from app.threads import cores

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from app.dataset import Dataset
    from app.grids import Grid, Point


@dataclass(frozen=True, slots=True)
class Found:
    """The best point of a grid, its mean accuracy over the folds and its accuracy on the test texts."""

    parameters: Point
    validation: float
    test: float
    phases_ms: dict[str, float]


def search(dataset: Dataset, model: str, grid: Grid, seed: int, cancelled: Callable[[], bool]) -> Found:
    """Search the grid.

    The best point is ``GridSearchCV``'s: the highest mean accuracy over the folds, and among equals the first in
    ``ParameterGrid``'s order.

    Raises:
        InputError: the training texts of a fold hold no term.
        Cancelled: ``cancelled`` said so.
    """
    started = time.perf_counter()
    corpus = read_corpus(dataset.texts)
    read = time.perf_counter()
    points: list[Point] = list(ParameterGrid(grid))
    stop = _Stop(cancelled)

    def predict(points: list[Point], fit: NDArray[np.int64], other: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Whether each point, trained on the rows of ``fit``, is right on each row of ``other``."""
        if stop():
            raise Cancelled
        train, others = fold_matrices(corpus, fit, other)
        predicted = predict_all(
            model, points, train, dataset.target[fit], others,
            classes=len(dataset.classes), seed=seed, cancelled=stop,
        )  # fmt: skip
        return np.asarray(predicted == dataset.target[other])

    accuracies = np.empty((len(points), len(dataset.folds)))
    with ThreadPoolExecutor(max_workers=min(cores(), len(dataset.folds))) as pool:
        futures = [pool.submit(predict, points, *fold) for fold in dataset.folds]
        wait(futures, return_when=FIRST_EXCEPTION)
        stop.now = any(future.done() and future.exception() is not None for future in futures)
    for index, future in enumerate(futures):
        accuracies[:, index] = future.result().mean(axis=1)
    means = accuracies.mean(axis=1)
    best = int(np.argmax(means))
    searched = time.perf_counter()
    test = float(predict([points[best]], dataset.train, dataset.test)[0].mean())
    return Found(
        parameters=points[best],
        validation=float(means[best]),
        test=test,
        phases_ms={
            "vectorise": (read - started) * 1e3,
            "search": (searched - read) * 1e3,
            "fit": (time.perf_counter() - searched) * 1e3,
        },
    )


class _Stop:
    """Whether to give up: the client went away, or another fold failed."""

    def __init__(self, cancelled: Callable[[], bool]) -> None:
        self.now = False
        self._cancelled = cancelled

    def __call__(self) -> bool:
        return self.now or self._cancelled()
