"""The passive-aggressive classifier for a whole grid in one pass over the texts.

PA-I and PA-II of Crammer et al. (JMLR 7, 2006) as scikit-learn's SGD runs them (``SGDClassifier(learning_rate="pa1")``,
before 1.8 ``PassiveAggressiveClassifier``): the same shuffles, the same stopping rule, the same operations on the same
floats in the same order, so the weights are equal bit for bit. What differs is only how the work is laid out. With
one seed every point of the grid sees the texts in the same order; so the weights of all points stand side by side, a
text's term touches one contiguous row of them, and a point that has converged leaves the row.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numba import njit

from app.errors import Cancelled
from app.models.fits.layout import aligned_zeros, by_first_met

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from app.models.parameters import Point
    from app.text.matrix import Matrix

MAX_EPOCHS = 100_000
TOLERANCE = 1e-3
PATIENCE_EPOCHS = 5
INTERCEPT_DECAY = 0.01
"""scikit-learn's damping of the intercept on sparse data."""

LANES = 8
"""Points are worked on in groups of so many: one AVX-512 register of doubles, two of AVX2."""

WORK_BETWEEN_LOOKS = 20_000_000
"""Weight updates between two looks at whether the client is still there: some 50 ms."""


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
    """Fit every point of the grid on the training rows and predict the other rows.

    Returns:
        Class numbers of shape (points, other rows).
    """
    train, other = by_first_met(train, other)
    decisions = []
    for positive, shuffle_seed in _binary_problems(classes, seed):
        signs = np.where(target == positive, 1.0, -1.0)
        decisions.append(_decide_all(points, train, signs, other, shuffle_seed, cancelled))
    if len(decisions) == 1:
        return np.asarray(decisions[0] > 0, np.int64)
    return np.asarray(np.stack(decisions).argmax(axis=0), np.int64)


def _binary_problems(classes: int, seed: int) -> list[tuple[int, int]]:
    """The positive class and the shuffle's seed of each binary problem, drawn as scikit-learn draws them."""
    most = np.iinfo(np.int32).max
    if classes == 2:
        seeds = [(1, seed)]
    else:
        drawn = np.random.RandomState(seed).randint(most, size=classes)
        seeds = [(positive, int(drawn[positive])) for positive in range(classes)]
    problems = []
    for positive, own_seed in seeds:
        random = np.random.RandomState(own_seed)
        random.randint(1, most)  # scikit-learn gives this one to the dataset, which never uses it
        problems.append((positive, int(random.randint(most))))
    return problems


def _decide_all(
    points: Sequence[Point],
    train: Matrix,
    signs: NDArray[np.float64],
    other: Matrix,
    shuffle_seed: int,
    cancelled: Callable[[], bool],
) -> NDArray[np.float64]:
    """Decision values of one binary problem, of shape (points, other rows)."""
    aggressiveness = np.array([float(point.get("C", 1.0)) for point in points])  # type: ignore[arg-type]
    squared = np.array([point.get("loss", "hinge") == "squared_hinge" for point in points])
    with_intercept = np.array([bool(point.get("fit_intercept", True)) for point in points])
    norms = _square_norms(train.starts, train.values)
    order = np.arange(len(signs), dtype=np.int32)
    permutation = _permutation(len(signs), np.uint32(shuffle_seed))
    best = np.full(len(points), np.inf)
    stale = np.zeros(len(points), np.int64)
    active = np.arange(len(points))
    intercepts = np.zeros(_padded(len(active)))
    weights = aligned_zeros(train.width * len(intercepts))
    decisions = np.empty((len(points), len(other.starts) - 1))
    epoch = 0
    while len(active):
        looked_every = max(1, WORK_BETWEEN_LOOKS // (max(1, len(train.values)) * len(intercepts)))
        epochs = min(looked_every, MAX_EPOCHS - epoch)
        done, epochs_run = _run_epochs(
            train.starts, train.columns, train.values, norms, signs, order, permutation, weights, intercepts,
            aggressiveness[active], squared[active], with_intercept[active], best, stale, active, epochs,
        )  # fmt: skip
        epoch += epochs_run
        if cancelled():
            raise Cancelled
        if epoch >= MAX_EPOCHS:
            done[:] = True
        if done.any():
            decided = _decide(other.starts, other.columns, other.values, weights, intercepts)
            decisions[active[done]] = decided[:, : len(active)].T[done]
            weights, intercepts, active = _keep(weights, intercepts, active, ~done)
    return decisions


def _padded(lanes: int) -> int:
    """The number of lanes with room for so many points: 1, 2, 4, or a multiple of LANES."""
    return next((size for size in (1, 2, 4) if lanes <= size), -(-lanes // LANES) * LANES)


def _keep(
    weights: NDArray[np.float64], intercepts: NDArray[np.float64], active: NDArray[np.int64], going: NDArray[np.bool_]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int64]]:
    """The weights of the points that go on, side by side again, in the same memory."""
    columns = np.flatnonzero(going)
    lanes = _padded(len(columns))
    kept_intercepts = np.zeros(lanes)
    kept_intercepts[: len(columns)] = intercepts[columns]
    terms = len(weights) // len(intercepts)
    _move(weights, terms, len(intercepts), lanes, columns)
    return weights[: terms * lanes], kept_intercepts, active[columns]


@njit(nogil=True, cache=True)
def _move(weights, terms, lanes_before, lanes, columns):  # type: ignore[no-untyped-def]
    """From the first term on: what is written lies before what is still to be read, as lanes only become fewer."""
    for term in range(terms):
        for lane in range(len(columns)):
            weights[term * lanes + lane] = weights[term * lanes_before + columns[lane]]
        for lane in range(len(columns), lanes):
            weights[term * lanes + lane] = 0.0


@njit(nogil=True, cache=True)
def _permutation(size, seed):  # type: ignore[no-untyped-def]
    """scikit-learn's Fisher-Yates shuffle with its 32-bit xorshift; every epoch applies the same one again."""
    state = np.uint32(seed)
    if state == np.uint32(0):
        state = np.uint32(1)
    order = np.arange(size).astype(np.int32)
    for i in range(size - 1):
        state = np.uint32(state ^ np.uint32(state << np.uint32(13)))
        state = np.uint32(state ^ np.uint32(state >> np.uint32(17)))
        state = np.uint32(state ^ np.uint32(state << np.uint32(5)))
        j = i + np.int64(state & np.uint32(0x7FFFFFFF)) % (size - i)
        order[i], order[j] = order[j], order[i]
    return order


@njit(nogil=True, cache=True)
def _square_norms(starts, values):  # type: ignore[no-untyped-def]
    norms = np.zeros(len(starts) - 1)
    for row in range(len(norms)):
        for entry in range(starts[row], starts[row + 1]):
            norms[row] += values[entry] * values[entry]
    return norms


@njit(nogil=True, cache=True)
def _run_epochs(  # type: ignore[no-untyped-def]
    starts, columns, values, norms, signs, order, permutation, weights, intercepts,
    aggressiveness, squared, with_intercept, best, stale, active, epochs,
):  # fmt: skip
    """Run epochs until one of the points stops or ``epochs`` are done; says which points stopped, and how many ran.

    No fast-math anywhere: sums over a row's terms are made in the row's order for each point.
    """
    lanes = len(intercepts)
    size = len(active)
    rows = len(signs)
    decision = np.empty(lanes)
    update = np.zeros(lanes)
    objective = np.empty(size)
    done = np.zeros(size, np.bool_)
    next_order = np.empty_like(order)
    epochs_run = 0
    for _ in range(epochs):
        for i in range(rows):
            next_order[i] = order[permutation[i]]
        order[:] = next_order
        objective[:] = 0.0
        for i in range(rows):
            row = order[i]
            begin, end = starts[row], starts[row + 1]
            sign = signs[row]
            _dot(columns, values, begin, end, weights, lanes, decision)
            anything = False
            for k in range(size):
                margin = (decision[k] + intercepts[k]) * sign
                loss = 1.0 - margin if margin <= 1.0 else 0.0
                objective[k] += loss
                step = 0.0
                if squared[k]:
                    step = loss / (norms[row] + 0.5 / aggressiveness[k])
                elif norms[row] != 0.0:
                    step = min(loss / norms[row], aggressiveness[k])
                step *= sign
                update[k] = step
                if step != 0.0:
                    anything = True
                    if with_intercept[k]:
                        intercepts[k] += step * INTERCEPT_DECAY
            if anything:
                _add(columns, values, begin, end, weights, lanes, update)
        epochs_run += 1
        stopped = False
        for k in range(size):
            point = active[k]
            mean = objective[k] / rows
            if mean > best[point] - TOLERANCE:
                stale[point] += 1
            else:
                stale[point] = 0
            best[point] = min(best[point], mean)
            if stale[point] >= PATIENCE_EPOCHS:
                done[k] = True
                stopped = True
        if stopped:
            break
    return done, epochs_run


@njit(nogil=True, cache=True)
def _dot(columns, values, begin, end, weights, lanes, products):  # type: ignore[no-untyped-def]
    """A row's product with the weights of every lane, as many lanes at a time as are kept in registers.

    Indices are unsigned throughout: with signed ones each access would first ask whether it counts from the end.
    """
    begin, end, lanes = np.uint64(begin), np.uint64(end), np.uint64(lanes)
    if lanes == 1:
        _dot_1(columns, values, begin, end, weights, lanes, np.uint64(0), products)
    elif lanes == 2:
        _dot_2(columns, values, begin, end, weights, lanes, np.uint64(0), products)
    elif lanes == 4:
        _dot_4(columns, values, begin, end, weights, lanes, np.uint64(0), products)
    elif lanes == 8:
        _dot_8(columns, values, begin, end, weights, lanes, np.uint64(0), products)
    else:  # so many that sums in memory, which the compiler can do several at a time, beat sums in registers
        for lane in range(lanes):
            products[lane] = 0.0
        for entry in range(begin, end):
            value = values[entry]
            place = np.uint64(columns[entry]) * lanes
            for lane in range(lanes):
                products[lane] += weights[place + lane] * value


@njit(nogil=True, cache=True)
def _dot_1(columns, values, begin, end, weights, lanes, lane, products):  # type: ignore[no-untyped-def]
    a = 0.0
    for entry in range(begin, end):
        value = values[entry]
        place = np.uint64(columns[entry]) * lanes + lane
        a += weights[place] * value
    products[lane] = a


@njit(nogil=True, cache=True)
def _dot_2(columns, values, begin, end, weights, lanes, lane, products):  # type: ignore[no-untyped-def]
    a = b = 0.0
    for entry in range(begin, end):
        value = values[entry]
        place = np.uint64(columns[entry]) * lanes + lane
        a += weights[place] * value
        b += weights[place + np.uint64(1)] * value
    products[lane] = a
    products[lane + np.uint64(1)] = b


@njit(nogil=True, cache=True)
def _dot_4(columns, values, begin, end, weights, lanes, lane, products):  # type: ignore[no-untyped-def]
    a = b = c = d = 0.0
    for entry in range(begin, end):
        value = values[entry]
        place = np.uint64(columns[entry]) * lanes + lane
        a += weights[place] * value
        b += weights[place + np.uint64(1)] * value
        c += weights[place + np.uint64(2)] * value
        d += weights[place + np.uint64(3)] * value
    products[lane] = a
    products[lane + np.uint64(1)] = b
    products[lane + np.uint64(2)] = c
    products[lane + np.uint64(3)] = d


@njit(nogil=True, cache=True)
def _dot_8(columns, values, begin, end, weights, lanes, lane, products):  # type: ignore[no-untyped-def]
    a = b = c = d = e = f = g = h = 0.0
    for entry in range(begin, end):
        value = values[entry]
        place = np.uint64(columns[entry]) * lanes + lane
        a += weights[place] * value
        b += weights[place + np.uint64(1)] * value
        c += weights[place + np.uint64(2)] * value
        d += weights[place + np.uint64(3)] * value
        e += weights[place + np.uint64(4)] * value
        f += weights[place + np.uint64(5)] * value
        g += weights[place + np.uint64(6)] * value
        h += weights[place + np.uint64(7)] * value
    products[lane] = a
    products[lane + np.uint64(1)] = b
    products[lane + np.uint64(2)] = c
    products[lane + np.uint64(3)] = d
    products[lane + np.uint64(4)] = e
    products[lane + np.uint64(5)] = f
    products[lane + np.uint64(6)] = g
    products[lane + np.uint64(7)] = h


@njit(nogil=True, cache=True)
def _add(columns, values, begin, end, weights, lanes, update):  # type: ignore[no-untyped-def]
    """Add a row times each lane's update to the weights; a lane without an update adds a zero, which changes nothing."""
    lanes = np.uint64(lanes)
    if lanes == 1:
        only = update[0]
        for entry in range(np.uint64(begin), np.uint64(end)):
            weights[np.uint64(columns[entry])] += values[entry] * only
        return
    for entry in range(np.uint64(begin), np.uint64(end)):
        value = values[entry]
        place = np.uint64(columns[entry]) * lanes
        for lane in range(lanes):
            weights[place + lane] += value * update[lane]


@njit(nogil=True, cache=True)
def _decide(starts, columns, values, weights, intercepts):  # type: ignore[no-untyped-def]
    """Decision values of shape (rows, lanes)."""
    lanes = len(intercepts)
    decisions = np.empty((len(starts) - 1, lanes))
    for row in range(len(starts) - 1):
        _dot(columns, values, starts[row], starts[row + 1], weights, lanes, decisions[row])
        for lane in range(lanes):
            decisions[row, lane] += intercepts[lane]
    return decisions
