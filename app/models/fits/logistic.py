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
from app.models.declaration import UNFITTED
from app.models.fits.layout import aligned_zeros, by_first_met
from app.models.fits.one_by_one import one_by_one
from app.models.logistic import MODEL

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from app.models.parameters import Point
    from app.text.matrix import Matrix

MAX_EPOCHS = 1_000_000
TOLERANCE = 1e-4
INTERCEPT_DECAY = 0.01
"""scikit-learn's damping of the intercept on sparse data."""

WORK_BETWEEN_LOOKS = 10_000_000
"""Entries passed over between two looks at whether the client is still there: some 50 ms."""

# What is kept of a term lies together, four numbers a term, because a row's terms are scattered over memory:
WEIGHT, GRADIENT, SUM, SUM_PROX = range(4)  # the last two: the sums of steps when the term was last brought up to date
# The solver's state between two calls:
RANDOM, SEEN, INTERCEPT_GRADIENT, INTERCEPT = range(4)

BLOCK = 16
"""Weights that make their steps abreast: two AVX-512 registers of doubles."""

SMALLEST_SCALE = 1e-9
LOWEST_EXPONENT = -37.0
FAILED, SETTLED = -1, 1


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
    """Class numbers of shape (points, other rows), UNFITTED where the weights overflow; raises Cancelled."""
    distinct: dict[tuple[float, float], Point] = {}
    for point in points:
        distinct.setdefault(_key(point), point)
    if classes == 2:
        predicted = _predict_two(list(distinct), train, target, other, seed, cancelled)
    else:
        predict_each = one_by_one(MODEL)
        predicted = predict_each(
            list(distinct.values()), train, target, other, classes=classes, seed=seed, cancelled=cancelled
        )
    places = {key: place for place, key in enumerate(distinct)}
    return predicted[[places[_key(point)] for point in points]]


def _key(point: Point) -> tuple[float, float]:
    """The strength and the share of l1: points that agree in both are the same fit."""
    parameters = MODEL.sklearn_point({"C": 1.0, "penalty": "l2"} | point)
    return float(parameters["C"]), float(parameters["l1_ratio"])  # type: ignore[arg-type]


def _predict_two(
    keys: Sequence[tuple[float, float]],
    train: Matrix,
    target: NDArray[np.int64],
    other: Matrix,
    seed: int,
    cancelled: Callable[[], bool],
) -> NDArray[np.int64]:
    """Class numbers of shape (keys, other rows) where there are two classes."""
    train, other = by_first_met(train, other)
    rows = other.scipy()
    predicted = np.full((len(keys), rows.shape[0]), UNFITTED, np.int64)
    for place, (strength, l1_share) in enumerate(keys):
        if cancelled():
            raise Cancelled
        fitted = _fit(train, target, strength, l1_share, seed, cancelled)
        if fitted is not None:
            predicted[place] = rows @ fitted[:-1] + fitted[-1] > 0
    return predicted


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
    terms = aligned_zeros(4 * train.width)
    work = (np.zeros(size), np.zeros(size, np.bool_), np.zeros(train.width))
    labels = target.astype(np.float64)
    epochs_at_once = max(1, WORK_BETWEEN_LOOKS // (len(train.values) + 2 * train.width))
    for _ in range(0, MAX_EPOCHS, epochs_at_once):
        status = _run_epochs(
            train.starts, train.columns, train.values, labels, terms, state, *work,
            step, alpha_scaled, beta_scaled, min(epochs_at_once, MAX_EPOCHS),
        )  # fmt: skip
        if status == FAILED:
            return None
        if status == SETTLED:
            break
        if cancelled():
            raise Cancelled
    return np.append(terms[WEIGHT::4], state[INTERCEPT])


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
    """Gradient and proximal steps one by one, from the latest to each weight's own ``since``, all weights abreast."""
    for lag in range(now - 1, since.min() - 1, -1):
        step, shrinkage = steps[lag], steps_prox[lag]
        for i in range(np.uint64(len(weights))):
            moved = weights[i] - gradients[i] * step
            above, below = moved - shrinkage, -moved - shrinkage
            moved = (above if above > 0.0 else 0.0) - (below if below > 0.0 else 0.0)
            weights[i] = moved if lag >= since[i] else weights[i]


@njit(nogil=True, cache=True)
def _catch_up_prox(columns, terms, met, now, new_met, sums, sums_prox, steps, steps_prox):  # type: ignore[no-untyped-def]
    """The steps with l1's soft thresholding that were put off since each of the terms was last met.

    Where the gradient is weaker than the penalty they come to one step; elsewhere they are made one by one.
    """
    places = np.empty(BLOCK, np.uint64)
    weights, gradients = np.zeros(BLOCK), np.zeros(BLOCK)
    since = np.full(BLOCK, now)
    waiting = 0
    latest, latest_prox = sums[now - 1], sums_prox[now - 1]
    for entry in range(np.uint64(len(columns))):
        column = np.uint64(columns[entry])
        place = column * np.uint64(4)
        weight, gradient = terms[place], terms[place + np.uint64(GRADIENT)]
        total = latest - terms[place + np.uint64(SUM)]
        total_prox = latest_prox - terms[place + np.uint64(SUM_PROX)]
        terms[place + np.uint64(SUM)] = latest
        terms[place + np.uint64(SUM_PROX)] = latest_prox
        if abs(gradient * total) < total_prox:
            above, below = weight - total * gradient - total_prox, -(weight - total * gradient) - total_prox
            terms[place] = max(above, 0.0) - max(below, 0.0)
        else:
            places[waiting] = place
            weights[waiting] = weight
            gradients[waiting] = gradient
            since[waiting] = met[column]
            waiting += 1
        met[column] = new_met
        if waiting == BLOCK:
            _unroll(weights, gradients, since, now, steps, steps_prox)
            for i in range(BLOCK):
                terms[places[i]] = weights[i]
            waiting = 0
    if waiting:
        since[waiting:] = now
        _unroll(weights, gradients, since, now, steps, steps_prox)
        for i in range(waiting):
            terms[places[i]] = weights[i]


@njit(nogil=True, cache=True)
def _catch_up_all(every, terms, met, now, rows, sums, sums_prox, steps, steps_prox, prox, scale):  # type: ignore[no-untyped-def]
    """All weights brought up to date and rescaled, the sums set to zero; False where a weight is not finite."""
    if prox:
        _catch_up_prox(every, terms, met, now, now % rows, sums, sums_prox, steps, steps_prox)
    latest = sums[now - 1]
    for column in every:
        place = np.uint64(column) * np.uint64(4)
        if not prox:
            terms[place] -= (latest - terms[place + np.uint64(SUM)]) * terms[place + np.uint64(GRADIENT)]
        terms[place] *= scale
        terms[place + np.uint64(SUM)] = 0.0
        terms[place + np.uint64(SUM_PROX)] = 0.0
        if not math.isfinite(terms[place]):
            return False
    before = now - 2
    sums[now - 1] = 0.0
    sums_prox[now - 1] = 0.0
    steps[now - 1] = 0.0 - sums[before] if before >= 0 else 0.0
    steps_prox[now - 1] = 0.0 - sums_prox[before] if before >= 0 else 0.0
    return True


@njit(nogil=True, cache=True)
def _product(columns, values, begin, end, terms, latest):  # type: ignore[no-untyped-def]
    """A row's product with the weights after their put-off gradient steps, in the row's order."""
    product = 0.0
    for entry in range(begin, end):
        place = np.uint64(columns[entry]) * np.uint64(4)
        total = latest - terms[place + np.uint64(SUM)]
        weight = terms[place] - total * terms[place + np.uint64(GRADIENT)]
        terms[place] = weight
        terms[place + np.uint64(SUM)] = latest
        product += weight * values[entry]
    return product


@njit(nogil=True, cache=True)
def _product_prox(columns, values, begin, end, terms):  # type: ignore[no-untyped-def]
    """A row's product with weights that are up to date."""
    product = 0.0
    for entry in range(begin, end):
        product += terms[np.uint64(columns[entry]) * np.uint64(4)] * values[entry]
    return product


@njit(nogil=True, cache=True)
def _correct(columns, values, begin, end, terms, moves, change, step, seen_share, scale):  # type: ignore[no-untyped-def]
    """A row's own step on its weights, and its change of the gradients' sums."""
    for entry in range(end - begin):  # apart, so that the divisions are made several at once
        moves[entry] = values[begin + entry] * change * step * seen_share / scale
    for entry in range(end - begin):
        place = np.uint64(columns[begin + entry]) * np.uint64(4)
        terms[place] -= moves[entry]
        terms[place + np.uint64(GRADIENT)] += values[begin + entry] * change


@njit(nogil=True, cache=True)
def _slope(decision, label):  # type: ignore[no-untyped-def]
    """The half binomial loss's gradient, in scikit-learn's stable form."""
    if decision > LOWEST_EXPONENT:
        power = math.exp(-decision)
        return ((1.0 - label) - label * power) / (1.0 + power)
    return math.exp(decision) - label


@njit(nogil=True, cache=True)
def _settled(terms, previous):  # type: ignore[no-untyped-def]
    """Whether the largest change of a weight in this epoch is small against the largest weight."""
    largest_weight = 0.0
    largest_change = 0.0
    for term in range(len(previous)):
        weight = terms[4 * term]
        largest_weight = max(largest_weight, abs(weight))
        largest_change = max(largest_change, abs(weight - previous[term]))
        previous[term] = weight
    if largest_weight == 0.0:
        return largest_change == 0.0
    return largest_change / largest_weight <= TOLERANCE


@njit(nogil=True, cache=True)
def _run_epochs(  # type: ignore[no-untyped-def]
    starts, columns, values, labels, terms, state, memory, seen, previous, step, alpha, beta, epochs
):
    """Epochs until the weights hardly change (1), overflow (-1), or as many as asked for (0)."""
    rows = len(labels)
    random = np.uint32(state[RANDOM])
    seen_count = int(state[SEEN])
    prox = beta > 0.0
    shrinkage = 1.0 - step * alpha
    sums, steps = np.zeros(rows), np.zeros(rows)
    sums_prox, steps_prox = np.zeros(rows), np.zeros(rows)
    moves = np.empty(max(1, np.max(starts[1:] - starts[:-1])))
    every = np.arange(len(previous))
    met = np.zeros(len(previous), np.int64)
    scale = 1.0
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
            if prox:
                if turn > 0:
                    _catch_up_prox(columns[begin:end], terms, met, turn, turn, sums, sums_prox, steps, steps_prox)
                product = _product_prox(columns, values, begin, end, terms)
            else:
                product = _product(columns, values, begin, end, terms, sums[turn - 1] if turn > 0 else 0.0)
            gradient = _slope(scale * product + state[INTERCEPT], labels[row])
            scale *= shrinkage
            change = gradient - memory[row]
            memory[row] = gradient
            seen_share = 1 - 1.0 / seen_count
            _correct(columns, values, begin, end, terms, moves, change, step, seen_share, scale)
            state[INTERCEPT_GRADIENT] += change
            state[INTERCEPT] -= (step * state[INTERCEPT_GRADIENT] / seen_count * INTERCEPT_DECAY) + change * (
                step * seen_share
            )
            if not math.isfinite(state[INTERCEPT]):
                return FAILED
            sums[turn] = steps[turn] = step / (scale * seen_count)
            sums_prox[turn] = steps_prox[turn] = step * beta / scale
            if turn > 0:
                sums[turn] = sums[turn - 1] + sums[turn]
                sums_prox[turn] = sums_prox[turn - 1] + sums_prox[turn]
                steps[turn] = sums[turn] - sums[turn - 1]
                steps_prox[turn] = sums_prox[turn] - sums_prox[turn - 1]
            if scale < SMALLEST_SCALE:
                if not _catch_up_all(
                    every, terms, met, turn + 1, rows, sums, sums_prox, steps, steps_prox, prox, scale
                ):
                    return FAILED
                scale = 1.0
        if not _catch_up_all(every, terms, met, rows, rows, sums, sums_prox, steps, steps_prox, prox, scale):
            return FAILED
        scale = 1.0
        if _settled(terms, previous):
            return SETTLED
    state[RANDOM] = random
    state[SEEN] = seen_count
    return 0
