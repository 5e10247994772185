"""Logistic regression for a whole grid: scikit-learn's SAGA solver, compiled for two classes and sparse rows.

SAGA (Defazio, Bach, Lacoste-Julien, NIPS 2014) as in scikit-learn's ``sag_solver``: the same random rows, the same
just-in-time updates, the same stopping rule, the same operations in the same order, so the weights are equal bit for
bit. It is faster because a row's lagged update and its product with the weights are one loop, and because the points
that are the same fit (the peer's elasticnet has no l1 share: it is l2) are fitted once. More classes than two are
left to scikit-learn.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from numba import njit

from app.errors import Cancelled
from app.models import estimator, sklearn_parameters

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from app.grids import Point
    from app.tfidf import Matrix

MAX_EPOCHS = 1_000_000
TOLERANCE = 1e-4
INTERCEPT_DECAY = 0.01
"""scikit-learn's damping of the intercept on sparse data."""

WORK_BETWEEN_LOOKS = 10_000_000
"""Entries passed over between two looks at whether the client is still there: some 50 ms."""

BLOCK = 16
"""Weights that make their steps abreast: two AVX-512 registers of doubles."""

SMALLEST_SCALE = 1e-9
FAILED = -1


def predict_all(
    points: Sequence[Point],
    train: Matrix,
    target: NDArray[np.int64],
    other: Matrix,
    *,
    classes: int,
    seed: int,
    cancelled: Callable[[], bool],
) -> NDArray[np.int64]:
    """Class numbers of shape (points, other rows), -1 where the weights overflow; raises Cancelled."""
    rows = other.scipy()
    predicted: dict[tuple[float, float], NDArray[np.int64]] = {}
    for point in points:
        strength, l1_share = key = _key(point)
        if key in predicted:
            continue
        if cancelled():
            raise Cancelled
        if classes == 2:  # noqa: PLR2004
            fitted = _fit(train, target, strength, l1_share, seed, cancelled)
            predicted[key] = (
                np.full(rows.shape[0], FAILED)
                if fitted is None
                else (rows @ fitted[:-1] + fitted[-1] > 0).astype(np.int64)
            )
        else:
            classifier = estimator("log", seed).set_params(**sklearn_parameters("log", point))
            predicted[key] = classifier.fit(train.scipy(), target).predict(rows)
    return np.stack([predicted[_key(point)] for point in points])


def _key(point: Point) -> tuple[float, float]:
    parameters = sklearn_parameters("log", {"C": 1.0, "penalty": "l2"} | point)
    return float(parameters["C"]), float(parameters["l1_ratio"])  # type: ignore[arg-type]


def _fit(
    train: Matrix, target: NDArray[np.int64], strength: float, l1_share: float, seed: int, cancelled: Callable[[], bool]
) -> NDArray[np.float64] | None:
    """The weights and, last, the intercept; None where they overflow."""
    size = len(target)
    # The two penalties, and the step, in the words and the order of scikit-learn's _logistic.py and _sag.py.
    alpha = 0.0 if l1_share == 1.0 else (1.0 / strength) * (1 - l1_share)
    beta = (1.0 / strength) * l1_share
    alpha_scaled, beta_scaled = alpha / size, beta / size
    curvature = 0.25 * (_largest_square_norm(train.starts, train.values) + 1) + alpha_scaled
    step = 1.0 / (2 * curvature + min(2 * size * alpha_scaled, curvature))
    state = np.zeros(4)
    state[0] = np.random.RandomState(seed).randint(1, np.iinfo(np.int32).max)
    weights = np.zeros(train.width + 1)
    memory = np.zeros(size)
    work = (np.zeros(train.width), memory, np.zeros(size, np.bool_), np.zeros(train.width))
    labels = target.astype(np.float64)
    epochs_at_once = max(1, WORK_BETWEEN_LOOKS // (len(train.values) + 2 * train.width))
    for _ in range(0, MAX_EPOCHS, epochs_at_once):
        status = _run_epochs(
            train.starts, train.columns, train.values, labels, weights, state, *work,
            step, alpha_scaled, beta_scaled, min(epochs_at_once, MAX_EPOCHS),
        )  # fmt: skip
        if status == FAILED:
            return None
        if status == 1:
            break
        if cancelled():
            raise Cancelled
    return weights


@njit(nogil=True, cache=True)
def _largest_square_norm(starts, values):  # type: ignore[no-untyped-def]
    largest = 0.0
    for row in range(len(starts) - 1):
        norm = 0.0
        for entry in range(starts[row], starts[row + 1]):
            norm += values[entry] * values[entry]
        largest = max(largest, norm)
    return largest


@njit(nogil=True, cache=True)
def _unroll(weights, gradients, since, now, steps, steps_prox):  # type: ignore[no-untyped-def]
    """Gradient and proximal steps one by one, from the latest to each weight's own ``since``, BLOCK weights abreast."""
    first = now
    for i in range(BLOCK):
        first = min(first, since[i])
    for lag in range(now - 1, first - 1, -1):
        step, shrinkage = steps[lag], steps_prox[lag]
        for i in range(BLOCK):
            moved = weights[i] - gradients[i] * step
            moved = max(moved - shrinkage, 0.0) - max(-moved - shrinkage, 0.0)
            weights[i] = moved if lag >= since[i] else weights[i]


@njit(nogil=True, cache=True)
def _catch_up_prox(  # type: ignore[no-untyped-def]
    terms, weights, gradients, met, now, new_met, sums, sums_prox, steps, steps_prox
):
    """The steps with l1's soft thresholding that were put off since each of the terms was last met.

    Where the gradient is weaker than the penalty they come to one step; elsewhere they are made one by one.
    """
    block_terms = np.empty(BLOCK, np.uint64)
    block_weights = np.zeros(BLOCK)
    block_gradients = np.zeros(BLOCK)
    block_since = np.full(BLOCK, now)
    waiting = 0
    latest, latest_prox = sums[now - 1], sums_prox[now - 1]
    for entry in range(np.uint64(len(terms))):
        term = np.uint64(terms[entry])
        since = met[term]
        total, total_prox = latest, latest_prox
        if since != 0:
            total -= sums[np.uint64(since - 1)]
            total_prox -= sums_prox[np.uint64(since - 1)]
        met[term] = new_met
        gradient = gradients[term]
        if abs(gradient * total) < total_prox:
            moved = weights[term] - total * gradient
            weights[term] = max(moved - total_prox, 0.0) - max(-moved - total_prox, 0.0)
            continue
        block_terms[waiting] = term
        block_weights[waiting] = weights[term]
        block_gradients[waiting] = gradient
        block_since[waiting] = since
        waiting += 1
        if waiting == BLOCK:
            _unroll(block_weights, block_gradients, block_since, now, steps, steps_prox)
            for i in range(BLOCK):
                weights[block_terms[i]] = block_weights[i]
            waiting = 0
    if waiting:
        block_since[waiting:] = now
        _unroll(block_weights, block_gradients, block_since, now, steps, steps_prox)
        for i in range(waiting):
            weights[block_terms[i]] = block_weights[i]


@njit(nogil=True, cache=True)
def _catch_up_all(  # type: ignore[no-untyped-def]
    every, weights, gradients, met, now, rows, sums, sums_prox, steps, steps_prox, prox, scale
):
    """All weights brought up to date and rescaled; False where one is not finite."""
    if prox:
        _catch_up_prox(every, weights, gradients, met, now, now % rows, sums, sums_prox, steps, steps_prox)
    else:
        for term in every:
            total = sums[now - 1]
            if met[term] != 0:
                total -= sums[met[term] - 1]
            weights[term] -= total * gradients[term]
            met[term] = now % rows
    for term in every:
        weights[term] *= scale
        if not math.isfinite(weights[term]):
            return False
    before = now - 2
    sums[now - 1] = 0.0
    sums_prox[now - 1] = 0.0
    steps[now - 1] = 0.0 - sums[before] if before >= 0 else 0.0
    steps_prox[now - 1] = 0.0 - sums_prox[before] if before >= 0 else 0.0
    return True


@njit(nogil=True, cache=True)
def _run_epochs(  # type: ignore[no-untyped-def]
    starts, columns, values, labels, weights, state, gradients, memory, seen, previous,
    step, alpha, beta, epochs,
):  # fmt: skip
    """Epochs until the weights hardly change (1), overflow (-1), or as many as asked for (0).

    ``state`` is the generator's 32 bits, the rows seen so far, and the intercept's sum of gradients.
    """
    rows = len(labels)
    width = len(gradients)
    random = np.uint32(state[0])
    seen_count = int(state[1])
    intercept_gradient = state[2]
    intercept = weights[width]
    prox = beta > 0.0
    shrinkage = 1.0 - step * alpha
    sums, steps = np.zeros(rows), np.zeros(rows)
    sums_prox, steps_prox = np.zeros(rows), np.zeros(rows)
    moves = np.empty(max(1, np.max(starts[1:] - starts[:-1])))
    every = np.arange(width)
    met = np.zeros(width, np.int64)
    scale = 1.0
    status = 0
    for _ in range(epochs):
        for turn in range(rows):
            random = np.uint32(random ^ np.uint32(random << np.uint32(13)))
            random = np.uint32(random ^ np.uint32(random >> np.uint32(17)))
            random = np.uint32(random ^ np.uint32(random << np.uint32(5)))
            row = np.int64(random & np.uint32(0x7FFFFFFF)) % rows
            begin, end = np.uint64(starts[row]), np.uint64(starts[row + 1])
            if not seen[row]:
                seen[row] = True
                seen_count += 1
            product = 0.0
            if turn == 0 or prox:
                if turn > 0:
                    _catch_up_prox(
                        columns[begin:end], weights, gradients, met, turn, turn, sums, sums_prox, steps, steps_prox
                    )
                for entry in range(begin, end):
                    product += weights[np.uint64(columns[entry])] * values[entry]
            else:
                latest = sums[turn - 1]
                for entry in range(begin, end):
                    term = np.uint64(columns[entry])
                    total = latest
                    if met[term] != 0:
                        total -= sums[np.uint64(met[term] - 1)]
                    weight = weights[term] - total * gradients[term]
                    weights[term] = weight
                    met[term] = turn
                    product += weight * values[entry]
            decision = scale * product + intercept
            label = labels[row]
            if decision > -37.0:
                power = math.exp(-decision)
                gradient = ((1.0 - label) - label * power) / (1.0 + power)
            else:
                gradient = math.exp(decision) - label
            scale *= shrinkage
            change = gradient - memory[row]
            seen_share = 1 - 1.0 / seen_count
            for entry in range(end - begin):  # apart, so that the divisions are made several at once
                moves[entry] = values[begin + entry] * change * step * seen_share / scale
            for entry in range(end - begin):
                term = np.uint64(columns[begin + entry])
                weights[term] -= moves[entry]
                gradients[term] += values[begin + entry] * change
            intercept_gradient += change
            intercept -= (step * intercept_gradient / seen_count * INTERCEPT_DECAY) + change * (step * seen_share)
            if not math.isfinite(intercept):
                return FAILED
            memory[row] = gradient
            sums[turn] = steps[turn] = step / (scale * seen_count)
            sums_prox[turn] = steps_prox[turn] = step * beta / scale
            if turn > 0:
                sums[turn] = sums[turn - 1] + sums[turn]
                sums_prox[turn] = sums_prox[turn - 1] + sums_prox[turn]
                steps[turn] = sums[turn] - sums[turn - 1]
                steps_prox[turn] = sums_prox[turn] - sums_prox[turn - 1]
            if scale < SMALLEST_SCALE:
                if not _catch_up_all(
                    every, weights, gradients, met, turn + 1, rows, sums, sums_prox, steps, steps_prox, prox, scale
                ):
                    return FAILED
                scale = 1.0
        if not _catch_up_all(
            every, weights, gradients, met, rows, rows, sums, sums_prox, steps, steps_prox, prox, scale
        ):
            return FAILED
        scale = 1.0
        largest_weight = 0.0
        largest_change = 0.0
        for term in range(width):
            largest_weight = max(largest_weight, abs(weights[term]))
            largest_change = max(largest_change, abs(weights[term] - previous[term]))
            previous[term] = weights[term]
        if (largest_weight != 0.0 and largest_change / largest_weight <= TOLERANCE) or (
            largest_weight == 0.0 and largest_change == 0.0
        ):
            status = 1
            break
    state[0] = random
    state[1] = seen_count
    state[2] = intercept_gradient
    weights[width] = intercept
    return status
