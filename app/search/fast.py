"""The search: every point of a grid on every fold, then the best point on all training texts."""

from __future__ import annotations

import time
from collections import deque
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from threading import Event
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.model_selection import ParameterGrid

from app.errors import Cancelled, InputError
from app.models.declaration import UNFITTED
from app.search.threads import cores, one_thread_each
from app.text.corpus import read_corpus
from app.text.tfidf import fold_matrices

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from numpy.typing import NDArray

    from app.models.declaration import Model
    from app.models.parameters import Grid, Point
    from app.text.dataset import Dataset

POLL_S = 0.1
# How many folds for each core are handed to the pool: enough that no core waits for the next one.
AHEAD = 4


@dataclass(frozen=True, slots=True)
class Best:
    """The best point of a grid, its mean accuracy over the folds, its accuracy on the test texts, and phase times."""

    parameters: Point
    validation: float
    test: float
    phases_ms: dict[str, float]


def search(dataset: Dataset, model: Model, grid: Grid, seed: int, cancelled: Callable[[], bool]) -> Best:
    """What ``GridSearchCV`` over ``Pipeline(TfidfVectorizer, model)`` finds, and its refitted estimator's accuracy.

    The points are tried in the order of ``ParameterGrid``: names sorted, the last one changing fastest. Folds run in
    threads, one a core.

    Raises:
        InputError: the training texts of a fold hold only stop words, or no point of the grid can be fitted.
        Cancelled: ``cancelled`` returned True; it is asked every POLL_S seconds. A thread in the middle of a fit ends
            it by itself, unheeded.
    """
    started = time.perf_counter()
    corpus = read_corpus(dataset.texts)
    read = time.perf_counter()
    points: list[Point] = list(ParameterGrid(grid))
    stop = Event()

    def accuracies(points: list[Point], fit: NDArray[np.int64], score: NDArray[np.int64]) -> NDArray[np.float64]:
        """The accuracy of each point, trained on some rows, on other rows; NaN for a point that cannot be fitted."""
        if stop.is_set():
            raise Cancelled
        train, other = fold_matrices(corpus, fit, score)
        predicted = model.predict_all(
            points, train, dataset.target[fit], other,
            classes=len(dataset.classes), seed=seed, cancelled=stop.is_set,
        )  # fmt: skip
        right: NDArray[np.float64] = np.average(predicted == dataset.target[score], axis=1)
        right[(predicted == UNFITTED).any(axis=1)] = np.nan
        return right

    pool = ThreadPoolExecutor(max_workers=cores())
    try:
        with one_thread_each():
            of_folds = list(_each(pool, accuracies, ((points, *fold) for fold in dataset.folds()), cancelled))
            means = np.average(np.stack(of_folds, axis=1), axis=1)
            best = first_best(means)
            searched = time.perf_counter()
            (final,) = _each(pool, accuracies, [([points[best]], dataset.train, dataset.test)], cancelled)
            test = float(final[0])
    finally:
        stop.set()
        pool.shutdown(wait=False, cancel_futures=True)
    return Best(
        parameters=points[best],
        validation=float(means[best]),
        test=test,
        phases_ms={
            "vectorise": (read - started) * 1e3,
            "search": (searched - read) * 1e3,
            "fit": (time.perf_counter() - searched) * 1e3,
        },
    )


def first_best(means: NDArray[np.float64]) -> int:
    """The first of the best means, as ``GridSearchCV`` ranks them: equal floats tie, NaN is worse than any number.

    Raises:
        InputError: all are NaN.
    """
    if np.isnan(means).all():
        raise InputError("No point of the grid can be fitted to so few texts; send more texts or another grid.")
    return int(np.nanargmax(means))


def _each(
    pool: ThreadPoolExecutor,
    call: Callable[..., NDArray[np.float64]],
    jobs: Iterable[tuple[Any, ...]],
    cancelled: Callable[[], bool],
) -> Iterator[NDArray[np.float64]]:
    """Yield what each job gives, in order, a few of them at work at a time.

    Raises:
        Cancelled: ``cancelled`` returned True.
    """
    going: deque[Future[NDArray[np.float64]]] = deque()
    for job in jobs:
        going.append(pool.submit(call, *job))
        if len(going) >= AHEAD * cores():
            yield _result(going, cancelled)
    while going:
        yield _result(going, cancelled)


def _result(going: deque[Future[NDArray[np.float64]]], cancelled: Callable[[], bool]) -> NDArray[np.float64]:
    """Return the first job's result; another one's failure ends the wait for it."""
    while not going[0].done():
        if cancelled():
            raise Cancelled
        working = [future for future in going if not future.done()]
        done, _ = wait(working, timeout=POLL_S, return_when=FIRST_COMPLETED)
        for future in done:
            future.result()
    return going.popleft().result()
